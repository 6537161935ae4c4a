//! FindCoordinator: who looks after a group or a transactional id; always this node.

use super::answer::{Asked, Pending, code, text};
use super::door::Door;
use super::metadata::NODE;
use super::wire::{Fields, Read};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::FindCoordinatorResponse;
use kafka_protocol::messages::find_coordinator_response::Coordinator;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;

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
    let (host, port) = (text(&door.advertised_host), i32::from(door.advertised_port));
    let is_known = matches!(request.key_type, GROUP | TRANSACTION);
    let error = if is_known { 0 } else { code(ResponseError::InvalidRequest) };
    if asked.version <= 3 {
        let here = body.with_node_id(NODE).with_host(host).with_port(port);
        return asked.ready(&here.with_error_code(error));
    }
    let one = |key: &&str| {
        let here = Coordinator::default().with_node_id(NODE).with_host(host.clone()).with_port(port);
        here.with_key(text(key)).with_error_code(error)
    };
    asked.ready(&body.with_coordinators(request.keys.iter().map(one).collect()))
}
