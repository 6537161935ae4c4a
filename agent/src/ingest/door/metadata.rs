//! Metadata: one broker, and the topics asked for; unknown ones are made if they may be.

use super::answer::{Asked, Pending, code, text};
use super::door::Door;
use super::wire::{Fields, Read};
use crate::buffer::{CannotCreate, LEADER_EPOCH, Partition, Topic};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::metadata_response::{
    MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{BrokerId, MetadataResponse, TopicName};
use shared::Result;
use std::sync::Arc;
use uuid::Uuid;

/// The one broker there is.
pub(super) const NODE: BrokerId = BrokerId(1);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// `None`: all topics.
    pub topics: Option<Vec<Wanted<'a>>>,
    pub may_create: bool,
}

/// A topic, by name or (from version 10 on) by id alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub uuid: Uuid,
    pub name: Option<&'a str>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Request<'a>> {
    let mut topics = fields.nullable_list(|fields| {
        let uuid = if version >= 10 { fields.uuid()? } else { Uuid::nil() };
        let name = if version >= 10 { fields.nullable_string()? } else { Some(fields.string()?) };
        fields.tags()?;
        Ok(Wanted { uuid, name })
    })?;
    if version == 0 && topics.as_ref().is_some_and(Vec::is_empty) {
        topics = None;
    }
    let may_create = if version >= 4 { fields.bool()? } else { true };
    if (8..=10).contains(&version) {
        fields.bool()?; // whether to tell the operations allowed on the cluster
    }
    if version >= 8 {
        fields.bool()?; // the same for topics
    }
    fields.tags()?;
    Ok(Request { topics, may_create })
}

pub(super) async fn answer(door: &Door, request: Request<'_>, asked: Asked) -> Result<Pending> {
    let mut topics = Vec::new();
    match request.topics {
        None => topics.extend(door.log.topics().iter().map(found)),
        Some(wanted) => {
            for wanted in wanted {
                topics.push(look_up(door, &wanted, request.may_create).await?);
            }
        }
    }
    let broker = MetadataResponseBroker::default()
        .with_node_id(NODE)
        .with_host(text(&door.advertised_host))
        .with_port(door.advertised_port.into());
    Ok(asked.ready(
        &MetadataResponse::default()
            .with_brokers(vec![broker])
            .with_cluster_id(Some(text(door.log.cluster_id())))
            .with_controller_id(NODE)
            .with_topics(topics),
    ))
}

async fn look_up(door: &Door, wanted: &Wanted<'_>, may_create: bool) -> Result<MetadataResponseTopic> {
    let absent = |error| MetadataResponseTopic::default().with_error_code(code(error));
    let Some(name) = wanted.name else {
        return Ok(match door.log.topic_by_uuid(&wanted.uuid) {
            Some(topic) => found(&topic),
            None => absent(ResponseError::UnknownTopicId).with_topic_id(wanted.uuid),
        });
    };
    let named = |error| absent(error).with_name(Some(TopicName(text(name))));
    if !may_create {
        let topic = door.log.topic(name);
        return Ok(topic.map_or_else(|| named(ResponseError::UnknownTopicOrPartition), |topic| found(&topic)));
    }
    match door.log.topic_or_new(name).await {
        Ok(Ok(topic)) => Ok(found(&topic)),
        Ok(Err(CannotCreate::Name)) => Ok(named(ResponseError::InvalidTopicException)),
        Ok(Err(CannotCreate::NotAllowed)) => Ok(named(ResponseError::UnknownTopicOrPartition)),
        Ok(Err(CannotCreate::TooMany)) => Ok(named(ResponseError::PolicyViolation)),
        // A full disk: the topic comes into being when there is room, the client asks again.
        Err(error) if error.retryable() => {
            tracing::debug!(event = "door_topic_not_made", %error, topic = name, "could not make a topic");
            Ok(named(ResponseError::LeaderNotAvailable))
        }
        Err(error) => Err(error),
    }
}

fn found(topic: &Arc<Topic>) -> MetadataResponseTopic {
    MetadataResponseTopic::default()
        .with_name(Some(TopicName(text(&topic.name))))
        .with_topic_id(topic.uuid)
        .with_partitions(topic.partitions.iter().map(|partition| one(partition)).collect())
}

fn one(partition: &Partition) -> MetadataResponsePartition {
    MetadataResponsePartition::default()
        .with_partition_index(partition.index)
        .with_leader_id(NODE)
        .with_leader_epoch(LEADER_EPOCH)
        .with_replica_nodes(vec![NODE])
        .with_isr_nodes(vec![NODE])
}
