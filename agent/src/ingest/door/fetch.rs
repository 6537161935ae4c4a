//! Fetch: stored batches as they are, so that what was produced can be read back. No sessions, no
//! groups; a reader keeps its own offsets. The first batch may begin below the offset asked for:
//! clients drop the records before it.

use super::answer::{Answer, Asked, Pending, code, text};
use super::door::Door;
use super::wire::{Fields, Read};
use crate::buffer::{Partition, Topic};
use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::fetch_response::{FetchableTopicResponse, PartitionData};
use kafka_protocol::messages::{FetchResponse, TopicName};
use shared::{Error, Kind, Result};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use uuid::Uuid;

/// The longest a reader may wait for news, whatever it asks for.
const MAX_WAIT: Duration = Duration::from_secs(30);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub max_wait_ms: i32,
    pub min_bytes: i32,
    pub max_bytes: i32,
    pub topics: Vec<TopicWanted>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct TopicWanted {
    /// Empty from version 13 on.
    pub name: String,
    /// Nil up to version 12.
    pub uuid: Uuid,
    pub partitions: Vec<PartitionWanted>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PartitionWanted {
    pub index: i32,
    pub offset: i64,
    pub max_bytes: i32,
}

pub(super) fn decode(fields: &mut Fields<'_>, version: i16) -> Read<Request> {
    if version <= 14 {
        fields.i32()?; // -1, or the broker that replicates
    }
    let (max_wait_ms, min_bytes, max_bytes) = (fields.i32()?, fields.i32()?, fields.i32()?);
    fields.i8()?; // isolation: without transactions both kinds are the same
    if version >= 7 {
        fields.i32()?; // a session, which is never given
        fields.i32()?;
    }
    let topics = fields.list(|fields| topic(fields, version))?;
    if version >= 7 {
        fields.list(|fields| forgotten(fields, version))?;
    }
    if version >= 11 {
        fields.string()?; // the reader's rack
    }
    fields.tags()?;
    Ok(Request { max_wait_ms, min_bytes, max_bytes, topics })
}

fn topic(fields: &mut Fields<'_>, version: i16) -> Read<TopicWanted> {
    let name = if version <= 12 { fields.string()?.to_owned() } else { String::new() };
    let uuid = if version >= 13 { fields.uuid()? } else { Uuid::nil() };
    let partitions = fields.list(|fields| {
        let index = fields.i32()?;
        if version >= 9 {
            fields.i32()?; // the leader's epoch, as the reader knows it
        }
        let offset = fields.i64()?;
        if version >= 12 {
            fields.i32()?; // the epoch of what it read last
        }
        if version >= 5 {
            fields.i64()?; // a replica's start
        }
        let max_bytes = fields.i32()?;
        fields.tags()?;
        Ok(PartitionWanted { index, offset, max_bytes })
    })?;
    fields.tags()?;
    Ok(TopicWanted { name, uuid, partitions })
}

/// What a session should no longer hold; passed over.
fn forgotten(fields: &mut Fields<'_>, version: i16) -> Read<()> {
    match version {
        ..=12 => drop(fields.string()?),
        _ => drop(fields.uuid()?),
    }
    fields.list(Fields::i32)?;
    fields.tags()
}

pub(super) fn answer(door: Arc<Door>, request: Request, asked: Asked) -> Pending {
    Box::pin(async move {
        let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)).min(MAX_WAIT);
        let deadline = Instant::now() + wait;
        let mut news = door.log.news();
        loop {
            news.borrow_and_update();
            let read = read(&door, &request).await?;
            let enough = read.bytes >= usize::try_from(request.min_bytes).unwrap_or(0).max(1);
            if enough || read.refused || Instant::now() >= deadline || door.shutdown.requested() {
                let memory = Some(read.memory);
                let bytes = asked.frame(&FetchResponse::default().with_responses(read.topics))?;
                return Ok(Some(Answer { bytes, memory }));
            }
            drop(read);
            tokio::select! {
                _ = news.changed() => {}
                () = tokio::time::sleep_until(deadline) => {}
                () = door.shutdown.wait() => {}
            }
        }
    })
}

struct Found {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    /// Whether a partition was refused: then the reader should hear of it at once.
    refused: bool,
    /// Held until the answer is written.
    memory: OwnedSemaphorePermit,
}

async fn read(door: &Door, request: &Request) -> Result<Found> {
    // A single batch may be as large as a frame, so that much is set aside and the rest given back.
    let aside = door.config.max_frame_bytes;
    let closed = |_| Error::new(Kind::Bug, "the budget for answers is closed");
    let mut memory = Arc::clone(&door.answers).acquire_many_owned(aside).await.map_err(closed)?;
    let mut left = at_least_one(request.max_bytes).min(door.config.max_fetch_bytes as usize);
    let (mut bytes, mut refused) = (0, false);
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in &request.topics {
        let by_id = wanted.name.is_empty();
        let topic = if by_id { door.log.topic_by_uuid(&wanted.uuid) } else { door.log.topic(&wanted.name) };
        let mut partitions = Vec::with_capacity(wanted.partitions.len());
        for partition in &wanted.partitions {
            let place = find(topic.as_deref(), partition, by_id);
            let data = match place {
                Ok(place) => one(door, place, partition, left, bytes == 0).await?,
                Err(data) => *data,
            };
            refused |= data.error_code != 0;
            let got = data.records.as_ref().map_or(0, Bytes::len);
            bytes += got;
            left = left.saturating_sub(got);
            partitions.push(data);
        }
        let answer = FetchableTopicResponse::default().with_partitions(partitions);
        topics.push(match by_id {
            true => answer.with_topic_id(wanted.uuid),
            false => answer.with_topic(TopicName(text(&wanted.name))),
        });
    }
    let unused = (aside as usize).saturating_sub(bytes);
    drop(memory.split(unused));
    Ok(Found { topics, bytes, refused, memory })
}

fn at_least_one(bytes: i32) -> usize {
    usize::try_from(bytes).unwrap_or(0).max(1)
}

/// The partition that is asked for, or the answer that it cannot be had.
fn find<'a>(
    topic: Option<&'a Topic>,
    wanted: &PartitionWanted,
    by_id: bool,
) -> std::result::Result<&'a Arc<Partition>, Box<PartitionData>> {
    let refuse = |error| Box::new(nothing(wanted.index).with_error_code(code(error)).with_high_watermark(-1));
    let topic = topic.ok_or_else(|| {
        refuse(if by_id { ResponseError::UnknownTopicId } else { ResponseError::UnknownTopicOrPartition })
    })?;
    let partition = topic.partition(wanted.index);
    partition.ok_or_else(|| refuse(ResponseError::UnknownTopicOrPartition))
}

fn nothing(index: i32) -> PartitionData {
    PartitionData::default()
        .with_partition_index(index)
        .with_aborted_transactions(None)
        .with_records(Some(Bytes::new()))
}

/// One partition's part of the answer. `left` bounds it, but what comes `first` brings at least one
/// batch, or a reader with a small limit would never get on.
async fn one(
    door: &Door,
    partition: &Arc<Partition>,
    wanted: &PartitionWanted,
    left: usize,
    first: bool,
) -> Result<PartitionData> {
    let (start, end) = (partition.start(), partition.end());
    let data = nothing(wanted.index)
        .with_high_watermark(end)
        .with_last_stable_offset(end)
        .with_log_start_offset(start);
    // Who read further in a file that this one is a copy of waits here for what is new.
    if !(start..=partition.next()).contains(&wanted.offset) {
        return Ok(data.with_error_code(code(ResponseError::OffsetOutOfRange)));
    }
    if wanted.offset >= end || (left == 0 && !first) {
        return Ok(data);
    }
    let limit = left.min(at_least_one(wanted.max_bytes));
    let records = match door.log.read_bytes(Arc::clone(partition), wanted.offset, limit).await {
        // The batch at this offset is damaged: the log has said so, and the reader must know.
        Err(error) if error.kind() == Kind::Data => {
            return Ok(data.with_error_code(code(ResponseError::CorruptMessage)));
        }
        read => read?,
    };
    // A batch that is too large beside others waits until it comes first.
    let fits = first || records.len() <= left;
    Ok(if fits { data.with_records(Some(records.freeze())) } else { data })
}
