//! Requests of groups in every version, and what should be read of them.

use super::super::group;
use super::*;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

const PART: &[u8] = b"assigned";

fn group_id() -> GroupId {
    GroupId(text("readers"))
}

pub(super) fn encode_sample(api: &Api, version: i16) -> Option<BytesMut> {
    let instance = |from: i16| (version >= from).then(|| text("instance"));
    Some(match api.key {
        ApiKey::JoinGroup => {
            let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
            let request = JoinGroupRequest::default()
                .with_group_id(group_id())
                .with_session_timeout_ms(10_000)
                .with_rebalance_timeout_ms(if version >= 1 { 60_000 } else { -1 })
                .with_member_id(text("m"))
                .with_group_instance_id(instance(5))
                .with_protocol_type(text("consumer"))
                .with_protocols(vec![protocol.with_metadata(Bytes::from_static(PART))]);
            encode(api, version, &if version >= 8 { request.with_reason(Some(text("new"))) } else { request })
        }
        ApiKey::SyncGroup => {
            let part = SyncGroupRequestAssignment::default().with_member_id(text("m"));
            let request = SyncGroupRequest::default()
                .with_group_id(group_id())
                .with_generation_id(7)
                .with_member_id(text("m"))
                .with_group_instance_id(instance(3))
                .with_assignments(vec![part.with_assignment(Bytes::from_static(PART))]);
            let kind = (version >= 5).then(|| text("consumer"));
            encode(api, version, &request.with_protocol_type(kind.clone()).with_protocol_name(kind))
        }
        ApiKey::Heartbeat => {
            let request = HeartbeatRequest::default().with_group_id(group_id()).with_generation_id(7);
            encode(api, version, &request.with_member_id(text("m")).with_group_instance_id(instance(3)))
        }
        ApiKey::LeaveGroup => {
            let request = LeaveGroupRequest::default().with_group_id(group_id());
            let member =
                MemberIdentity::default().with_member_id(text("m")).with_group_instance_id(instance(3));
            let member = if version >= 5 { member.with_reason(Some(text("done"))) } else { member };
            let request = match version {
                ..=2 => request.with_member_id(text("m")),
                _ => request.with_members(vec![member]),
            };
            encode(api, version, &request)
        }
        ApiKey::ListGroups => {
            let request = ListGroupsRequest::default();
            let states = if version >= 4 { vec![text("Stable")] } else { Vec::new() };
            let types = if version >= 5 { vec![text("classic")] } else { Vec::new() };
            encode(api, version, &request.with_states_filter(states).with_types_filter(types))
        }
        ApiKey::DescribeGroups => {
            let request = DescribeGroupsRequest::default().with_groups(vec![group_id()]);
            encode(api, version, &request.with_include_authorized_operations(version >= 3))
        }
        ApiKey::DeleteGroups => {
            encode(api, version, &DeleteGroupsRequest::default().with_groups_names(vec![group_id()]))
        }
        _ => return offsets_sample(api, version),
    })
}

fn offsets_sample(api: &Api, version: i16) -> Option<BytesMut> {
    let instance = |from: i16| (version >= from).then(|| text("instance"));
    Some(match api.key {
        ApiKey::OffsetCommit => encode(api, version, &commit(version)),
        ApiKey::TxnOffsetCommit => {
            let partition = TxnOffsetCommitRequestPartition::default()
                .with_partition_index(3)
                .with_committed_offset(1 << 40)
                .with_committed_leader_epoch(if version >= 2 { 2 } else { -1 })
                .with_committed_metadata(Some(text("remark")));
            let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name(0));
            let request = TxnOffsetCommitRequest::default()
                .with_transactional_id(TransactionalId(text("tx")))
                .with_group_id(group_id())
                .with_producer_id(ProducerId(5))
                .with_producer_epoch(3)
                .with_topics(vec![topic.with_partitions(vec![partition])]);
            let request = match version {
                3.. => request
                    .with_generation_id(7)
                    .with_member_id(text("m"))
                    .with_group_instance_id(instance(3)),
                _ => request,
            };
            encode(api, version, &request)
        }
        ApiKey::AddOffsetsToTxn => {
            let request =
                AddOffsetsToTxnRequest::default().with_transactional_id(TransactionalId(text("tx")));
            let request = request.with_producer_id(ProducerId(5)).with_producer_epoch(3);
            encode(api, version, &request.with_group_id(group_id()))
        }
        ApiKey::OffsetFetch => encode(api, version, &fetch(version)),
        _ => return None,
    })
}

fn commit(version: i16) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default()
        .with_partition_index(3)
        .with_committed_offset(1 << 40)
        .with_committed_leader_epoch(if version >= 6 { 2 } else { -1 })
        .with_committed_metadata(Some(text("remark")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(0));
    OffsetCommitRequest::default()
        .with_group_id(group_id())
        .with_generation_id_or_member_epoch(7)
        .with_member_id(text("m"))
        .with_group_instance_id((version >= 7).then(|| text("instance")))
        .with_topics(vec![topic.with_partitions(vec![partition])])
}

fn fetch(version: i16) -> OffsetFetchRequest {
    let request = OffsetFetchRequest::default();
    let request = if version >= 7 { request.with_require_stable(true) } else { request };
    if version <= 7 {
        let topic = OffsetFetchRequestTopic::default().with_name(topic_name(0));
        let topics = Some(vec![topic.with_partition_indexes(vec![3])]);
        return request.with_group_id(group_id()).with_topics(topics);
    }
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name(0));
    let one = OffsetFetchRequestGroup::default().with_group_id(group_id());
    let all = one.clone().with_topics(None);
    let one = one.with_topics(Some(vec![topic.with_partition_indexes(vec![3])]));
    request.with_groups(vec![one, all])
}

pub(super) fn want_sample(key: ApiKey, version: i16) -> Option<String> {
    let part = || Bytes::from_static(PART);
    let instance = |from: i16| (version >= from).then_some("instance");
    let place = |epoch_from: i16| group::Place {
        topic: TOPICS[0].to_owned(),
        partition: 3,
        next_offset: 1 << 40,
        leader_epoch: if version >= epoch_from { 2 } else { -1 },
        metadata: Some("remark".to_owned()),
    };
    Some(match key {
        ApiKey::JoinGroup => {
            let join = group::Join {
                group: "readers",
                session_timeout_ms: 10_000,
                rebalance_timeout_ms: if version >= 1 { 60_000 } else { 10_000 },
                member: "m",
                instance: instance(5),
                protocol_type: "consumer",
                protocols: vec![("range", part())],
            };
            format!("{join:?}")
        }
        ApiKey::SyncGroup => {
            let plan = vec![("m".to_owned(), part())];
            format!("{:?}", group::Sync { group: "readers", generation: 7, member: "m", plan })
        }
        ApiKey::Heartbeat => {
            format!("{:?}", group::Heartbeat { group: "readers", generation: 7, member: "m" })
        }
        ApiKey::LeaveGroup => {
            format!("{:?}", group::Leave { group: "readers", members: vec![("m", instance(3))] })
        }
        ApiKey::OffsetCommit => {
            let topics = vec![(TOPICS[0], vec![place(6)])];
            format!("{:?}", group::Commit { group: "readers", generation: 7, member: "m", topics })
        }
        ApiKey::TxnOffsetCommit => {
            let (generation, member) = if version >= 3 { (7, "m") } else { (-1, "") };
            let topics = vec![(TOPICS[0], vec![place(2)])];
            let commit = group::Commit { group: "readers", generation, member, topics };
            format!("{:?}", group::TransactionCommit { transactional_id: "tx", who: WHO, commit })
        }
        ApiKey::AddOffsetsToTxn => {
            format!("{:?}", group::AddOffsets { transactional_id: "tx", who: WHO, group: "readers" })
        }
        ApiKey::OffsetFetch => {
            let mut groups = vec![("readers".to_owned(), Some(vec![(TOPICS[0].to_owned(), vec![3])]))];
            if version >= 8 {
                groups.push(("readers".to_owned(), None));
            }
            format!("{:?}", group::Fetch { groups, stable: version >= 7 })
        }
        ApiKey::ListGroups => {
            let states = if version >= 4 { vec!["Stable"] } else { Vec::new() };
            format!("{:?}", group::List { states })
        }
        ApiKey::DescribeGroups | ApiKey::DeleteGroups => {
            format!("{:?}", group::Named { groups: vec!["readers".to_owned()] })
        }
        _ => return None,
    })
}
