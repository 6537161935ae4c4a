//! Log lines for people and for machines: text or JSON on standard error.
//!
//! Every line of ours carries a stable `event` field; a line about a failure carries `error` and,
//! where there is one, `remedy`. Never a row's values, never a secret.

use crate::error::{Error, Kind, Result};
use serde::Deserialize;
use std::panic::PanicHookInfo;
use tracing::Subscriber;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
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
    subscriber(config, writer)?.try_init().map_err(|e| Error::new(Kind::Bug, e.to_string()))?;
    let plain = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        say_panic(panic);
        if std::env::var_os("RUST_BACKTRACE").is_some() {
            plain(panic);
        }
    }));
    Ok(())
}

/// A fault of ours is a line like any other. Then the process ends at once, as the release profile has it: what goes
/// on without a part of itself is worse than what starts again.
fn say_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    tracing::error!(
        event = "panicked",
        thread = thread.name(),
        at = panic.location().map(tracing::field::display),
        error = panic.payload_as_str(),
        remedy = "nothing acknowledged is lost by a restart; report it with the lines before",
        "a fault of ours"
    );
}

/// The layer that writes has no level of its own: the filter's is then the highest that any library builds lines
/// for, and librdkafka's wrapper would build two for each batch.
fn subscriber<W>(config: &LogConfig, writer: W) -> Result<Box<dyn Subscriber + Send + Sync>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let targets: Targets = format!("{FOREIGN},{}", config.level)
        .parse()
        .map_err(|e| Error::new(Kind::Config, format!("log.level = {:?}: {e}", config.level)))?;
    let (registry, lines) = (tracing_subscriber::registry(), fmt::layer().with_writer(writer));
    Ok(match config.format {
        Format::Text => {
            let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
            Box::new(registry.with(lines.with_ansi(ansi)).with(targets))
        }
        Format::Json => Box::new(registry.with(lines.json().flatten_event(true)).with(targets)),
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::panic::{catch_unwind, set_hook, take_hook};
    use std::sync::{Arc, Mutex};
    use tracing::level_filters::LevelFilter;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("held by none that panicked").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_panic_is_a_line_like_any_other() {
        let (lines, config) = (Lines::default(), LogConfig { format: Format::Json, ..LogConfig::default() });
        let to = lines.clone();
        let subscriber = subscriber(&config, move || to.clone()).expect("it is valid");
        tracing::subscriber::with_default(subscriber, || {
            let plain = take_hook();
            set_hook(Box::new(say_panic));
            let done = catch_unwind(|| panic!("{} of three", 4));
            set_hook(plain);
            assert!(done.is_err());
        });
        let lines = lines.0.lock().expect("held by none that panicked");
        let line: serde_json::Value = serde_json::from_slice(&lines).expect("one line of JSON");
        assert_eq!((&line["event"], &line["error"]), (&"panicked".into(), &"4 of three".into()));
        assert!(line["at"].as_str().is_some_and(|at| at.contains("log.rs")), "{line}");
        assert_eq!(line["thread"], std::thread::current().name().expect("the test's"));
    }

    #[test]
    fn no_line_is_built_above_the_level_that_is_asked_for() {
        for (level, highest) in [
            ("warn", LevelFilter::WARN),
            ("info", LevelFilter::INFO),
            ("warn,connector::sink=debug", LevelFilter::DEBUG),
        ] {
            for format in [Format::Text, Format::Json] {
                let config = LogConfig { format, level: level.to_owned() };
                let built = subscriber(&config, std::io::sink).expect("it is valid");
                assert_eq!(built.max_level_hint(), Some(highest), "{level}");
            }
        }
        let config = LogConfig { level: "info,=x=y".to_owned(), ..LogConfig::default() };
        let refused = subscriber(&config, std::io::sink).err().expect("it is not valid").to_string();
        assert!(refused.contains("log.level"), "{refused}");
    }
}
