//! DeleteTopics: what becomes of a topic is the log's to say.

use super::answer::{Asked, Pending, code, text};
use super::door::Door;
use super::wire::{Fields, Read};
use crate::buffer::CannotDelete;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::delete_topics_response::DeletableTopicResult;
use kafka_protocol::messages::{DeleteTopicsResponse, TopicName};
use shared::Result;
use uuid::Uuid;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub topics: Vec<Wanted<'a>>,
}

/// A topic, by name or (from version 6 on) by id alone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub name: Option<&'a str>,
    pub uuid: Uuid,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Request<'a>> {
    let topics = fields.list(|fields| {
        if version < 6 {
            return Ok(Wanted { name: Some(fields.string()?), uuid: Uuid::nil() });
        }
        let wanted = Wanted { name: fields.nullable_string()?, uuid: fields.uuid()? };
        fields.tags()?;
        Ok(wanted)
    })?;
    fields.i32()?; // how long to wait for other brokers, of which there are none
    fields.tags()?;
    Ok(Request { topics })
}

pub(super) async fn answer(door: &Door, request: &Request<'_>, asked: Asked) -> Result<Pending> {
    let mut answers = Vec::with_capacity(request.topics.len());
    for wanted in &request.topics {
        let known = match wanted.name {
            Some(name) => door.log.topic(name),
            None => door.log.topic_by_uuid(&wanted.uuid),
        };
        let name = known.as_ref().map(|topic| topic.name.to_string()).or(wanted.name.map(str::to_owned));
        let mut answer =
            DeletableTopicResult::default().with_name(name.as_deref().map(|n| TopicName(text(n))));
        if asked.version >= 6 {
            answer = answer.with_topic_id(known.as_ref().map_or(wanted.uuid, |topic| topic.uuid));
        }
        let refused = match &known {
            Some(topic) => one(door, &topic.name).await?,
            None if wanted.name.is_some() => Some((ResponseError::UnknownTopicOrPartition, String::new())),
            None => Some((ResponseError::UnknownTopicId, String::new())),
        };
        if let Some((error, words)) = refused {
            answer = answer.with_error_code(code(error));
            if asked.version >= 5 && !words.is_empty() {
                answer = answer.with_error_message(Some(text(&words)));
            }
        }
        answers.push(answer);
    }
    Ok(asked.ready(&DeleteTopicsResponse::default().with_responses(answers)))
}

async fn one(door: &Door, name: &str) -> Result<Option<(ResponseError, String)>> {
    let error = ResponseError::PolicyViolation;
    Ok(match door.log.delete_topic(name).await {
        Ok(Ok(())) => None,
        Ok(Err(CannotDelete::NotAllowed)) => {
            Some((ResponseError::TopicDeletionDisabled, "buffer.delete_topics is \"never\"".to_owned()))
        }
        Ok(Err(CannotDelete::Unknown)) => Some((ResponseError::UnknownTopicOrPartition, String::new())),
        Ok(Err(CannotDelete::Waiting(records))) => {
            let words = format!(
                "{records} records of it are not processed, or not at the centre yet; try again later, or set \
                 buffer.delete_topics = \"always\" to lose them"
            );
            Some((error, words))
        }
        Ok(Err(CannotDelete::Transaction)) => {
            Some((error, "an open transaction has written into it; try again when it has ended".to_owned()))
        }
        Ok(Err(CannotDelete::Source)) => {
            let words =
                "it comes from the central Kafka, which would bring it again: take it out of consume.topics";
            Some((error, words.to_owned()))
        }
        Err(error) if error.retryable() => {
            Some((ResponseError::RequestTimedOut, "the disk is full, try again".to_owned()))
        }
        Err(error) => return Err(error),
    })
}
