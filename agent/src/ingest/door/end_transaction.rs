//! EndTxn: commits or aborts. Answered after the commit that holds the whole transaction.

use super::answer::{Asked, Pending, code};
use super::door::Door;
use super::producer_id::refusal;
use super::wire::{Fields, Read};
use crate::buffer::Incarnation;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::EndTxnResponse;
use shared::Result;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    pub transactional_id: &'a str,
    pub who: Incarnation,
    pub commit: bool,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>) -> Read<Request<'a>> {
    let transactional_id = fields.string()?;
    let who = Incarnation { producer: fields.i64()?, epoch: fields.i16()? };
    let commit = fields.bool()?;
    fields.tags()?;
    Ok(Request { transactional_id, who, commit })
}

pub(super) async fn answer(door: &Door, request: &Request<'_>, asked: Asked) -> Result<Pending> {
    let ended = door.log.end_transaction(request.transactional_id, request.who, request.commit).await;
    let error = match ended {
        Ok(Ok(())) => 0,
        // Version 2 is the first that knows the newer word.
        Ok(Err(denial)) => code(refusal(denial, asked.version >= 2)),
        // Nothing has ended; asked again, it may.
        Err(error) if error.retryable() => code(ResponseError::CoordinatorLoadInProgress),
        Err(error) => return Err(error),
    };
    Ok(asked.ready(&EndTxnResponse::default().with_error_code(error)))
}
