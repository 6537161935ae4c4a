//! What librdkafka tells the producer: delivery reports, lost brokers, log lines. Called from
//! within the pipeline's own `poll`.

use crate::metrics;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use shared::error::{Error, Kind};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The producer's context.
#[derive(Default)]
pub struct Reports(Mutex<State>);

#[derive(Default)]
struct State {
    /// Unit and count; reports of one unit come together, so the last entry usually fits.
    acknowledged: Vec<(u64, u64)>,
    /// Keys and values of those.
    bytes: usize,
    /// The first delivery that failed for good.
    failed: Option<(KafkaError, String)>,
    /// Why no broker can be reached.
    lost: Option<String>,
    /// librdkafka's last words about a broker: they say more than a time-out does.
    words: Option<String>,
}

impl Reports {
    /// A panic elsewhere leaves the state usable: each change is one assignment.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the acknowledgements so far to the end of `out`; their keys and values took so many bytes.
    pub fn take(&self, out: &mut Vec<(u64, u64)>) -> usize {
        let mut state = self.state();
        out.append(&mut state.acknowledged);
        std::mem::take(&mut state.bytes)
    }

    /// The first delivery that failed for good, and its topic.
    pub fn failure(&self) -> Option<(KafkaError, String)> {
        self.state().failed.clone()
    }

    /// Reports of what was taken back mean nothing.
    pub fn forget(&self) {
        let mut state = self.state();
        (state.failed, state.bytes) = (None, 0);
        state.acknowledged.clear();
    }

    pub fn lost(&self) -> Option<String> {
        self.state().lost.clone()
    }

    pub fn found(&self) {
        self.state().lost = None;
    }

    pub fn last_words(&self) -> Option<String> {
        self.state().words.clone()
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, unit: usize) {
        let mut state = self.state();
        match result {
            Ok(message) => {
                state.lost = None;
                state.bytes += message.key_len() + message.payload_len();
                let unit = unit as u64;
                match state.acknowledged.last_mut() {
                    Some((last, count)) if *last == unit => *count += 1,
                    _ => state.acknowledged.push((unit, 1)),
                }
            }
            Err((error, message)) => {
                metrics::SINK_FAILED.inc();
                if state.failed.is_none() {
                    state.failed = Some((error.clone(), message.topic().to_owned()));
                }
            }
        }
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let mut state = self.state();
        state.words = Some(reason.to_owned());
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // Once per outage: the client says it for each of its connections.
            if state.lost.is_none() {
                tracing::warn!(
                    event = "kafka_lost",
                    error = reason,
                    "no broker can be reached, records wait"
                );
            }
            state.lost = Some(reason.to_owned());
        } else {
            tracing::debug!(event = "kafka_error", %error, reason, "librdkafka reports an error");
        }
    }
}

/// librdkafka's lines. It retries by itself, so what it calls an error is at most a warning.
pub fn log(level: RDKafkaLogLevel, facility: &str, text: &str) {
    match level {
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => {
            tracing::warn!(event = "librdkafka", facility, error = text, "librdkafka says");
        }
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(event = "librdkafka", facility, text, "librdkafka says");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(event = "librdkafka", facility, text, "librdkafka says"),
    }
}

/// A record that was not taken, or not delivered for good.
pub fn refused(error: &KafkaError, topic: &str) -> Error {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    let (kind, remedy) = match code {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => {
            (Kind::Rejected, "create the topic, or allow the brokers to (auto.create.topics.enable)")
        }
        Some(Code::MessageSizeTooLarge) => {
            (Kind::Data, "raise sink.message_max_bytes, and max.message.bytes of the topic")
        }
        Some(Code::InvalidRecord) => {
            (Kind::Rejected, "a compacted topic takes no record without a key: give the table a key")
        }
        Some(Code::InvalidTopic | Code::PolicyViolation | Code::InvalidConfig) => {
            (Kind::Rejected, "the brokers' words say what they do not take")
        }
        Some(
            Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::SaslAuthenticationFailed
            | Code::Authentication,
        ) => (Kind::Denied, "grant WRITE on the topic (and IDEMPOTENT_WRITE on old clusters)"),
        // The idempotent producer cannot go on by itself; a new one can.
        _ => (
            Kind::Unreachable,
            "nothing if it passes: a new producer sends again what is not acknowledged; else see the brokers' logs",
        ),
    };
    let words = code.map_or_else(|| error.to_string(), |code| format!("{code:?}: {code}"));
    Error::new(kind, words).remedy(remedy).doing(format!("deliver to topic {topic}"))
}
