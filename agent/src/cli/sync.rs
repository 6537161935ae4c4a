//! `sync list` and `sync retry`: what central stores refused, of a running agent.

use super::{Settings, runtime, say};
use clap::{Args, Subcommand};
use serde_json::{Value as Json, json};
use shared::error::{Kind, OrKind, Result};
use std::time::{Duration, SystemTime};

#[derive(Debug, Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// What stores refused, with their reasons; at most the last 1,000.
    List(Which),
    /// Have it tried again, after the reason was removed.
    Retry(Which),
}

#[derive(Debug, Args)]
struct Which {
    #[command(flatten)]
    settings: Settings,
    /// The NAME of one [sync.NAME]; all when absent.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
    /// The whole answer.
    #[arg(long)]
    json: bool,
}

pub fn run(options: &Options) -> Result<()> {
    // The HTTP client asks for it, though nothing here is encrypted.
    shared::tls::install_provider();
    match &options.command {
        Command::List(which) => list(which),
        Command::Retry(which) => retry(which),
    }
}

fn list(which: &Which) -> Result<()> {
    let listen = which.settings.load()?.admin.listen;
    let path = match &which.target {
        Some(name) => format!("/sync/refused?target={name}"),
        None => "/sync/refused".to_owned(),
    };
    let answer = runtime()?.block_on(shared::admin::ask(listen, &path))?;
    let rows: Json = serde_json::from_str(&answer).or_kind(Kind::Unreachable)?;
    if which.json {
        return say(&format!("{rows:#}"));
    }
    let rows = rows.as_array().map(Vec::as_slice).unwrap_or_default();
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("?").to_owned();
        let (target, view, reason) = (text("target"), text("view"), text("reason"));
        say(&format!("{target}  {view} {}  {} ago: {reason}", row["entity"], age(&row["refused_ms"])))?;
    }
    say(&format!("{} refused", rows.len()))
}

fn retry(which: &Which) -> Result<()> {
    let listen = which.settings.load()?.admin.listen;
    let body = json!({"target": which.target});
    let answer = runtime()?.block_on(shared::admin::tell(listen, "/sync/retry", &body))?;
    let answer: Json = serde_json::from_str(&answer).or_kind(Kind::Unreachable)?;
    match which.json {
        true => say(&answer.to_string()),
        false => say(&format!("{} rows are tried again", answer["rows"])),
    }
}

fn age(ms: &Json) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let then = Duration::from_millis(ms.as_u64().unwrap_or(0));
    match now.saturating_sub(then).as_secs() {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
