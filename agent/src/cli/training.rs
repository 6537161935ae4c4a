//! `training`: a training set from the agent's own log, or from files of rows, with a progress bar on a terminal.

use super::Settings;
use super::reading::Reading;
use crate::training::{self, Files, Made, Request, Rows};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use shared::error::{Context, Kind, OrKind, Result};
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::path::PathBuf;

/// What `training` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Entities and times, in Parquet or CSV: the views' entity columns, a time, and what else is wanted.
    #[arg(long, value_name = "FILE")]
    spine: PathBuf,
    /// The training set, in Parquet: the spine's columns, then `view__feature`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The spine's column of times; `event_timestamp` when absent.
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,
    /// A feature view; may be given many times. All that the spine has the entities of, when absent.
    #[arg(long, value_name = "NAME")]
    view: Vec<String>,
    /// Give nulls where the log does not reach back far enough, instead of an error.
    #[arg(long)]
    partial: bool,
    /// Rows from CSV, JSON lines or Parquet instead of the agent's log, read as `ingest` reads them. They stand in
    /// the order of time, over all files.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    from: Vec<PathBuf>,
    /// The topic whose rows the files hold; that of the views when absent.
    #[arg(long, requires = "from")]
    topic: Option<String>,
    /// The files' column with the time at which a row was known; the views' `time` when absent.
    #[arg(long, value_name = "COLUMN", requires = "from")]
    row_time: Option<String>,
    #[command(flatten)]
    reading: Reading,
    /// Rows from central Kafka instead of the agent's log: the views' topics, to where they end now, from the
    /// brokers of `[consume]`, else of `[forward]`.
    #[arg(long, conflicts_with = "from")]
    from_kafka: bool,
}

impl Arguments {
    fn rows(&self) -> Option<Rows> {
        if self.from_kafka {
            return Some(Rows::Kafka);
        }
        let topic = self.topic.as_deref().unwrap_or_default();
        let settings = self.reading.settings(topic, self.row_time.as_ref());
        let files = || Files { paths: self.from.clone(), settings };
        (!self.from.is_empty()).then(|| Rows::Files(files()))
    }
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let config = arguments.settings.load()?;
    shared::log::start(&config.log)?;
    let shutdown = Shutdown::default();
    let runtime = super::runtime()?;
    runtime.block_on(async { shutdown.listen() })?;
    let request = Request {
        spine: arguments.spine.clone(),
        out: arguments.out.clone(),
        time: arguments.time.clone(),
        views: arguments.view.clone(),
        partial: arguments.partial,
        from: arguments.rows(),
    };
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos} of {len} {eta}").or_kind(Kind::Bug)?);
    let made = training::make(&config, &request, Clock::System, &shutdown, &mut |what, done, of| {
        bar.set_message(what);
        bar.set_length(of.max(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    let Made { rows, features, incomplete, gaps, unordered } = made.doing(|| "make the training set")?;
    super::say(&format!("{}: {rows} rows, {} features", request.out.display(), features.len()))?;
    if incomplete > 0 {
        super::say(&format!("{incomplete} rows have nulls because the log does not reach back far enough"))?;
    }
    if unordered > 0 {
        super::say(&format!(
            "{unordered} rows of the files stand behind later ones and count from those on"
        ))?;
    }
    match gaps.as_slice() {
        [] => Ok(()),
        topics => super::say(&format!("the log lacks records in the midst: {}", topics.join(", "))),
    }
}
