//! What a person at a terminal sees while tables are read: a bar below the log's lines.

use crate::pipeline::progress::Progress;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use shared::shutdown::Shutdown;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::time::Duration;

const REFRESH: Duration = Duration::from_millis(200);
const LOOK: &str = "{wide_bar} {percent} %  {msg}  {elapsed_precise}";

/// Writes the log's lines; the bar makes room for each.
#[derive(Clone)]
pub struct Lines(MultiProgress);

/// `None` if nobody looks.
pub fn lines() -> Option<Lines> {
    std::io::stderr().is_terminal().then(|| Lines(MultiProgress::new()))
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stderr().write_all(line)).map(|()| line.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

impl Lines {
    /// Shows the bar whenever a snapshot is being read, until the end.
    pub async fn show(self, progress: Arc<Progress>, shutdown: Shutdown) {
        let mut bar: Option<ProgressBar> = None;
        while !shutdown.requested() {
            match (progress.snapshot(), &bar) {
                (Some(at), Some(bar)) => {
                    bar.set_position(at.permille.into());
                    bar.set_message(format!("{}/{} tables, {} rows", at.tables_done, at.tables, at.rows));
                }
                (Some(_), None) => {
                    let shown = self.0.add(ProgressBar::new(1_000));
                    if let Ok(style) = ProgressStyle::with_template(LOOK) {
                        shown.set_style(style);
                    }
                    bar = Some(shown);
                }
                (None, Some(shown)) => {
                    shown.finish_and_clear();
                    bar = None;
                }
                (None, None) => {}
            }
            tokio::time::sleep(REFRESH).await;
        }
    }
}
