//! CreateTopics: for clients that make their topics beforehand, as Kafka Connect and our connector do.
//! Of a topic's settings only `cleanup.policy` means something here, see [`cleanup`].

use super::answer::{Asked, Pending, code, text};
use super::door::Door;
use super::wire::{Fields, Read};
use crate::buffer::{CannotCreate, MAX_PARTITIONS};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::create_topics_response::CreatableTopicResult;
use kafka_protocol::messages::{CreateTopicsResponse, TopicName};
use shared::Result;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub topics: Vec<Wanted<'a>>,
    pub validate_only: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub name: &'a str,
    /// -1: as configured.
    pub partitions: i32,
    pub replicas: i16,
    /// Partitions with their brokers, instead of the two numbers above.
    pub assignments: Vec<(i32, Vec<i32>)>,
    pub settings: Vec<(&'a str, Option<&'a str>)>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>) -> Read<Request<'a>> {
    let topics = fields.list(|fields| {
        let (name, partitions, replicas) = (fields.string()?, fields.i32()?, fields.i16()?);
        let assignments = fields.list(|fields| {
            let assignment = (fields.i32()?, fields.list(Fields::i32)?);
            fields.tags()?;
            Ok(assignment)
        })?;
        let settings = fields.list(|fields| {
            let setting = (fields.string()?, fields.nullable_string()?);
            fields.tags()?;
            Ok(setting)
        })?;
        fields.tags()?;
        Ok(Wanted { name, partitions, replicas, assignments, settings })
    })?;
    fields.i32()?; // how long to wait for other brokers, of which there are none
    let validate_only = fields.bool()?;
    fields.tags()?;
    Ok(Request { topics, validate_only })
}

pub(super) async fn answer(door: &Door, request: &Request<'_>, asked: Asked) -> Result<Pending> {
    let mut topics = Vec::with_capacity(request.topics.len());
    for wanted in &request.topics {
        let named = CreatableTopicResult::default().with_name(TopicName(text(wanted.name)));
        topics.push(match one(door, wanted, request.validate_only).await? {
            Ok(_) if asked.version < 5 => named,
            Ok((uuid, partitions)) => {
                let made = named.with_num_partitions(partitions).with_replication_factor(1);
                let made = made.with_configs(Some(Vec::new()));
                if asked.version >= 7 { made.with_topic_id(uuid) } else { made }
            }
            Err((error, words)) => named.with_error_code(code(error)).with_error_message(Some(text(words))),
        });
    }
    Ok(asked.ready(&CreateTopicsResponse::default().with_topics(topics)))
}

type Refused = (ResponseError, &'static str);

async fn one(
    door: &Door,
    wanted: &Wanted<'_>,
    validate_only: bool,
) -> Result<std::result::Result<(uuid::Uuid, i32), Refused>> {
    let checked = check(door, wanted);
    let (partitions, compact) = match checked {
        Ok(checked) => checked,
        Err(refused) => return Ok(Err(refused)),
    };
    if validate_only {
        return Ok(Ok((uuid::Uuid::nil(), i32::try_from(partitions).unwrap_or(0))));
    }
    Ok(match door.log.create_topic_with(wanted.name, partitions, compact).await {
        Ok(Ok(topic)) => Ok((topic.uuid, i32::try_from(topic.partitions.len()).unwrap_or(0))),
        Ok(Err(CannotCreate::Name)) => Err((ResponseError::InvalidTopicException, "no legal topic name")),
        Ok(Err(_)) => Err((ResponseError::PolicyViolation, "there are buffer.max_topics topics already")),
        Err(error) if error.retryable() => {
            Err((ResponseError::RequestTimedOut, "the disk is full, try again"))
        }
        Err(error) => return Err(error),
    })
}

fn check(door: &Door, wanted: &Wanted<'_>) -> std::result::Result<(u32, bool), Refused> {
    if door.log.topic(wanted.name).is_some() {
        return Err((ResponseError::TopicAlreadyExists, "the topic exists"));
    }
    let partitions = match (wanted.assignments.as_slice(), wanted.partitions) {
        ([], -1) => door.log.default_partitions(),
        ([], partitions) => u32::try_from(partitions).unwrap_or(0),
        (assignments, _) => {
            let ours = |(_, brokers): &(i32, Vec<i32>)| brokers == &[super::metadata::NODE.0];
            if !assignments.iter().all(ours) {
                return Err((ResponseError::InvalidReplicaAssignment, "there is one broker, 1"));
            }
            u32::try_from(assignments.len()).unwrap_or(0)
        }
    };
    if !(1..=MAX_PARTITIONS).contains(&partitions) {
        return Err((ResponseError::InvalidPartitions, "from 1 to 1024 partitions are possible"));
    }
    if wanted.assignments.is_empty() && !matches!(wanted.replicas, -1 | 1) {
        return Err((ResponseError::InvalidReplicationFactor, "there is one broker, so one replica"));
    }
    Ok((partitions, cleanup(&wanted.settings)?))
}

/// Whether nothing goes for its age: a compacted topic keeps the newest record of each key.
fn cleanup(settings: &[(&str, Option<&str>)]) -> std::result::Result<bool, Refused> {
    match settings.iter().find(|(name, _)| *name == "cleanup.policy").and_then(|(_, value)| *value) {
        None | Some("delete") => Ok(false),
        Some("compact") => Ok(true),
        Some(_) => Err((ResponseError::InvalidConfig, "cleanup.policy is delete or compact here")),
    }
}
