//! `ingest FILE…`: back-fill on the file of a stopped agent, with a progress bar on a terminal.

use super::Settings;
use super::reading::Reading;
use crate::buffer::Log;
use crate::config::file::FilesConfig;
use crate::db::Db;
use crate::ingest::file::{Importer, Taken};
use crate::registry::Registry;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::error::{Context, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What `ingest` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// CSV, JSON lines or Parquet.
    #[arg(required = true)]
    file: Vec<PathBuf>,
    /// The topic that the rows go to.
    #[arg(short, long)]
    topic: String,
    /// The column with the record's time.
    #[arg(long)]
    time: Option<String>,
    #[command(flatten)]
    reading: Reading,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let config = arguments.settings.load()?;
    shared::log::start(&config.log)?;
    let files = arguments.reading.settings(&arguments.topic, arguments.time.as_ref());
    files.check()?;
    let runtime = super::runtime()?;
    let shutdown = Shutdown::default();
    runtime.block_on(async { shutdown.listen() })?;
    let remedy = "a running agent reads files from a watched folder: see [[files]]; else stop it first";
    let db = Db::open(&config.db).map_err(|error| error.remedy(remedy))?;
    let log = Arc::new(Log::open(&db, &config.buffer)?);
    let registry = Arc::new(Registry::open(&db)?);
    let importer = Importer::new(&db, log, registry, runtime.handle().clone(), shutdown.clone());
    for path in &arguments.file {
        let taken = one(&importer, path, &files)?;
        let Taken { stored, rows, bad, done } = taken;
        let end = if done { "" } else { ", stopped: it is taken up here next time" };
        let line = format!("{}: {stored} rows stored, {rows} read, {bad} bad{end}", path.display());
        writeln!(std::io::stdout(), "{line}").or_kind(Kind::Unreachable)?;
        if shutdown.requested() {
            break;
        }
    }
    Ok(())
}

fn one(importer: &Importer, path: &Path, files: &FilesConfig) -> Result<Taken> {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta}");
    bar.set_style(style.or_kind(Kind::Bug)?);
    bar.set_message(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
    let taken = importer.take(path, files, &mut |place, end| {
        bar.set_length(end);
        bar.set_position(place);
    });
    bar.finish_and_clear();
    taken.doing(|| "back-fill")
}
