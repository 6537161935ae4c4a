//! ListOffsets: where a partition begins and ends, and which offset belongs to a time.

use super::answer::{Answer, Asked, Pending, code, text};
use super::wire::{Fields, Read};
use crate::buffer::{LEADER_EPOCH, Log, Partition};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsTopicResponse,
};
use kafka_protocol::messages::{ListOffsetsResponse, TopicName};
use shared::Result;
use std::sync::Arc;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// The record with the newest time: not kept as such.
const NEWEST_TIME: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
/// The newest offset moved to remote storage: there is none.
const LATEST_TIERED: i64 = -5;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub topics: Vec<TopicWanted>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct TopicWanted {
    pub name: String,
    /// Index and time.
    pub partitions: Vec<(i32, i64)>,
}

pub(super) fn decode(fields: &mut Fields<'_>, version: i16) -> Read<Request> {
    fields.i32()?; // -1, or the broker that asks
    if version >= 2 {
        fields.i8()?; // isolation: without transactions both kinds are the same
    }
    let topics = fields.list(|fields| {
        let name = fields.string()?.to_owned();
        let partitions = fields.list(|fields| {
            let index = fields.i32()?;
            if version >= 4 {
                fields.i32()?; // the leader's epoch, as the client knows it
            }
            let time_ms = fields.i64()?;
            fields.tags()?;
            Ok((index, time_ms))
        })?;
        fields.tags()?;
        Ok(TopicWanted { name, partitions })
    })?;
    if version >= 10 {
        fields.i32()?; // how long to wait for remote storage
    }
    fields.tags()?;
    Ok(Request { topics })
}

pub(super) fn answer(log: Arc<Log>, request: Request, asked: Asked) -> Pending {
    Box::pin(async move {
        let mut topics = Vec::with_capacity(request.topics.len());
        for wanted in request.topics {
            let topic = log.topic(&wanted.name);
            let mut partitions = Vec::with_capacity(wanted.partitions.len());
            for (index, time_ms) in wanted.partitions {
                let partition = topic.as_ref().and_then(|topic| topic.partition(index)).cloned();
                partitions.push(one(&log, partition, index, time_ms, asked.version).await?);
            }
            topics.push(
                ListOffsetsTopicResponse::default()
                    .with_name(TopicName(text(&wanted.name)))
                    .with_partitions(partitions),
            );
        }
        let bytes = asked.frame(&ListOffsetsResponse::default().with_topics(topics))?;
        Ok(Some(Answer { bytes, memory: None }))
    })
}

async fn one(
    log: &Log,
    partition: Option<Arc<Partition>>,
    index: i32,
    time_ms: i64,
    version: i16,
) -> Result<ListOffsetsPartitionResponse> {
    let answer = ListOffsetsPartitionResponse::default().with_partition_index(index).with_timestamp(-1);
    let Some(partition) = partition else {
        return Ok(answer.with_error_code(code(ResponseError::UnknownTopicOrPartition)).with_offset(-1));
    };
    // The crate refuses to encode a field that the version lacks.
    let answer = if version >= 4 { answer.with_leader_epoch(LEADER_EPOCH) } else { answer };
    Ok(match time_ms {
        LATEST => answer.with_offset(partition.end()),
        EARLIEST | EARLIEST_LOCAL => answer.with_offset(partition.start()),
        LATEST_TIERED => answer.with_offset(-1),
        NEWEST_TIME => answer.with_error_code(code(ResponseError::UnsupportedVersion)).with_offset(-1),
        time_ms => match log.offset_at(partition, time_ms).await? {
            Some((offset, time_ms)) => answer.with_offset(offset).with_timestamp(time_ms),
            None => answer.with_offset(-1),
        },
    })
}
