//! Where a record goes that cannot be converted: to the dead-letter topic, counted and said in the log;
//! without such a topic it stops the connector.

use crate::config::Config;
use crate::encode::DeadLetters;
use crate::metrics;
use crate::model::change::{Marker, Origin, PostgresOrigin};
use crate::model::encoded::Encoded;
use crate::model::refusal::Refusal;
use shared::{Error, Kind, Result};
use std::time::{Duration, Instant};

/// One line in the log for all that came within this time.
const SAY_INTERVAL: Duration = Duration::from_secs(10);

const NO_TOPIC: &str = "repair the row, leave the column or the table out, or set sink.dead_letter_topic; nothing after it was confirmed";

pub(super) struct Letters {
    dead: Option<DeadLetters>,
    said: Option<Instant>,
    unsaid: u64,
}

impl Letters {
    pub fn new(config: &Config) -> Letters {
        let max_bytes = usize::try_from(config.sink.message_max_bytes).unwrap_or(usize::MAX);
        let name = &config.offset.connector;
        let topic = config.sink.dead_letter_topic.clone();
        Letters {
            dead: topic.map(|topic| DeadLetters::new(topic, name.clone(), max_bytes)),
            said: None,
            unsaid: 0,
        }
    }

    /// Whether what failed so goes to the topic.
    pub fn takes(&self, error: &Error) -> bool {
        self.dead.is_some() && error.kind() == Kind::Data
    }

    /// Hands the dead letter to `take`.
    ///
    /// # Errors
    /// Those of `take`; the refusal's own if it is not for the topic.
    pub fn write(
        &mut self,
        refusal: &Refusal<'_>,
        take: &mut dyn FnMut(&Encoded<'_>) -> Result<()>,
    ) -> Result<()> {
        let Some(dead) = self.dead.as_mut().filter(|_| refusal.error.kind() == Kind::Data) else {
            let error = refusal.error;
            return Err(stops(Error::new(error.kind(), error.to_string())));
        };
        dead.write(refusal, take)?;
        metrics::EVENT_REFUSED.with_label_values(&[phase(refusal)]).inc();
        let topic = dead.topic();
        if self.said.is_none_or(|said| said.elapsed() >= SAY_INTERVAL) {
            tracing::warn!(
                event = "record_refused",
                table = refusal.table.map(tracing::field::display),
                position = refusal.origin.map(|Origin::Postgres(origin)| tracing::field::display(origin.lsn)),
                error = %refusal.error,
                topic,
                more = std::mem::take(&mut self.unsaid),
                remedy = "read the topic, repair the row or the settings, and send it again",
                "a record went to the dead-letter topic"
            );
            self.said = Some(Instant::now());
        } else {
            self.unsaid += 1;
        }
        Ok(())
    }
}

/// An error that no topic takes: what to do about it, if the place where it arose did not say.
pub(super) fn stops(error: Error) -> Error {
    if error.kind() == Kind::Data { error.remedy(NO_TOPIC) } else { error }
}

/// Whether it is part of a snapshot or of the stream.
fn phase(refusal: &Refusal<'_>) -> &'static str {
    match refusal.origin {
        Some(Origin::Postgres(PostgresOrigin { snapshot, .. })) if snapshot != Marker::Streamed => "snapshot",
        _ => "stream",
    }
}
