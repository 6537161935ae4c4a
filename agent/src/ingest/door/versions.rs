//! ApiVersions: what the door offers, and who is asking.

use super::answer::{Asked, Pending, code};
use super::api::APIS;
use super::wire::{Fields, Read};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiVersionsResponse;
use kafka_protocol::messages::api_versions_response::ApiVersion;

/// The newest version whose request and answer are known.
const NEWEST: i16 = 4;

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request<'a> {
    /// Name and version of the client library, from version 3 on.
    pub software: Option<(&'a str, &'a str)>,
}

pub(super) fn decode<'a>(fields: &mut Fields<'a>, version: i16) -> Read<Request<'a>> {
    if !(3..=NEWEST).contains(&version) {
        return Ok(Request::default());
    }
    let software = (fields.string()?, fields.string()?);
    fields.tags()?;
    Ok(Request { software: Some(software) })
}

pub(super) fn answer(asked: Asked) -> Pending {
    // KIP-511: an unknown version is answered in version 0, which every client reads.
    let unknown = asked.version > NEWEST;
    let asked = Asked { version: if unknown { 0 } else { asked.version }, ..asked };
    let one = |api: &super::api::Api| {
        ApiVersion::default()
            .with_api_key(api.key as i16)
            .with_min_version(*api.offered.start())
            .with_max_version(*api.offered.end())
    };
    let error = if unknown { code(ResponseError::UnsupportedVersion) } else { 0 };
    asked.ready(
        &ApiVersionsResponse::default().with_error_code(error).with_api_keys(APIS.iter().map(one).collect()),
    )
}
