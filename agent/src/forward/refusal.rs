//! What central Kafka's refusals ask of the operator.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use shared::error::{Error, Kind};

/// What was not committed is taken back and sent again once they are reached.
pub const AWAY: &str =
    "check forward.kafka.brokers, forward.kafka.security, the link, and that the brokers run";

fn words(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| format!("{code:?}: {code}"))
}

/// Of a record, or of its topic. Those that are not retryable are the topic's alone.
pub fn of_record(error: &KafkaError, topic: &str) -> Error {
    let (kind, remedy) = match error.rdkafka_error_code() {
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) => (
            Kind::Rejected,
            "create the topic at the centre, or add a rule for it (forward.topic), or allow the brokers to make it",
        ),
        Some(Code::MessageSizeTooLarge) => {
            (Kind::Data, "raise forward.message_max_bytes, and max.message.bytes of the topic at the centre")
        }
        Some(Code::InvalidRecord) => {
            (Kind::Rejected, "a compacted topic takes no record without a key: change its cleanup.policy")
        }
        Some(Code::InvalidTopic | Code::PolicyViolation | Code::InvalidConfig) => {
            (Kind::Rejected, "the brokers' words say what they do not take")
        }
        Some(Code::TopicAuthorizationFailed) => (Kind::Denied, "grant WRITE, DESCRIBE and READ on the topic"),
        _ => (Kind::Unreachable, AWAY),
    };
    Error::new(kind, words(error)).remedy(remedy).doing(format!("deliver to topic {topic}"))
}

/// Of the group that holds how far we are.
pub fn of_group(error: &KafkaError) -> Error {
    let (kind, remedy) = match error.rdkafka_error_code() {
        Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed) => {
            (Kind::Denied, "grant READ on the groups and topics that begin with tidegate-agent-")
        }
        // The producer was answered just before: the brokers run.
        Some(Code::OperationTimedOut) => (
            Kind::Unreachable,
            "if this lasts while the brokers run, a transaction of this agent hangs there, neither committed nor \
             aborted: `kafka-transactions.sh find-hanging --broker-id … --max-transaction-timeout 0` names its \
             partitions, `abort` ends it in each, then what it held is brought again",
        ),
        _ => (Kind::Unreachable, AWAY),
    };
    Error::new(kind, words(error)).remedy(remedy)
}

/// Of a transaction, or of a record in one. `outlived`: it is older than the brokers allow.
pub fn of_transaction(error: &KafkaError, step: &str, outlived: bool) -> Error {
    let words = words(error);
    let (kind, what, remedy) = match error.rdkafka_error_code() {
        Some(Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch) if !outlived => (
            Kind::Rejected,
            format!("another agent with a copy of this one's file has taken over ({words})"),
            "run one agent per file: give each a file of its own (db.path), then restart",
        ),
        Some(Code::InvalidTransactionTimeout) => (
            Kind::Config,
            format!("forward.transaction_timeout is above the brokers' limit ({words})"),
            "lower it, or raise transaction.max.timeout.ms of the brokers",
        ),
        Some(Code::TransactionalIdAuthorizationFailed | Code::ClusterAuthorizationFailed) => (
            Kind::Denied,
            format!("the brokers allow no transactions here ({words})"),
            "grant WRITE and DESCRIBE on the transactional ids that begin with tidegate-agent-, or set \
             forward.delivery = \"at_least_once\"",
        ),
        Some(Code::GroupAuthorizationFailed | Code::TopicAuthorizationFailed) => return of_group(error),
        Some(Code::UnsupportedFeature | Code::UnsupportedVersion) => (
            Kind::Config,
            format!("the brokers know no transactions ({words})"),
            "set forward.delivery = \"at_least_once\"",
        ),
        _ => (Kind::Unreachable, words, AWAY),
    };
    Error::new(kind, what).remedy(remedy).doing(format!("{step} a transaction"))
}
