//! Watches the contracts on freshness: asks whether what is followed has reached the centre, and looks at
//! burn rates.

use crate::db::Readers;
use crate::slo::{Sample, Slos};
use crate::sync;
use shared::error::Result;
use shared::shutdown::Shutdown;
use shared::time::Clock;
use std::sync::Arc;
use std::time::Duration;

/// How exactly it is known when the centre has something.
const ASK: Duration = Duration::from_millis(10);
/// Of these, every so many looks at the burn rates.
const LOOK_EVERY: u32 = 100;

/// The watcher's parts.
pub struct Freshness {
    pub slos: Arc<Slos>,
    pub readers: Readers,
    pub clock: Clock,
}

impl Freshness {
    /// Watches until the program stops.
    pub async fn run(self, shutdown: Shutdown) {
        let mut ticks = tokio::time::interval(ASK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut turn = 0_u32;
        loop {
            tokio::select! {
                () = shutdown.wait() => return,
                _ = ticks.tick() => {}
            }
            // A file that cannot be read is said by those who need it more.
            let _ = self.ask().await;
            turn = (turn + 1) % LOOK_EVERY;
            if turn == 0 {
                self.slos.look(self.clock.now().micros());
            }
        }
    }

    async fn ask(&self) -> Result<()> {
        let asked = self.slos.waiting();
        if asked.is_empty() {
            return Ok(());
        }
        let list = asked.clone();
        let still = self.readers.run(move |connection| {
            let mut still: Vec<Sample> = Vec::new();
            for sample in list {
                if sync::waits::waits(connection, sample.view, &sample.entity)? {
                    still.push(sample);
                }
            }
            Ok(still)
        });
        let still = still.await?;
        self.slos.arrived(&asked, &still, self.clock.now().micros());
        Ok(())
    }
}
