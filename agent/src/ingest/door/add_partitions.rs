//! AddPartitionsToTxn: opens a producer's transaction. Which partitions it names matters only as far
//! as they must exist: what is sent to them says itself that it belongs to the transaction.

use super::answer::{Asked, Pending, code, text};
use super::door::Door;
use super::producer_id::refusal;
use super::wire::{Fields, Read};
use crate::buffer::Incarnation;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnTopicResult,
};
use kafka_protocol::messages::{AddPartitionsToTxnResponse, TopicName};
use shared::Result;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub transactional_id: &'a str,
    pub who: Incarnation,
    pub topics: Vec<(&'a str, Vec<i32>)>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>) -> Read<Request<'a>> {
    let transactional_id = fields.string()?;
    let who = Incarnation { producer: fields.i64()?, epoch: fields.i16()? };
    let topics = fields.list(|fields| {
        let topic = (fields.string()?, fields.list(Fields::i32)?);
        fields.tags()?;
        Ok(topic)
    })?;
    fields.tags()?;
    Ok(Request { transactional_id, who, topics })
}

pub(super) async fn answer(door: &Door, request: &Request<'_>, asked: Asked) -> Result<Pending> {
    let exists = |name: &str, index: i32| door.log.topic(name).is_some_and(|t| t.partition(index).is_some());
    let all_exist =
        request.topics.iter().all(|(name, indexes)| indexes.iter().all(|index| exists(name, *index)));
    let whole = match all_exist {
        true => opened(door, request, asked.version).await?,
        false => 0,
    };
    let one = |name: &str, index: i32| {
        let error = match (all_exist, exists(name, index)) {
            (true, _) => whole,
            (false, true) => code(ResponseError::OperationNotAttempted),
            (false, false) => code(ResponseError::UnknownTopicOrPartition),
        };
        AddPartitionsToTxnPartitionResult::default()
            .with_partition_index(index)
            .with_partition_error_code(error)
    };
    let topics = request.topics.iter().map(|(name, indexes)| {
        AddPartitionsToTxnTopicResult::default()
            .with_name(TopicName(text(name)))
            .with_results_by_partition(indexes.iter().map(|index| one(name, *index)).collect())
    });
    let topics = topics.collect();
    Ok(asked.ready(&AddPartitionsToTxnResponse::default().with_results_by_topic_v3_and_below(topics)))
}

async fn opened(door: &Door, request: &Request<'_>, version: i16) -> Result<i16> {
    match door.log.open_transaction(request.transactional_id, request.who).await {
        Ok(Ok(())) => Ok(0),
        // Version 2 is the first that knows the newer word.
        Ok(Err(denial)) => Ok(code(refusal(denial, version >= 2))),
        Err(error) if error.retryable() => Ok(code(ResponseError::CoordinatorLoadInProgress)),
        Err(error) => Err(error),
    }
}
