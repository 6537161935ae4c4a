//! Log lines for people and for machines: text or JSON on standard error.
//!
//! Every line of ours carries a stable `event` field; a line about a failure carries `error` and,
//! where there is one, `remedy`. Never a row's values, never a secret.

use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries that write lines of their own without our fields. Whoever uses them says as an event of ours
/// what matters, and gets the rest as errors. The operator's own directives come later, so they win.
const FOREIGN: &str = "librdkafka=off,rdkafka=off,apache_avro=off,redis=off";

/// `[log]`, the same in both programs.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    pub format: Format,
    /// `error`, `warn`, `info`, `debug`, `trace`, or several for modules, as in `info,connector::sink=debug`.
    pub level: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    #[default]
    Text,
    Json,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig { format: Format::Text, level: "info".to_owned() }
    }
}

/// Starts logging; may be called once per process.
pub fn start(config: &LogConfig) -> Result<()> {
    start_to(config, std::io::stderr)
}

/// [`start`], by a writer that puts lines on standard error beside something else that it shows there.
pub fn start_to<W>(config: &LogConfig, writer: W) -> Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let targets: Targets = format!("{FOREIGN},{}", config.level)
        .parse()
        .map_err(|e| Error::new(Kind::Config, format!("log.level = {:?}: {e}", config.level)))?;
    let builder = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE).with_writer(writer);
    let done = match config.format {
        Format::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            builder.with_ansi(ansi).finish().with(targets).try_init()
        }
        Format::Json => builder.json().flatten_event(true).finish().with(targets).try_init(),
    };
    done.map_err(|e| Error::new(Kind::Bug, e.to_string()))
}

/// Says why the program ends, once, on one line: by the log if it is up, else plainly.
pub fn ended(program: &str, error: &Error) {
    use std::io::Write;
    if tracing::enabled!(tracing::Level::ERROR) {
        let (remedy, exit_code) = (error.hint(), error.exit_code());
        tracing::error!(event = "stopped", %error, remedy, exit_code, "stopped");
    } else {
        // Standard error may be closed; the exit code still says it.
        let _ = writeln!(std::io::stderr(), "{program}: {error} ({})", error.hint());
    }
}
