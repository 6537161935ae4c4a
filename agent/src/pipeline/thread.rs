//! Work that blocks on the file has a thread of its own; whoever started it waits for its end.

use shared::error::{Error, Kind, OrKind, Result};
use std::thread::JoinHandle;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A thread at work.
pub struct Running {
    name: &'static str,
    thread: JoinHandle<()>,
    outcome: oneshot::Receiver<Result<()>>,
}

/// Starts `work`, which may wait on the runtime.
pub fn start(
    name: &'static str,
    work: impl FnOnce(&Handle) -> Result<()> + Send + 'static,
) -> Result<Running> {
    let runtime = Handle::current();
    let (done, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            // The receiver waits until this thread ends.
            let _ = done.send(work(&runtime));
        })
        .or_kind(Kind::Bug)?;
    Ok(Running { name, thread, outcome })
}

impl Running {
    /// Waits for the end.
    pub async fn end(self) -> Result<()> {
        let panicked = || Err(Error::new(Kind::Bug, format!("the thread {} panicked", self.name)));
        let outcome = self.outcome.await.unwrap_or_else(|_| panicked());
        // A panic has said so itself.
        let _ = self.thread.join();
        outcome
    }
}
