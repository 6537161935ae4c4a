//! What the door offers: one table of requests and versions, and the head that all requests share.
//!
//! One line looks odd and is needed: Produce is offered from version 0 although 3 is the lowest
//! served. librdkafka concludes from what is offered which compression it may use, and without it
//! (and without FindCoordinator) it silently sends lz4, gzip and snappy uncompressed.

use super::wire::{Fields, Malformed, Read};
use kafka_protocol::messages::ApiKey;
use std::ops::RangeInclusive;

/// A request the door answers.
pub(super) struct Api {
    pub key: ApiKey,
    /// In metrics.
    pub name: &'static str,
    pub offered: RangeInclusive<i16>,
    pub served: RangeInclusive<i16>,
    /// From this version on, lengths are compact and tagged fields exist.
    pub flexible_from: i16,
}

const fn api(key: ApiKey, name: &'static str, offered: RangeInclusive<i16>, flexible_from: i16) -> Api {
    let served = RangeInclusive::new(*offered.start(), *offered.end());
    Api { key, name, offered, served, flexible_from }
}

pub(super) const APIS: &[Api] = &[
    Api { served: 3..=13, ..api(ApiKey::Produce, "produce", 0..=13, 9) },
    api(ApiKey::Fetch, "fetch", 4..=17, 12),
    api(ApiKey::ListOffsets, "list_offsets", 1..=10, 6),
    api(ApiKey::Metadata, "metadata", 0..=13, 9),
    api(ApiKey::FindCoordinator, "find_coordinator", 0..=6, 3),
    // Every version is answered: an unknown one with version 0 and an error, so that the client
    // comes again with one that both know.
    Api { served: 0..=i16::MAX, ..api(ApiKey::ApiVersions, "api_versions", 0..=4, 3) },
    api(ApiKey::InitProducerId, "init_producer_id", 0..=5, 2),
    // From version 4 on it is spoken between brokers.
    api(ApiKey::AddPartitionsToTxn, "add_partitions_to_txn", 0..=3, 3),
    // Version 5 goes with transactions that begin by themselves, which are not announced here.
    api(ApiKey::AddOffsetsToTxn, "add_offsets_to_txn", 0..=3, 3),
    api(ApiKey::TxnOffsetCommit, "txn_offset_commit", 0..=3, 3),
    api(ApiKey::JoinGroup, "join_group", 0..=9, 6),
    api(ApiKey::SyncGroup, "sync_group", 0..=5, 4),
    api(ApiKey::Heartbeat, "heartbeat", 0..=4, 4),
    api(ApiKey::LeaveGroup, "leave_group", 0..=5, 4),
    api(ApiKey::OffsetCommit, "offset_commit", 2..=9, 8),
    api(ApiKey::OffsetFetch, "offset_fetch", 1..=9, 6),
    api(ApiKey::ListGroups, "list_groups", 0..=5, 3),
    api(ApiKey::DescribeGroups, "describe_groups", 0..=5, 5),
    api(ApiKey::DeleteGroups, "delete_groups", 0..=2, 2),
    api(ApiKey::EndTxn, "end_txn", 0..=4, 3),
    // After version 0 of the first, the login goes on without heads.
    api(ApiKey::SaslHandshake, "sasl_handshake", 0..=1, i16::MAX),
    api(ApiKey::SaslAuthenticate, "sasl_authenticate", 0..=2, 2),
    api(ApiKey::CreateTopics, "create_topics", 2..=7, 5),
    api(ApiKey::DeleteTopics, "delete_topics", 1..=6, 4),
    api(ApiKey::DescribeConfigs, "describe_configs", 1..=4, 4),
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
