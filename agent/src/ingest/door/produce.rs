//! Produce: batches are checked here, on the connection's own task, then queued for the log; the
//! answer waits for the commit.

use super::answer::{Answer, Asked, Pending, code, text};
use super::door::Door;
use super::wire::{Fields, Read};
use crate::buffer::{Append, Outcome, Refusal, Topic};
use crate::metrics;
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::produce_response::{PartitionProduceResponse, TopicProduceResponse};
use kafka_protocol::messages::{ProduceResponse, TopicName};
use shared::Result;
use shared::kafka::batch::{Head, Unsound};
use std::ops::Range;
use std::sync::Arc;
use tokio::sync::oneshot;
use uuid::Uuid;

/// A hint to slow down when the budget is nearly used up. Java's client waits, librdkafka does
/// not: the protection is the refusal at the limit.
const THROTTLE_HINT_MS: i32 = 100;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub acks: i16,
    pub topics: Vec<TopicData<'a>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct TopicData<'a> {
    /// Empty from version 13 on.
    pub name: &'a str,
    /// Nil up to version 12.
    pub uuid: Uuid,
    pub partitions: Vec<PartitionData>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartitionData {
    pub index: i32,
    /// Where the batch stands in the frame.
    pub records: Option<Range<usize>>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Request<'a>> {
    // The transactional id: the batches say themselves that they belong to a transaction.
    fields.nullable_string()?;
    let acks = fields.i16()?;
    fields.i32()?; // how long to wait for replicas, of which there are none
    let topics = fields.list(|fields| {
        let name = if version <= 12 { fields.string()? } else { "" };
        let uuid = if version >= 13 { fields.uuid()? } else { Uuid::nil() };
        let partitions = fields.list(|fields| {
            let data = PartitionData { index: fields.i32()?, records: fields.nullable_bytes()? };
            fields.tags()?;
            Ok(data)
        })?;
        fields.tags()?;
        Ok(TopicData { name, uuid, partitions })
    })?;
    fields.tags()?;
    Ok(Request { acks, topics })
}

/// What the answer will say of a partition.
enum Slot {
    Refused(ResponseError),
    /// The next outcome of the log.
    Queued,
}

struct TopicSlots {
    name: String,
    uuid: Uuid,
    partitions: Vec<(i32, Slot)>,
}

/// A request sorted into what goes to the log and what is refused at once.
pub(super) struct Plan {
    acks: i16,
    topics: Vec<TopicSlots>,
    pub appends: Vec<Append>,
}

pub(super) fn plan(door: &Door, request: &Request<'_>, frame: &[u8]) -> Plan {
    let mut appends = Vec::new();
    let mut topics = Vec::with_capacity(request.topics.len());
    let whole = whole_request(request);
    for data in &request.topics {
        let by_id = !data.uuid.is_nil() || data.name.is_empty();
        let topic = if by_id { door.log.topic_by_uuid(&data.uuid) } else { door.log.topic(data.name) };
        let unknown = match by_id {
            true => ResponseError::UnknownTopicId,
            false => ResponseError::UnknownTopicOrPartition,
        };
        let mut partitions = Vec::with_capacity(data.partitions.len());
        for partition in &data.partitions {
            let checked = match whole {
                Some(error) => Err(error),
                None => check(topic.as_deref(), partition, frame, unknown),
            };
            let slot = match checked {
                Ok(append) => {
                    appends.push(append);
                    Slot::Queued
                }
                Err(error) => {
                    metrics::BUFFER_REFUSED.with_label_values(&["unsound"]).inc();
                    Slot::Refused(error)
                }
            };
            partitions.push((partition.index, slot));
        }
        topics.push(TopicSlots { name: data.name.to_owned(), uuid: data.uuid, partitions });
    }
    Plan { acks: request.acks, topics, appends }
}

/// What is wrong with the request as a whole.
fn whole_request(request: &Request<'_>) -> Option<ResponseError> {
    match request.acks {
        -1..=1 => None,
        _ => Some(ResponseError::InvalidRequiredAcks),
    }
}

fn check(
    topic: Option<&Topic>,
    data: &PartitionData,
    frame: &[u8],
    unknown: ResponseError,
) -> std::result::Result<Append, ResponseError> {
    let topic = topic.ok_or(unknown)?;
    // A known topic without that partition: asking again for metadata is the cure in any version.
    let partition = topic.partition(data.index).ok_or(ResponseError::UnknownTopicOrPartition)?;
    let range = data.records.clone().ok_or(ResponseError::InvalidRecord)?;
    let bytes = frame.get(range.clone()).ok_or(ResponseError::CorruptMessage)?;
    let head = Head::read(bytes).map_err(|unsound| match unsound {
        Unsound::Corrupt => ResponseError::CorruptMessage,
        Unsound::Format => ResponseError::UnsupportedForMessageFormat,
        Unsound::Codec => ResponseError::UnsupportedCompressionType,
        Unsound::Invalid => ResponseError::InvalidRecord,
    })?;
    Ok(Append { partition: Arc::clone(partition), head, range })
}

impl Plan {
    /// The answer, once the log has said what became of the batches. `outcomes` is `None` if none
    /// was sent there.
    pub fn answer(
        self,
        asked: Asked,
        outcomes: Option<oneshot::Receiver<Result<Vec<Outcome>>>>,
        pressed: bool,
    ) -> Pending {
        Box::pin(async move {
            if self.acks == 0 {
                return Ok(None);
            }
            let outcomes = match outcomes {
                Some(outcomes) => outcomes.await.unwrap_or_else(|_| Ok(Vec::new())).unwrap_or_default(),
                None => Vec::new(),
            };
            let bytes = self.encode(asked, &outcomes, pressed)?;
            Ok(Some(Answer { bytes, memory: None }))
        })
    }

    fn encode(self, asked: Asked, outcomes: &[Outcome], pressed: bool) -> Result<Bytes> {
        let mut outcomes = outcomes.iter();
        let mut one = |(index, slot): (i32, Slot)| {
            let (code, base_offset) = match slot {
                Slot::Refused(error) => (code(error), -1),
                Slot::Queued => outcome_code(outcomes.next().copied()),
            };
            PartitionProduceResponse::default()
                .with_index(index)
                .with_error_code(code)
                .with_base_offset(base_offset)
                .with_log_append_time_ms(-1)
                .with_log_start_offset(-1)
        };
        let responses = self
            .topics
            .into_iter()
            .map(|topic| {
                TopicProduceResponse::default()
                    .with_name(TopicName(text(&topic.name)))
                    .with_topic_id(topic.uuid)
                    .with_partition_responses(topic.partitions.into_iter().map(&mut one).collect())
            })
            .collect();
        let throttle = if pressed { THROTTLE_HINT_MS } else { 0 };
        asked.frame(&ProduceResponse::default().with_responses(responses).with_throttle_time_ms(throttle))
    }
}

/// Kafka's code and the offset. 56 for "not now": of all retriable codes the one that librdkafka
/// and Java both take up again in order (89, made for quotas, fails for good in librdkafka).
fn outcome_code(outcome: Option<Outcome>) -> (i16, i64) {
    match outcome {
        Some(Outcome::Stored { base_offset }) => (0, base_offset),
        Some(Outcome::Refused(refusal)) => {
            let error = match refusal {
                Refusal::Full => ResponseError::KafkaStorageError,
                Refusal::OutOfOrder => ResponseError::OutOfOrderSequenceNumber,
                Refusal::DuplicateSequence => ResponseError::DuplicateSequenceNumber,
                Refusal::StaleEpoch => ResponseError::InvalidProducerEpoch,
                Refusal::NoTransaction => ResponseError::InvalidTxnState,
                Refusal::NoTransactionalId => ResponseError::InvalidProducerIdMapping,
                Refusal::TopicGone => ResponseError::UnknownTopicOrPartition,
            };
            (code(error), -1)
        }
        // The commit failed, and the log has said so.
        None => {
            metrics::BUFFER_REFUSED.with_label_values(&["storage"]).inc();
            (code(ResponseError::KafkaStorageError), -1)
        }
    }
}
