//! What the door offers: one table of requests and versions, and the head that all requests share.
//!
//! Two lines look odd and are needed: Produce is offered from version 0 although 3 is the lowest
//! served, and FindCoordinator is offered only to say no. librdkafka concludes from what is
//! offered which compression it may use, and without these it silently sends lz4, gzip and snappy
//! uncompressed.

use super::wire::{Fields, Malformed, Read};
use kafka_protocol::messages::ApiKey;
use std::ops::RangeInclusive;

/// A request the door answers.
pub(super) struct Api {
    pub key: ApiKey,
    pub offered: RangeInclusive<i16>,
    pub served: RangeInclusive<i16>,
    /// From this version on, lengths are compact and tagged fields exist.
    pub flexible_from: i16,
}

pub(super) const APIS: &[Api] = &[
    Api { key: ApiKey::Produce, offered: 0..=13, served: 3..=13, flexible_from: 9 },
    Api { key: ApiKey::Fetch, offered: 4..=17, served: 4..=17, flexible_from: 12 },
    Api { key: ApiKey::ListOffsets, offered: 1..=10, served: 1..=10, flexible_from: 6 },
    Api { key: ApiKey::Metadata, offered: 0..=13, served: 0..=13, flexible_from: 9 },
    Api { key: ApiKey::FindCoordinator, offered: 0..=6, served: 0..=6, flexible_from: 3 },
    // Every version is answered: an unknown one with version 0 and an error, so that the client
    // comes again with one that both know.
    Api { key: ApiKey::ApiVersions, offered: 0..=4, served: 0..=i16::MAX, flexible_from: 3 },
    Api { key: ApiKey::InitProducerId, offered: 0..=5, served: 0..=5, flexible_from: 2 },
];

/// The head of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head<'a> {
    pub key: i16,
    pub version: i16,
    pub correlation: i32,
    pub client: &'a str,
}

/// Why a request cannot be answered; the connection is closed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unserved<'a> {
    Malformed(Malformed),
    /// No such API here, or not in this version.
    Unsupported(Head<'a>),
}

impl From<Malformed> for Unserved<'_> {
    fn from(malformed: Malformed) -> Self {
        Unserved::Malformed(malformed)
    }
}

/// Reads the head, and leaves the cursor at the body, set to its encoding.
pub(super) fn read_head<'a>(fields: &mut Fields<'a>) -> Result<(&'static Api, Head<'a>), Unserved<'a>> {
    let (key, version, correlation) = (fields.i16()?, fields.i16()?, fields.i32()?);
    let client = read_client(fields);
    let api = APIS.iter().find(|api| api.key as i16 == key && api.served.contains(&version));
    let Some(api) = api else {
        let client = client.unwrap_or_default();
        return Err(Unserved::Unsupported(Head { key, version, correlation, client }));
    };
    let client = client?;
    fields.set_flexible(version >= api.flexible_from);
    fields.tags()?;
    Ok((api, Head { key, version, correlation, client }))
}

fn read_client<'a>(fields: &mut Fields<'a>) -> Read<&'a str> {
    Ok(fields.client_id()?.unwrap_or_default())
}
