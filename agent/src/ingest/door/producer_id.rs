//! InitProducerId: ids for idempotent producers; transactional ones are refused at once.
//!
//! A producer that comes with an id it had gets a new one instead of the next epoch: for a producer
//! without transactions both are allowed, and a new id needs no look-up.

use super::answer::{Asked, Pending, code};
use super::door::Door;
use super::wire::{Fields, Read};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdResponse, ProducerId};
use shared::Result;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub transactional: bool,
}

pub(super) fn decode(fields: &mut Fields<'_>, version: i16) -> Read<Request> {
    let transactional = fields.nullable_string()?.is_some();
    fields.i32()?; // a transaction's time limit
    if version >= 3 {
        fields.i64()?; // the id it had
        fields.i16()?; // and its epoch
    }
    fields.tags()?;
    Ok(Request { transactional })
}

pub(super) async fn answer(door: &Door, request: &Request, asked: Asked) -> Result<Pending> {
    let refuse = |error| {
        let none = InitProducerIdResponse::default().with_producer_id(ProducerId(-1));
        asked.ready(&none.with_producer_epoch(-1).with_error_code(code(error)))
    };
    if request.transactional {
        return Ok(refuse(ResponseError::TransactionalIdAuthorizationFailed));
    }
    match door.log.producer_id().await {
        Ok(id) => Ok(asked.ready(&InitProducerIdResponse::default().with_producer_id(ProducerId(id)))),
        // A full disk: worth asking again.
        Err(error) if error.retryable() => Ok(refuse(ResponseError::CoordinatorLoadInProgress)),
        Err(error) => Err(error),
    }
}
