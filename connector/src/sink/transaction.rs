//! Kafka's transactions: begun with the first record, ended by [`Transactions::commit`] or
//! [`Transactions::abort`].

use super::report::Reports;
use crate::config::sink::SinkConfig;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{BaseProducer, Producer};
use shared::error::{Error, Kind, Result};
use std::time::{Duration, Instant};

/// How long the brokers may take to end an earlier process's transaction.
const START_LIMIT: Duration = Duration::from_secs(30);
const SLICE: Duration = Duration::from_millis(50);

/// Where this producer's transactions stand.
pub struct Transactions {
    id: String,
    timeout: Duration,
    /// Since when one is open.
    open: Option<Instant>,
}

impl Transactions {
    /// `id` is the connector's own: whoever begins with it ends those that began before.
    pub fn new(id: &str, config: &SinkConfig) -> Transactions {
        let timeout = Duration::from_millis(config.transaction_timeout_ms.into());
        Transactions { id: id.to_owned(), timeout, open: None }
    }

    /// What librdkafka must know when the producer is made.
    pub fn set(&self, client: &mut ClientConfig) {
        let timeout = self.timeout.as_millis().to_string();
        client.set("transactional.id", &self.id).set("transaction.timeout.ms", &timeout);
        // No record may be waited for longer than its transaction.
        client.set("message.timeout.ms", timeout);
    }

    /// Ends an earlier process with this id, and its transaction.
    pub fn start(&mut self, producer: &BaseProducer<Reports>) -> Result<()> {
        self.open = None;
        producer.init_transactions(START_LIMIT).map_err(|error| self.refused(&error, "begin"))
    }

    #[inline]
    pub fn begin(&mut self, producer: &BaseProducer<Reports>) -> Result<()> {
        if self.open.is_some() {
            return Ok(());
        }
        producer.begin_transaction().map_err(|error| self.refused(&error, "begin"))?;
        self.open = Some(Instant::now());
        Ok(())
    }

    pub fn open(&self) -> bool {
        self.open.is_some()
    }

    pub fn commit(&mut self, producer: &BaseProducer<Reports>, limit: Duration) -> Result<()> {
        if self.open() {
            producer.commit_transaction(limit).map_err(|error| self.refused(&error, "commit"))?;
            self.open = None;
        }
        Ok(())
    }

    /// In slices: librdkafka waits for the reports of what it takes back, which only this thread serves.
    pub fn abort(&mut self, producer: &BaseProducer<Reports>, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        while self.open() {
            match producer.abort_transaction(SLICE) {
                Ok(()) => self.open = None,
                Err(KafkaError::Transaction(error)) if error.is_retriable() && Instant::now() < end => {
                    producer.poll(Duration::ZERO);
                }
                Err(error) => return Err(self.refused(&error, "abort")),
            }
        }
        producer.context().forget();
        Ok(())
    }

    /// What the brokers' refusal of a transaction, or of a record in one, asks of the operator.
    pub fn refused(&self, error: &KafkaError, step: &str) -> Error {
        let code = error.rdkafka_error_code();
        let words = code.map_or_else(|| error.to_string(), |code| format!("{code:?}: {code}"));
        let (kind, what, remedy) = match code {
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) if self.outlived() => (
                Kind::Rejected,
                format!("the transaction took longer than {} s ({words})", self.timeout.as_secs()),
                "raise sink.transaction_timeout_ms, and transaction.max.timeout.ms of the brokers, above the time \
                 that the largest transaction of the database takes to be sent",
            ),
            Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) => (
                Kind::Rejected,
                format!("another process runs as this connector and has taken over ({words})"),
                "run one process per connector, or give each its own offset.connector, event.topic_prefix and slot",
            ),
            Some(Code::InvalidTransactionTimeout) => (
                Kind::Config,
                format!("sink.transaction_timeout_ms is above the brokers' limit ({words})"),
                "lower it, or raise transaction.max.timeout.ms of the brokers",
            ),
            Some(Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed) => (
                Kind::Denied,
                format!("the brokers allow no transactions here ({words})"),
                "grant WRITE and DESCRIBE on the transactional id, or set sink.delivery = \"at_least_once\"",
            ),
            _ => (
                Kind::Unreachable,
                words,
                "check that the brokers run; what was not committed is taken back and sent again",
            ),
        };
        Error::new(kind, what).remedy(remedy).doing(format!("{step} transaction {}", self.id))
    }

    /// Whether the brokers have ended the open transaction for its age.
    fn outlived(&self) -> bool {
        self.open.is_some_and(|since| since.elapsed() >= self.timeout)
    }
}
