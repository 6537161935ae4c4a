//! The command line: `run`, `check`, `import`, `offset show|export|import`, `status`.

use crate::config::Config;
use crate::model::finding::{self, Severity};
use crate::pipeline::{self, progress::Progress};
use crate::signal::Inbox;
use clap::{Args, Parser, Subcommand};
use shared::shutdown::Shutdown;
use shared::{Error, Kind, Result};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

/// Streams a database's changes into Avro topics on Kafka, as Debezium writes them.
#[derive(Parser)]
#[command(name = "tidegate-connector", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Stream until asked to stop.
    Run(Settings),
    /// Look at everything that a start would trip over, and print it with remedies.
    Check {
        #[command(flatten)]
        settings: Settings,
        /// Print instead the SQL that gives this role what the configuration needs, and nothing more.
        #[arg(long, value_name = "ROLE")]
        sql: Option<String>,
    },
    /// Turn a Debezium connector's JSON into a configuration file, and say what became of each property.
    Import(Import),
    /// The stored position.
    Offset {
        #[command(subcommand)]
        command: OffsetCommand,
    },
    /// Tell a running connector to read tables again, stop, pause or go on.
    Signal(SignalCommand),
    /// Ask a running connector where it stands.
    Status(Settings),
}

#[derive(Subcommand)]
enum OffsetCommand {
    /// Print the stored position as it is stored.
    Show(Settings),
    /// Hand the position back to Debezium, while nothing runs.
    Export {
        #[command(flatten)]
        settings: Settings,
        /// The offsets file of a standalone worker or of Debezium Server, which Java reads; without it,
        /// Connect's topic (offset.topic).
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
    },
    /// Take the position over from Debezium, while nothing runs.
    Import {
        #[command(flatten)]
        settings: Settings,
        /// Such a file, or JSON as Connect's REST interface shows a connector's offsets; without it,
        /// Connect's topic (offset.topic).
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
}

/// Where the configuration comes from.
#[derive(Args)]
struct Settings {
    /// Configuration file (TOML).
    #[arg(short, long, value_name = "FILE", required_unless_present = "debezium")]
    config: Option<PathBuf>,
    /// A Debezium connector's JSON, run as it is.
    #[arg(long, value_name = "FILE", conflicts_with = "config", requires = "worker")]
    debezium: Option<PathBuf>,
    /// The Kafka Connect worker's properties that belong to it.
    #[arg(long, value_name = "FILE", requires = "debezium")]
    worker: Option<PathBuf>,
    /// Set one value: `table.key=value`; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

#[derive(Args)]
struct Import {
    /// A Debezium connector's JSON, as it is posted to Kafka Connect or as it is put.
    #[arg(value_name = "FILE")]
    connector: PathBuf,
    /// The Kafka Connect worker's properties that belong to it: brokers, converters, where progress is kept.
    #[arg(long, value_name = "FILE")]
    worker: Option<PathBuf>,
    /// Write here instead of to standard output.
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Args)]
struct SignalCommand {
    #[command(flatten)]
    settings: Settings,
    /// execute-snapshot, stop-snapshot, pause-snapshot, resume-snapshot or log.
    #[arg(value_name = "TYPE")]
    kind: String,
    /// What goes with it, as JSON: `{"type": "incremental", "data-collections": ["public.orders"]}`.
    #[arg(value_name = "DATA", default_value = "")]
    data: String,
    /// Names the request in notifications.
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Settings {
    fn load(&self) -> Result<Config> {
        match (&self.config, &self.debezium, &self.worker) {
            (Some(path), _, _) => crate::config::load_with(path, &self.set),
            (None, Some(connector), Some(worker)) => {
                crate::config::from_debezium(connector, worker, &self.set)
            }
            _ => Err(Error::new(Kind::Config, "give --config FILE, or --debezium FILE with --worker FILE")),
        }
    }
}

/// Runs the command; the number is the process's exit code.
pub fn main() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked = !error.use_stderr();
            let _ = error.print();
            return if asked { 0 } else { 2 };
        }
    };
    let done = match &cli.command {
        Command::Run(settings) => run(settings),
        Command::Check { settings, sql } => check(settings, sql.as_deref()),
        Command::Import(command) => import(command),
        Command::Offset { command } => offset(command),
        Command::Signal(command) => signal(command),
        Command::Status(settings) => status(settings),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            shared::log::ended("tidegate-connector", &error);
            error.exit_code()
        }
    }
}

fn run(settings: &Settings) -> Result<u8> {
    let config = settings.load()?;
    let lines = crate::terminal::lines();
    match lines.clone() {
        Some(lines) => shared::log::start_to(&config.log, move || lines.clone())?,
        None => shared::log::start(&config.log)?,
    }
    shared::tls::install_provider();
    crate::metrics::show(&config.event.topic_prefix, &config.offset.connector);
    let runtime = runtime()?;
    let (shutdown, progress) = (Shutdown::default(), Arc::new(Progress::default()));
    let inbox = Inbox::default();
    runtime.block_on(async {
        shutdown.listen()?;
        let bound = shared::admin::serve(
            config.admin.listen,
            progress.clone(),
            crate::admin::routes(inbox.clone()),
            shutdown.clone(),
        )
        .await?;
        tracing::info!(event = "admin_listening", address = %bound, "admin server listens");
        Ok::<(), Error>(())
    })?;
    tracing::info!(
        event = "starting",
        version = env!("CARGO_PKG_VERSION"),
        topic_prefix = config.event.topic_prefix,
        "starting"
    );
    config.log_notes();
    if let Some(lines) = lines {
        runtime.spawn(lines.show(progress.clone(), shutdown.clone()));
    }
    pipeline::run(&config, runtime.handle(), &progress, &inbox, &shutdown)?;
    tracing::info!(event = "stopped", exit_code = 0, "stopped as asked");
    Ok(0)
}

/// SQL, the registry and the admin server need little: the pipeline has its own thread.
fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| Error::from_source(Kind::Unreachable, e).doing("start the runtime"))
}

fn check(settings: &Settings, role: Option<&str>) -> Result<u8> {
    let config = settings.load()?;
    shared::tls::install_provider();
    let runtime = runtime()?;
    if let Some(role) = role {
        let script =
            crate::source::postgres::privileges(&config.source, &config.signal, role, runtime.handle())?;
        let _ = write!(std::io::stdout(), "{script}");
        return Ok(0);
    }
    let findings = pipeline::check(&config, runtime.handle());
    let _ = write!(std::io::stdout(), "{}", finding::table(&findings));
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if failed { 3 } else { 0 })
}

/// The file is written even if something is refused: its head says what, for the operator to decide.
fn import(command: &Import) -> Result<u8> {
    let imported = crate::config::debezium::read(&command.connector, command.worker.as_deref())?;
    let document = imported.document(&command.connector.display().to_string());
    match &command.out {
        Some(path) => shared::durable::write(path, document.as_bytes())?,
        None => {
            let _ = write!(std::io::stdout(), "{document}");
        }
    }
    match imported.refusal() {
        Some(refusal) => Err(refusal.doing(format!("take over {}", command.connector.display()))),
        None if imported.complete => crate::config::parse(&imported.toml, &[]).map(|_| 0),
        None => Ok(0),
    }
}

fn offset(command: &OffsetCommand) -> Result<u8> {
    use crate::offset::{as_stored, open, transfer};
    shared::tls::install_provider();
    let runtime = runtime()?;
    let text = match command {
        OffsetCommand::Show(settings) => {
            let position = open(&settings.load()?, runtime.handle().clone())?.load()?;
            position.map_or_else(|| "none stored".to_owned(), |position| as_stored(&position)) + "\n"
        }
        OffsetCommand::Export { settings, to } => {
            let config = stopped(settings, &runtime)?;
            transfer::export(&config, runtime.handle(), to.as_deref())?.to_string()
        }
        OffsetCommand::Import { settings, from } => {
            let config = stopped(settings, &runtime)?;
            transfer::import(&config, runtime.handle(), from.as_deref())?.to_string()
        }
    };
    let _ = write!(std::io::stdout(), "{text}");
    Ok(0)
}

/// A connector that runs would store its own position over the one given, and its slot is in use.
fn stopped(settings: &Settings, runtime: &tokio::runtime::Runtime) -> Result<Config> {
    let config = settings.load()?;
    let listen = config.admin.listen;
    match runtime.block_on(shared::admin::ask(listen, "/livez")) {
        Err(_) => Ok(config),
        Ok(_) => {
            Err(Error::new(Kind::Config, format!("a connector runs: its admin server answers at {listen}"))
                .remedy("stop it first; if it is another one, give this one its own admin.listen"))
        }
    }
}

fn signal(command: &SignalCommand) -> Result<u8> {
    let SignalCommand { settings, kind, data, id } = command;
    let config = settings.load()?;
    let id = id.clone().unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    crate::signal::parse(&id, kind, data)?;
    shared::tls::install_provider();
    let body = serde_json::json!({ "id": id, "type": kind, "data": data });
    let answer = runtime()?.block_on(shared::admin::tell(config.admin.listen, "/signal", &body))?;
    let _ = write!(std::io::stdout(), "{answer}");
    Ok(0)
}

fn status(settings: &Settings) -> Result<u8> {
    let config = settings.load()?;
    shared::tls::install_provider();
    let body = runtime()?.block_on(shared::admin::ask(config.admin.listen, "/status"))?;
    let _ = writeln!(std::io::stdout(), "{body}");
    Ok(0)
}
