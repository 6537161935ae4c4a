//! What holds of whatever a client sends: every decoder gives a request or refuses, and takes no more
//! memory than the frame has.

use super::access::{sasl, scram, users::Users};
use super::api::{self, Head};
use super::wire::{Fields, Read};
use super::{
    add_partitions, coordinator, create_topics, delete_topics, describe_configs, end_transaction, fetch,
    group, list_offsets, metadata, produce, producer_id, versions,
};
use crate::config::door::{DoorConfig, Hash};
use kafka_protocol::messages::ApiKey;
use shared::kafka::batch;
use std::fmt::Debug;

/// Decodes a frame as a connection does; a text of what was read, whole frames only.
pub(super) fn decode(frame: &[u8]) -> Option<String> {
    let mut fields = Fields::new(frame);
    let (api, Head { version, .. }) = api::read_head(&mut fields).ok()?;
    let fields = &mut fields;
    let read = match api.key {
        ApiKey::Produce => text(produce::decode(fields, version)),
        ApiKey::Fetch => text(fetch::decode(fields, version)),
        ApiKey::ListOffsets => text(list_offsets::decode(fields, version)),
        ApiKey::Metadata => text(metadata::decode(fields, version)),
        ApiKey::FindCoordinator => text(coordinator::decode(fields, version)),
        ApiKey::InitProducerId => text(producer_id::decode(fields, version)),
        ApiKey::AddPartitionsToTxn => text(add_partitions::decode(fields)),
        ApiKey::EndTxn => text(end_transaction::decode(fields)),
        ApiKey::SaslHandshake => text(sasl::decode_handshake(fields)),
        ApiKey::SaslAuthenticate => text(sasl::decode_authenticate(fields)),
        ApiKey::CreateTopics => text(create_topics::decode(fields)),
        ApiKey::DeleteTopics => text(delete_topics::decode(fields, version)),
        ApiKey::DescribeConfigs => text(describe_configs::decode(fields, version)),
        ApiKey::ApiVersions => text(versions::decode(fields, version)),
        key => of_group(key, fields, version),
    };
    read.filter(|_| fields.is_at_end())
}

fn of_group(key: ApiKey, fields: &mut Fields<'_>, version: i16) -> Option<String> {
    match key {
        ApiKey::JoinGroup => text(group::decode_join(fields, version)),
        ApiKey::SyncGroup => text(group::decode_sync(fields, version)),
        ApiKey::Heartbeat => text(group::decode_heartbeat(fields, version)),
        ApiKey::LeaveGroup => text(group::decode_leave(fields, version)),
        ApiKey::OffsetCommit => text(group::decode_commit(fields, version)),
        ApiKey::TxnOffsetCommit => text(group::decode_transaction_commit(fields, version)),
        ApiKey::AddOffsetsToTxn => text(group::decode_add_offsets(fields)),
        ApiKey::OffsetFetch => text(group::decode_fetch(fields, version)),
        ApiKey::ListGroups => text(group::decode_list(fields, version)),
        ApiKey::DescribeGroups => text(group::decode_describe(fields, version)),
        ApiKey::DeleteGroups => text(group::decode_delete(fields)),
        _ => None,
    }
}

fn text<T: Debug>(read: Read<T>) -> Option<String> {
    read.ok().map(|request| format!("{request:?}"))
}

/// A frame. What is read of it is not much larger than the frame.
pub fn request(frame: &[u8]) {
    if let Some(read) = decode(frame) {
        assert!(read.len() < 64 * frame.len() + 1_024, "{} bytes became {}", frame.len(), read.len());
    }
}

/// A record batch: a sound one stays sound where the log changes it.
pub fn batch(bytes: &[u8]) {
    if let Ok(head) = batch::Head::read(bytes) {
        let mut stored = bytes.to_vec();
        batch::unmark(&mut stored);
        batch::patch(&mut stored, i64::MAX, 0);
        let want = batch::Head { transactional: false, ..head };
        assert_eq!(batch::Head::read(&stored), Ok(want));
    }
}

/// Both messages of a login, divided by a line's end: nobody is let in without the right proof.
pub fn login(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (first, last) = text.split_once('\n').unwrap_or((text, ""));
    let users = Users::new(&DoorConfig::default());
    for hash in [Hash::Sha256, Hash::Sha512] {
        if let Some((challenge, _)) = scram::first(&users, hash, first, "server") {
            assert_eq!(challenge.last(last), None, "there is no user");
        }
    }
}
