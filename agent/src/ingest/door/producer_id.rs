//! InitProducerId: ids for idempotent producers, and the incarnations of transactional ones.
//!
//! A producer without transactions that comes with an id it had gets a new one instead of the next
//! epoch: both are allowed, and a new id needs no look-up.

use super::answer::{Asked, Pending, code};
use super::door::Door;
use super::wire::{Fields, Read};
use crate::buffer::{Denial, Incarnation};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{InitProducerIdResponse, ProducerId};
use shared::Result;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub transactional_id: Option<&'a str>,
    pub timeout_ms: i32,
    /// What the producer has, if it goes on after an error.
    pub had: Option<Incarnation>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Request<'a>> {
    let (transactional_id, timeout_ms) = (fields.nullable_string()?, fields.i32()?);
    let mut had = None;
    if version >= 3 {
        let (producer, epoch) = (fields.i64()?, fields.i16()?);
        had = (producer >= 0).then_some(Incarnation { producer, epoch });
    }
    fields.tags()?;
    Ok(Request { transactional_id, timeout_ms, had })
}

pub(super) async fn answer(door: &Door, request: &Request<'_>, asked: Asked) -> Result<Pending> {
    let given = match request.transactional_id {
        Some(name) => door.log.begin_incarnation(name, request.timeout_ms, request.had).await,
        None => door.log.producer_id().await.map(|producer| Ok(Incarnation { producer, epoch: 0 })),
    };
    let error = match given {
        Ok(Ok(Incarnation { producer, epoch })) => {
            let given = InitProducerIdResponse::default().with_producer_id(ProducerId(producer));
            return Ok(asked.ready(&given.with_producer_epoch(epoch)));
        }
        Ok(Err(denial)) => {
            if denial == Denial::TooMany && door.is_new("transactional ids".to_owned()) {
                tracing::warn!(
                    event = "door_too_many_transactional_ids",
                    remedy = "raise buffer.max_transactional_ids",
                    "refused a producer: every transactional id that is remembered has an open transaction"
                );
            }
            // Version 4 is the first that knows the newer word for it.
            refusal(denial, asked.version >= 4)
        }
        // A full disk: worth asking again.
        Err(error) if error.retryable() => ResponseError::CoordinatorLoadInProgress,
        Err(error) => return Err(error),
    };
    let none = InitProducerIdResponse::default().with_producer_id(ProducerId(-1));
    Ok(asked.ready(&none.with_producer_epoch(-1).with_error_code(code(error))))
}

/// Kafka's word for a denial. `fenced`: whether the version knows PRODUCER_FENCED.
pub(super) fn refusal(denial: Denial, fenced: bool) -> ResponseError {
    match denial {
        Denial::Fenced if fenced => ResponseError::ProducerFenced,
        Denial::Fenced => ResponseError::InvalidProducerEpoch,
        Denial::Unknown => ResponseError::InvalidProducerIdMapping,
        Denial::State => ResponseError::InvalidTxnState,
        Denial::Timeout => ResponseError::InvalidTransactionTimeout,
        // Final for clients, unlike a coordinator that is not available.
        Denial::TooMany => ResponseError::TransactionalIdAuthorizationFailed,
        Denial::Name => ResponseError::InvalidRequest,
    }
}
