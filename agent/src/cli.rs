//! The command line: run, check, status, sync, ingest, training, backup, recover.

mod ingest;
mod reading;
mod sync;
mod training;

use crate::config::{self, Config};
use crate::feature::{View, definition};
use crate::forward;
use crate::ingest::consume;
use crate::pipeline::{Agent, fit, recover, sync_views};
use crate::{admin, buffer, db, store, terminal};
use clap::{Args, Parser, Subcommand};
use shared::error::{Context, Error, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Where the package keeps the file.
const DEFAULT_CONFIG: &str = "/etc/tidegate/agent.toml";
/// Two workers: the doors wait more than they work, and the machine is small.
const WORKERS: usize = 2;
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// Keeps what producers send, judges it, turns it into features, brings them to the centre.
#[derive(Debug, Parser)]
#[command(name = "tidegate-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until asked to stop.
    Run(Settings),
    /// Do what a start would do, and say what is wrong.
    Check(Settings),
    /// Say where the agent stands; of a stopped one, what its file tells.
    Status(StatusOptions),
    /// What central stores refused: list it, or have it tried again.
    Sync(sync::Options),
    /// Read files into a topic, each row exactly once; the agent must not be running on the same file.
    Ingest(Box<ingest::Arguments>),
    /// For each entity and time of a file, the features as they were known then.
    Training(Box<training::Arguments>),
    /// Copy the agent's file while it runs, or when it is stopped.
    Backup(BackupOptions),
    /// Bring what is sound in a damaged file into a new one, while no agent runs.
    Recover(RecoverOptions),
}

#[derive(Debug, Args)]
struct StatusOptions {
    #[command(flatten)]
    settings: Settings,
    /// The whole document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct BackupOptions {
    #[command(flatten)]
    settings: Settings,
    /// The copy; must not exist.
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

#[derive(Debug, Args)]
struct RecoverOptions {
    #[command(flatten)]
    settings: Settings,
    /// The damaged file; if it is the agent's own, it is moved aside first.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
}

#[derive(Debug, Args)]
struct Settings {
    /// The configuration file.
    #[arg(short, long, default_value = DEFAULT_CONFIG)]
    config: PathBuf,
    /// Any setting: table.key=value; may be given many times.
    #[arg(long, value_name = "TABLE.KEY=VALUE")]
    set: Vec<String>,
}

impl Settings {
    fn load(&self) -> Result<Config> {
        config::load_with(&self.config, &self.set)
    }
}

/// Parses the arguments and does what they ask.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match &cli.command {
        Command::Run(settings) => run(settings).doing(|| "could not run"),
        Command::Check(settings) => check(settings),
        Command::Status(options) => status(options).doing(|| "read the status"),
        Command::Sync(options) => sync::run(options),
        Command::Ingest(arguments) => ingest::run(arguments),
        Command::Training(arguments) => training::run(arguments),
        Command::Backup(options) => backup(options),
        Command::Recover(options) => recover(options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            shared::log::ended("tidegate-agent", &error);
            ExitCode::from(error.exit_code())
        }
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .or_kind(Kind::Bug)
}

fn run(settings: &Settings) -> Result<()> {
    let config = settings.load()?;
    shared::log::start(&config.log)?;
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let shutdown = Shutdown::default();
        shutdown.listen()?;
        listen_for_hangup()?;
        let listen = config.admin.listen;
        let agent = Agent::open(config).await?;
        admin::serve(listen, &agent, shutdown.clone()).await?;
        agent.run(shutdown).await
    });
    // What still holds a connection open must not hold the program up.
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome.inspect(|()| tracing::info!(event = "stopped", exit_code = 0, "stopped as asked"))
}

/// SIGHUP is a wish to read anew what can be read anew; it must not end the program.
fn listen_for_hangup() -> Result<()> {
    let mut asked = signal(SignalKind::hangup()).or_kind(Kind::Bug)?;
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            tracing::info!(
                event = "reload_asked",
                "SIGHUP: certificates of the doors are read anew; all else needs a restart"
            );
        }
    });
    Ok(())
}

fn check(settings: &Settings) -> Result<()> {
    let mut findings = Vec::new();
    let config = settings.load();
    findings.push(("configuration", config.as_ref().map(|_| String::new()).map_err(again)));
    if let Ok(config) = &config {
        let views = definition::compile(&config.feature_view);
        let for_sync = views.as_ref().map(|views| sync_views(views)).unwrap_or_default();
        findings.push(("feature views", views.and_then(|views| features(config, &views))));
        findings.push(("views and schemas", fit::check(config)));
        findings.push(("state folder", folder(&config.db.path)));
        for (name, listen) in [
            ("admin address", config.admin.listen),
            ("Kafka door address", config.door.listen),
            ("schema registry address", config.registry.listen),
            ("features address", config.features.listen),
        ] {
            findings.push((name, address(listen)));
        }
        if let Some(push) = &config.push {
            findings.push(("push address", address(push.listen)));
        }
        for files in &config.files {
            findings.push(("watched folder", watched(files.folder())));
        }
        if let Some(consume) = &config.consume {
            findings.push(("central Kafka", consume::check(consume, runtime()?.handle())));
        }
        if let Some(forward) = &config.forward {
            findings.push(("forward", forward::check(forward, runtime()?.handle())));
        }
        for (name, target) in &config.sync {
            let ping = async { crate::sync::target(target, &for_sync)?.ping().await };
            let found = runtime()?.block_on(ping).doing(|| format!("[sync.{name}]"));
            findings.push(("sync", found.map(|()| format!("{name}: {}", target.address()))));
        }
    }
    report(findings)
}

/// Prints a line per finding; the first failure decides the exit code.
fn report(findings: Vec<(&'static str, Result<String>)>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let mut failed = None;
    for (name, finding) in findings {
        let printed = match &finding {
            Ok(detail) => writeln!(out, "ok      {name:<24} {detail}"),
            Err(error) => writeln!(out, "FAILED  {name:<24} {error}\n{:33}{}", "", error.hint()),
        };
        printed.or_kind(Kind::Unreachable)?;
        if let (Err(error), None) = (finding, &failed) {
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), |error| Err(error.doing("check")))
}

fn features(config: &Config, views: &[View]) -> Result<String> {
    let names = |view: &View| view.features.iter().map(|feature| feature.name.clone()).collect();
    let names: Vec<(&str, Vec<String>)> =
        views.iter().map(|view| (view.name.as_str(), names(view))).collect();
    let names: Vec<(&str, &[String])> = names.iter().map(|(view, all)| (*view, all.as_slice())).collect();
    let services = store::resolve(&config.feature_service, &names)?;
    Ok(format!("{} defined, {} services", views.len(), services.len()))
}

fn again(error: &Error) -> Error {
    Error::new(error.kind(), error.to_string()).remedy(error.hint().to_owned())
}

fn folder(file: &Path) -> Result<String> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let trial = folder.join(".tidegate-check");
    let tried = std::fs::write(&trial, b"").and_then(|()| std::fs::remove_file(&trial));
    tried
        .or_kind(Kind::Config)
        .doing(|| format!("write into {}", folder.display()))
        .map_err(|e| e.remedy("make the folder and let the agent's user write to it"))?;
    Ok(folder.display().to_string())
}

fn watched(folder: &Path) -> Result<String> {
    let looked = std::fs::read_dir(folder).or_kind(Kind::Config);
    let looked = looked.doing(|| format!("look into {}", folder.display()));
    looked.map_err(|e| e.remedy("make the folder and let the agent's user read it"))?;
    Ok(folder.display().to_string())
}

fn address(listen: SocketAddr) -> Result<String> {
    TcpListener::bind(listen)
        .or_kind(Kind::Config)
        .doing(|| format!("listen on {listen}"))
        .map_err(|e| e.remedy("is the agent running already? else choose another address"))?;
    Ok(listen.to_string())
}

fn backup(options: &BackupOptions) -> Result<()> {
    let config = options.settings.load()?;
    let written = db::backup::write(&config.db, &options.to, buffer::mark_copy)?;
    say(&format!("wrote {} ({} bytes), consistent and checked", options.to.display(), written.bytes))
}

fn recover(options: &RecoverOptions) -> Result<()> {
    let config = options.settings.load()?;
    shared::log::start(&config.log)?;
    let found = recover::recover(&config, &options.from)?;
    let log = found.log;
    say(&format!("brought over {} batches, {} records, {} bytes", log.batches, log.records, log.bytes))?;
    say(&format!(
        "left behind  {} damaged batches; {} places that cannot be read; {} offsets missing in between",
        log.damaged, log.gaps, log.missing_records
    ))?;
    if !found.cut.is_empty() {
        say(&format!("cut short    {}", found.cut.join(", ")))?;
    }
    say(&format!("the damaged file is {}", found.from.display()))
}

fn say(line: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{line}").or_kind(Kind::Unreachable)
}

/// Of the running agent; or, if none runs, of its file.
fn status(options: &StatusOptions) -> Result<()> {
    let config = options.settings.load()?;
    let document = match ask(config.admin.listen) {
        Ok(document) => document,
        Err(error) => match db::at_rest(&config.db)? {
            Some(file) if file.bytes()? > 0 => admin::at_rest(&config, &file)?,
            _ => return Err(error),
        },
    };
    match options.json {
        true => say(&format!("{document:#}")),
        false => write!(std::io::stdout(), "{}", terminal::table(&document)).or_kind(Kind::Unreachable),
    }
}

/// Asks the admin server in the plainest HTTP, which needs no client library.
fn ask(listen: SocketAddr) -> Result<serde_json::Value> {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect_timeout(&listen, STATUS_TIMEOUT)?;
        stream.set_read_timeout(Some(STATUS_TIMEOUT))?;
        write!(stream, "GET /status HTTP/1.0\r\nHost: {listen}\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let answer = asked()
        .or_kind(Kind::Unreachable)
        .doing(|| format!("ask the agent at {listen}"))
        .map_err(|e| e.remedy("is the agent running, and with this configuration?"))?;
    let (_, body) = answer.split_once("\r\n\r\n").ok_or_else(|| {
        Error::new(Kind::Unreachable, format!("what answers at {listen} does not speak HTTP"))
    })?;
    serde_json::from_str(body).or_kind(Kind::Unreachable)
}
