//! The first signal asks to stop and drains; the second leaves at once.

use crate::error::{Kind, OrKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether somebody asked to stop; cheap to clone and to look at from any thread.
#[derive(Clone, Debug)]
pub struct Shutdown {
    flag: Arc<AtomicBool>,
    changed: watch::Sender<bool>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { flag: Arc::default(), changed: watch::channel(false).0 }
    }
}

impl Shutdown {
    pub fn requested(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    pub fn request(&self) {
        self.flag.store(true, Ordering::Release);
        self.changed.send_replace(true);
    }

    /// Ends when somebody asks to stop.
    pub async fn wait(&self) {
        let mut changes = self.changed.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = changes.wait_for(|stop| *stop).await;
    }

    /// Listens for SIGTERM and SIGINT; the task ends with the runtime.
    pub fn listen(&self) -> Result<()> {
        let mut term = signal(SignalKind::terminate()).or_kind(Kind::Bug)?;
        let mut int = signal(SignalKind::interrupt()).or_kind(Kind::Bug)?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            let mut asked = false;
            loop {
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                if asked {
                    tracing::warn!(event = "shutdown_forced", "second signal: leaving at once");
                    std::process::exit(1);
                }
                asked = true;
                shutdown.request();
            }
        });
        Ok(())
    }
}
