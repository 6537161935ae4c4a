//! FindCoordinator, only to say no in a way that clients take for final.
//!
//! "Not available" (14, 15) would be asked again until the client's own time limit; 53 and 30 make
//! librdkafka and Java fail at once with words that fit.

use super::answer::{Asked, Pending, code, text};
use super::wire::{Fields, Read};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::find_coordinator_response::Coordinator;
use kafka_protocol::messages::{BrokerId, FindCoordinatorResponse};

const TRANSACTIONS: i8 = 1;
const NOBODY: BrokerId = BrokerId(-1);

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub key_type: i8,
    /// One up to version 3, any number after.
    pub keys: Vec<&'a str>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Request<'a>> {
    let key = if version <= 3 { Some(fields.string()?) } else { None };
    let key_type = if version >= 1 { fields.i8()? } else { 0 };
    let keys = match key {
        Some(key) => vec![key],
        None => fields.list(Fields::string)?,
    };
    fields.tags()?;
    Ok(Request { key_type, keys })
}

pub(super) fn answer(request: &Request<'_>, asked: Asked) -> Pending {
    let (error, words) = match request.key_type {
        TRANSACTIONS => {
            (ResponseError::TransactionalIdAuthorizationFailed, "transactions are not offered here")
        }
        _ => (
            ResponseError::GroupAuthorizationFailed,
            "consumer groups are not offered here: assign partitions, and keep the offsets yourself",
        ),
    };
    let body = FindCoordinatorResponse::default();
    if asked.version <= 3 {
        let body = body.with_error_code(code(error)).with_node_id(NOBODY).with_port(-1);
        return asked.ready(&body.with_error_message(Some(text(words))));
    }
    let one = |key: &&str| {
        Coordinator::default()
            .with_key(text(key))
            .with_node_id(NOBODY)
            .with_port(-1)
            .with_error_code(code(error))
            .with_error_message(Some(text(words)))
    };
    asked.ready(&body.with_coordinators(request.keys.iter().map(one).collect()))
}
