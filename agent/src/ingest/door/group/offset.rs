//! OffsetCommit, OffsetFetch, and both halves of committing inside a transaction: AddOffsetsToTxn and
//! TxnOffsetCommit.

use super::super::answer::{Answer, Asked, Pending, code, text};
use super::super::door::Door;
use super::super::producer_id::refusal;
use super::super::wire::{Fields, Read};
use super::store::{self, Place};
use super::{Groups, MAX_PLACES, MAX_REMARK_BYTES};
use crate::buffer::Incarnation;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_commit_response::{
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use kafka_protocol::messages::txn_offset_commit_response::{
    TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use kafka_protocol::messages::{
    AddOffsetsToTxnResponse, OffsetCommitResponse, TopicName, TxnOffsetCommitResponse,
};
use shared::Result;
use shared::time::Clock;
use std::collections::HashSet;
use std::time::Instant;

/// Offsets that a member, or a transaction, wants to be kept.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Commit<'a> {
    pub group: &'a str,
    /// -1 without membership.
    pub generation: i32,
    pub member: &'a str,
    pub topics: Vec<(&'a str, Vec<Place>)>,
}

pub(in super::super) fn decode_commit<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Commit<'a>> {
    let (group, generation, member) = (fields.string()?, fields.i32()?, fields.string()?);
    if version >= 7 {
        fields.nullable_string()?; // the name of its instance
    }
    if (2..=4).contains(&version) {
        fields.i64()?; // how long to keep them
    }
    let topics = topics(fields, version >= 6)?;
    fields.tags()?;
    Ok(Commit { group, generation, member, topics })
}

fn topics<'a>(fields: &mut Fields<'a>, has_epoch: bool) -> Read<Vec<(&'a str, Vec<Place>)>> {
    fields.list(|fields| {
        let topic = fields.string()?;
        let places = fields.list(|fields| {
            let (partition, next_offset) = (fields.i32()?, fields.i64()?);
            let leader_epoch = if has_epoch { fields.i32()? } else { -1 };
            let metadata = fields.nullable_string()?.map(str::to_owned);
            fields.tags()?;
            Ok(Place { topic: topic.to_owned(), partition, next_offset, leader_epoch, metadata })
        })?;
        fields.tags()?;
        Ok((topic, places))
    })
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct TransactionCommit<'a> {
    pub transactional_id: &'a str,
    pub who: Incarnation,
    pub commit: Commit<'a>,
}

pub(in super::super) fn decode_transaction_commit<'a>(
    fields: &mut Fields<'a>,
    version: i16,
) -> Read<TransactionCommit<'a>> {
    let (transactional_id, group) = (fields.string()?, fields.string()?);
    let who = Incarnation { producer: fields.i64()?, epoch: fields.i16()? };
    let (mut generation, mut member) = (-1, "");
    if version >= 3 {
        (generation, member) = (fields.i32()?, fields.string()?);
        fields.nullable_string()?; // the name of its instance
    }
    let topics = topics(fields, version >= 2)?;
    fields.tags()?;
    Ok(TransactionCommit { transactional_id, who, commit: Commit { group, generation, member, topics } })
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct AddOffsets<'a> {
    pub transactional_id: &'a str,
    pub who: Incarnation,
    pub group: &'a str,
}

pub(in super::super) fn decode_add_offsets<'a>(fields: &mut Fields<'a>) -> Read<AddOffsets<'a>> {
    let transactional_id = fields.string()?;
    let who = Incarnation { producer: fields.i64()?, epoch: fields.i16()? };
    let group = fields.string()?;
    fields.tags()?;
    Ok(AddOffsets { transactional_id, who, group })
}

/// Opens the transaction: that offsets come is seen when they come.
pub(in super::super) async fn add_offsets(
    door: &Door,
    request: &AddOffsets<'_>,
    asked: Asked,
) -> Result<Pending> {
    let error = match door.log.open_transaction(request.transactional_id, request.who).await {
        Ok(Ok(())) => 0,
        Ok(Err(denial)) => code(refusal(denial, asked.version >= 2)),
        Err(error) if error.retryable() => code(ResponseError::CoordinatorLoadInProgress),
        Err(error) => return Err(error),
    };
    Ok(asked.ready(&AddOffsetsToTxnResponse::default().with_error_code(error)))
}

/// What may be kept, and per partition what is wrong otherwise.
fn sound(door: &Door, topics: &[(&str, Vec<Place>)]) -> (Vec<Place>, Vec<i16>) {
    let mut errors = Vec::new();
    let mut kept = Vec::new();
    for place in topics.iter().flat_map(|(_, places)| places) {
        let known = door.log.topic(&place.topic).is_some_and(|t| t.partition(place.partition).is_some());
        let error = match place {
            _ if !known => Some(ResponseError::UnknownTopicOrPartition),
            Place { metadata: Some(remark), .. } if remark.len() > MAX_REMARK_BYTES => {
                Some(ResponseError::OffsetMetadataTooLarge)
            }
            _ if kept.len() >= MAX_PLACES => Some(ResponseError::InvalidCommitOffsetSize),
            _ => None,
        };
        errors.push(error.map_or(0, code));
        if error.is_none() {
            kept.push(place.clone());
        }
    }
    (kept, errors)
}

impl Groups {
    /// May this member commit? Groups are made with their first commit as well as by joining.
    fn admits(&self, commit: &Commit<'_>) -> std::result::Result<(), ResponseError> {
        if commit.group.is_empty() || commit.group.len() > super::MAX_NAME_BYTES {
            return Err(ResponseError::InvalidGroupId);
        }
        let Commit { group, generation, member, .. } = commit;
        match self.with(group, |group| group.may_commit(member, *generation, Instant::now())) {
            Some(verdict) => verdict,
            None if *generation < 0 => Ok(()),
            None => Err(ResponseError::UnknownMemberId),
        }
    }

    pub async fn commit(&self, door: &Door, request: &Commit<'_>, asked: Asked) -> Result<Pending> {
        let (kept, mut errors) = sound(door, &request.topics);
        let whole = match self.admits(request) {
            Err(error) => code(error),
            Ok(()) if kept.is_empty() => 0,
            Ok(()) => self.keep(request.group, kept, None).await?,
        };
        errors.iter_mut().filter(|error| **error == 0).for_each(|error| *error = whole);
        let mut errors = errors.into_iter();
        let topics = request.topics.iter().map(|(name, places)| {
            let one = |place: &Place| {
                let partition =
                    OffsetCommitResponsePartition::default().with_partition_index(place.partition);
                partition.with_error_code(errors.next().unwrap_or(0))
            };
            let partitions = places.iter().map(one).collect();
            OffsetCommitResponseTopic::default().with_name(TopicName(text(name))).with_partitions(partitions)
        });
        let topics = topics.collect();
        Ok(asked.ready(&OffsetCommitResponse::default().with_topics(topics)))
    }

    pub async fn commit_in_transaction(
        &self,
        door: &Door,
        request: &TransactionCommit<'_>,
        asked: Asked,
    ) -> Result<Pending> {
        let (kept, mut errors) = sound(door, &request.commit.topics);
        let whole = match self.admits(&request.commit) {
            Err(error) => code(error),
            Ok(()) => {
                let transaction = Some((door, request.transactional_id, request.who));
                self.keep(request.commit.group, kept, transaction).await?
            }
        };
        errors.iter_mut().filter(|error| **error == 0).for_each(|error| *error = whole);
        let mut errors = errors.into_iter();
        let topics = request.commit.topics.iter().map(|(name, places)| {
            let one = |place: &Place| {
                let partition =
                    TxnOffsetCommitResponsePartition::default().with_partition_index(place.partition);
                partition.with_error_code(errors.next().unwrap_or(0))
            };
            let partitions = places.iter().map(one).collect();
            TxnOffsetCommitResponseTopic::default()
                .with_name(TopicName(text(name)))
                .with_partitions(partitions)
        });
        let topics = topics.collect();
        Ok(asked.ready(&TxnOffsetCommitResponse::default().with_topics(topics)))
    }

    /// Writes the offsets, for good or with a transaction; Kafka's error.
    async fn keep(
        &self,
        group: &str,
        places: Vec<Place>,
        transaction: Option<(&Door, &str, Incarnation)>,
    ) -> Result<i16> {
        let (name, max_groups) = (group.to_owned(), self.max_groups);
        let now_ms = Clock::System.now().millis();
        let kept = match transaction {
            None => self
                .db
                .write_async(move |tx| store::commit(tx, &name, &places, now_ms, max_groups))
                .await
                .map(Ok),
            Some((door, id, who)) => {
                let stage = move |tx: &rusqlite::Transaction<'_>| {
                    store::stage(tx, who.producer, &name, &places, now_ms, max_groups)
                };
                door.log.within_transaction(id, who, stage).await
            }
        };
        match kept {
            Ok(Ok(true)) => Ok(0),
            Ok(Ok(false)) => Ok(code(ResponseError::GroupAuthorizationFailed)),
            Ok(Err(denial)) => Ok(code(refusal(denial, true))),
            Err(error) if error.retryable() => Ok(code(ResponseError::CoordinatorLoadInProgress)),
            Err(error) => Err(error),
        }
    }
}

/// Topics with their partitions.
pub(in super::super) type Partitions = Vec<(String, Vec<i32>)>;

/// Which offsets are asked for.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct Fetch {
    /// One up to version 7, any number after; `None`: all partitions.
    pub groups: Vec<(String, Option<Partitions>)>,
    /// Whether offsets of open transactions are to be waited for.
    pub stable: bool,
}

pub(in super::super) fn decode_fetch(fields: &mut Fields<'_>, version: i16) -> Read<Fetch> {
    let topics = |fields: &mut Fields<'_>| {
        fields.nullable_list(|fields| {
            let topic = (fields.string()?.to_owned(), fields.list(Fields::i32)?);
            fields.tags()?;
            Ok(topic)
        })
    };
    let groups = if version <= 7 {
        vec![(fields.string()?.to_owned(), topics(fields)?)]
    } else {
        fields.list(|fields| {
            let name = fields.string()?.to_owned();
            if version >= 9 {
                fields.nullable_string()?; // the member, in the newer kind of group
                fields.i32()?;
            }
            let group = (name, topics(fields)?);
            fields.tags()?;
            Ok(group)
        })?
    };
    let stable = if version >= 7 { fields.bool()? } else { false };
    fields.tags()?;
    Ok(Fetch { groups, stable })
}

/// A partition's answer, whatever the version calls it.
struct Found {
    index: i32,
    place: Option<Place>,
    error: i16,
}

impl Groups {
    pub fn fetch(self: &std::sync::Arc<Self>, request: Fetch, asked: Asked) -> Pending {
        let groups = std::sync::Arc::clone(self);
        Box::pin(async move {
            let mut answers = Vec::with_capacity(request.groups.len());
            for (name, wanted) in request.groups {
                let topics = groups.places(&name, wanted, request.stable).await?;
                answers.push((name, topics));
            }
            let bytes = asked.frame(&encode(answers, asked.version))?;
            Ok(Some(Answer { bytes, memory: None }))
        })
    }

    async fn places(
        &self,
        group: &str,
        wanted: Option<Partitions>,
        stable: bool,
    ) -> Result<Vec<(String, Vec<Found>)>> {
        let name = group.to_owned();
        let read = move |reader: &rusqlite::Connection| {
            let open = if stable { store::unsettled(reader, &name)? } else { Vec::new() };
            Ok((store::all(reader, &name)?, open))
        };
        let (places, open) = self.readers.run(read).await?;
        let open: HashSet<(String, i32)> = open.into_iter().collect();
        let wanted = wanted.unwrap_or_else(|| {
            let mut all: Vec<(String, Vec<i32>)> = Vec::new();
            for place in &places {
                match all.last_mut() {
                    Some((topic, indexes)) if *topic == place.topic => indexes.push(place.partition),
                    _ => all.push((place.topic.clone(), vec![place.partition])),
                }
            }
            all
        });
        let one = |topic: &str, index: i32| {
            let is_open = open.contains(&(topic.to_owned(), index));
            let place = places.iter().find(|place| place.topic == topic && place.partition == index);
            let error = if is_open { code(ResponseError::UnstableOffsetCommit) } else { 0 };
            Found { index, place: place.cloned(), error }
        };
        let topic = |(topic, indexes): (String, Vec<i32>)| {
            let found = indexes.into_iter().map(|index| one(&topic, index)).collect();
            (topic, found)
        };
        Ok(wanted.into_iter().map(topic).collect())
    }
}

type Answers = Vec<(String, Vec<(String, Vec<Found>)>)>;

fn encode(answers: Answers, version: i16) -> kafka_protocol::messages::OffsetFetchResponse {
    use kafka_protocol::messages::offset_fetch_response::*;
    use kafka_protocol::messages::{GroupId, OffsetFetchResponse};
    let body = OffsetFetchResponse::default();
    let split = |place: Option<Place>| match place {
        Some(place) => (place.next_offset, place.leader_epoch, place.metadata.unwrap_or_default()),
        None => (-1, -1, String::new()),
    };
    if version >= 8 {
        let partition = |found: Found| {
            let (offset, epoch, metadata) = split(found.place);
            let one = OffsetFetchResponsePartitions::default().with_partition_index(found.index);
            let one = one.with_committed_offset(offset).with_committed_leader_epoch(epoch);
            one.with_metadata(Some(text(&metadata))).with_error_code(found.error)
        };
        let topic = |(name, found): (String, Vec<Found>)| {
            let topic = OffsetFetchResponseTopics::default().with_name(TopicName(text(&name)));
            topic.with_partitions(found.into_iter().map(partition).collect())
        };
        let group = |(name, topics): (String, Vec<(String, Vec<Found>)>)| {
            let group = OffsetFetchResponseGroup::default().with_group_id(GroupId(text(&name)));
            group.with_topics(topics.into_iter().map(topic).collect())
        };
        return body.with_groups(answers.into_iter().map(group).collect());
    }
    let partition = |found: Found| {
        let (offset, epoch, metadata) = split(found.place);
        let one = OffsetFetchResponsePartition::default().with_partition_index(found.index);
        let one = one.with_committed_offset(offset).with_metadata(Some(text(&metadata)));
        let one = one.with_error_code(found.error);
        if version >= 5 { one.with_committed_leader_epoch(epoch) } else { one }
    };
    let topic = |(name, found): (String, Vec<Found>)| {
        let topic = OffsetFetchResponseTopic::default().with_name(TopicName(text(&name)));
        topic.with_partitions(found.into_iter().map(partition).collect())
    };
    let topics = answers.into_iter().flat_map(|(_, topics)| topics).map(topic).collect();
    body.with_topics(topics)
}
