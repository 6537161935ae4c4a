//! What librdkafka tells from within `poll`: acknowledgements, lost brokers, what it sent.

use rdkafka::Statistics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub struct Reports(Mutex<State>);

#[derive(Default)]
struct State {
    /// Number of a piece and how many of its records; those of one piece mostly come together.
    acknowledged: Vec<(u64, u64)>,
    /// The first delivery that failed for good.
    failed: Option<(KafkaError, String)>,
    /// Why no broker can be reached.
    lost: Option<String>,
    /// Its last words about a broker: they say more than a time-out does.
    words: Option<String>,
    /// Bytes on the link since the client was made.
    sent_bytes: Option<u64>,
}

impl Reports {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the acknowledgements so far to the end of `out`.
    pub fn take(&self, out: &mut Vec<(u64, u64)>) {
        out.append(&mut self.state().acknowledged);
    }

    pub fn has_news(&self) -> bool {
        !self.state().acknowledged.is_empty()
    }

    pub fn failure(&self) -> Option<(KafkaError, String)> {
        self.state().failed.clone()
    }

    /// Why no broker can be reached; forgotten with the next acknowledgement.
    pub fn lost(&self) -> Option<String> {
        self.state().lost.clone()
    }

    pub fn last_words(&self) -> Option<String> {
        self.state().words.clone()
    }

    /// Bytes sent since the client was made, if they were counted anew.
    pub fn take_sent_bytes(&self) -> Option<u64> {
        self.state().sent_bytes.take()
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let mut state = self.state();
        match result {
            Ok(_) => {
                state.lost = None;
                let number = number as u64;
                match state.acknowledged.last_mut() {
                    Some((last, count)) if *last == number => *count += 1,
                    _ => state.acknowledged.push((number, 1)),
                }
            }
            Err((error, message)) => {
                state.failed.get_or_insert_with(|| (error.clone(), message.topic().to_owned()));
            }
        }
    }
}

impl ClientContext for Reports {
    /// Its lines are details of what we say ourselves, once.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(event = "librdkafka", facility, text, "librdkafka says");
    }

    fn stats(&self, statistics: Statistics) {
        self.state().sent_bytes = u64::try_from(statistics.tx_bytes).ok();
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut state = self.state();
        state.words = Some(reason.to_owned());
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            state.lost = Some(reason.to_owned());
        }
    }
}

/// For clients whose troubles are told as errors of their calls.
pub struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, text: &str) {
        tracing::debug!(event = "librdkafka", facility, text, "librdkafka says");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(event = "librdkafka", %error, reason, "librdkafka reports an error");
    }
}

impl ConsumerContext for Quiet {}
