//! What a broker's error code means for a batch.

use rdkafka::error::RDKafkaErrorCode as Code;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Written,
    /// It may be written by another try.
    Again,
    /// One before it is not written.
    OutOfOrder,
    Refused(Code),
}

pub const NONE: i16 = 0;
pub const UNKNOWN_TOPIC: i16 = 3;
pub const LEADER_NOT_AVAILABLE: i16 = 5;
const OUT_OF_ORDER_SEQUENCE: i16 = 45;
const DUPLICATE_SEQUENCE: i16 = 46;
/// Corrupt on the way, no leader (yet, or any more), timed out, a replica or the broker away, too few replicas (also
/// after writing), its disk, its quota.
const RETRIABLE: [i16; 12] = [2, UNKNOWN_TOPIC, LEADER_NOT_AVAILABLE, 6, 7, 8, 9, 13, 19, 20, 56, 89];

impl Outcome {
    pub fn of(code: i16) -> Outcome {
        match code {
            // Written by the try before, whose answer was lost.
            NONE | DUPLICATE_SEQUENCE => Outcome::Written,
            OUT_OF_ORDER_SEQUENCE => Outcome::OutOfOrder,
            code if RETRIABLE.contains(&code) => Outcome::Again,
            code => Outcome::Refused(named(code)),
        }
    }
}

/// The codes that are told apart in what the operator reads.
pub fn named(code: i16) -> Code {
    match code {
        UNKNOWN_TOPIC => Code::UnknownTopicOrPartition,
        10 => Code::MessageSizeTooLarge,
        17 => Code::InvalidTopic,
        29 => Code::TopicAuthorizationFailed,
        31 => Code::ClusterAuthorizationFailed,
        40 => Code::InvalidConfig,
        44 => Code::PolicyViolation,
        47 => Code::InvalidProducerEpoch,
        59 => Code::UnknownProducerId,
        87 => Code::InvalidRecord,
        _ => Code::Unknown,
    }
}
