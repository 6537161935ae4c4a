//! FindCoordinator: this node, for transactions; for groups, no, in a way that clients take for final.
//!
//! "Not available" (14, 15) would be asked again until the client's own time limit; 30 makes
//! librdkafka and Java fail at once with words that fit.

use super::answer::{Asked, Pending, code, text};
use super::door::Door;
use super::metadata::NODE;
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

pub(super) fn answer(door: &Door, request: &Request<'_>, asked: Asked) -> Pending {
    let body = FindCoordinatorResponse::default();
    if request.key_type == TRANSACTIONS {
        let (host, port) = (text(&door.advertised_host), i32::from(door.advertised_port));
        if asked.version <= 3 {
            return asked.ready(&body.with_node_id(NODE).with_host(host).with_port(port));
        }
        let one = |key: &&str| {
            let here = Coordinator::default().with_node_id(NODE).with_host(host.clone()).with_port(port);
            here.with_key(text(key))
        };
        return asked.ready(&body.with_coordinators(request.keys.iter().map(one).collect()));
    }
    if door.is_new(format!("coordinator {}", request.key_type)) {
        tracing::warn!(
            event = "door_coordinator_refused",
            remedy = "consume with assigned partitions",
            "refused a client that wants a consumer group"
        );
    }
    let error = code(ResponseError::GroupAuthorizationFailed);
    let words = "consumer groups are not offered here: assign partitions, and keep the offsets yourself";
    if asked.version <= 3 {
        let body = body.with_error_code(error).with_node_id(NOBODY).with_port(-1);
        return asked.ready(&body.with_error_message(Some(text(words))));
    }
    let one = |key: &&str| {
        Coordinator::default()
            .with_key(text(key))
            .with_node_id(NOBODY)
            .with_port(-1)
            .with_error_code(error)
            .with_error_message(Some(text(words)))
    };
    asked.ready(&body.with_coordinators(request.keys.iter().map(one).collect()))
}
