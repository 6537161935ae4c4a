//! Groups over a socket: every version is answered; a member's whole life; offsets, also those of a
//! transaction; and the limits.

use super::socket::{Client, Served, read};
use super::*;
use crate::config::door::DoorConfig;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::offset_commit_request::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;

/// What the samples, which name a member that is none, are told.
pub(super) fn check_sample(key: ApiKey, version: i16, answer: Bytes) -> bool {
    match key {
        ApiKey::JoinGroup => assert_eq!(read::<JoinGroupResponse>(key, version, answer).error_code, 25),
        ApiKey::SyncGroup => assert_eq!(read::<SyncGroupResponse>(key, version, answer).error_code, 25),
        ApiKey::Heartbeat => assert_eq!(read::<HeartbeatResponse>(key, version, answer).error_code, 25),
        ApiKey::LeaveGroup => {
            let answer: LeaveGroupResponse = read(key, version, answer);
            assert_eq!(answer.members.first().map_or(answer.error_code, |member| member.error_code), 25);
        }
        ApiKey::OffsetCommit => {
            let answer: OffsetCommitResponse = read(key, version, answer);
            assert_eq!(answer.topics[0].partitions[0].error_code, 25);
        }
        ApiKey::TxnOffsetCommit => {
            let answer: TxnOffsetCommitResponse = read(key, version, answer);
            let want = if version >= 3 { 25 } else { 49 };
            assert_eq!(answer.topics[0].partitions[0].error_code, want, "no such member, no such producer");
        }
        ApiKey::AddOffsetsToTxn => {
            assert_eq!(read::<AddOffsetsToTxnResponse>(key, version, answer).error_code, 49);
        }
        ApiKey::OffsetFetch => {
            let answer: OffsetFetchResponse = read(key, version, answer);
            let of_group = |group: &offset_fetch_response::OffsetFetchResponseGroup| {
                group.topics[0].partitions[0].committed_offset
            };
            let offset = answer.groups.first().map(of_group);
            assert_eq!(offset.unwrap_or_else(|| answer.topics[0].partitions[0].committed_offset), -1);
        }
        ApiKey::ListGroups => assert!(read::<ListGroupsResponse>(key, version, answer).groups.is_empty()),
        ApiKey::DescribeGroups => {
            let answer: DescribeGroupsResponse = read(key, version, answer);
            assert_eq!(answer.groups[0].group_state.as_str(), "Dead");
        }
        ApiKey::DeleteGroups => {
            assert_eq!(read::<DeleteGroupsResponse>(key, version, answer).results[0].error_code, 69);
        }
        _ => return false,
    }
    true
}

fn join(group: &str, member: &str) -> JoinGroupRequest {
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range"));
    JoinGroupRequest::default()
        .with_group_id(GroupId(StrBytes::from_string(group.to_owned())))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(10_000)
        .with_member_id(StrBytes::from_string(member.to_owned()))
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol.with_metadata(Bytes::from_static(b"wish"))])
}

fn commit(generation: i32, member: &StrBytes, partition: i32, offset: i64) -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_partition_index(partition);
    let partition = partition.with_committed_offset(offset).with_committed_metadata(None);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name(0)).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(GroupId(text("readers")))
        .with_generation_id_or_member_epoch(generation)
        .with_member_id(member.clone())
        .with_topics(vec![topic])
}

fn committed(client: &mut Client, request: &OffsetCommitRequest) -> i16 {
    let answer: OffsetCommitResponse = client.ask(ApiKey::OffsetCommit, 8, request);
    answer.topics[0].partitions[0].error_code
}

/// Error and offset of partition 0.
fn fetched(client: &mut Client, group: &'static str) -> (i16, i64) {
    use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
    let topic = OffsetFetchRequestTopic::default().with_name(topic_name(0)).with_partition_indexes(vec![0]);
    let request = OffsetFetchRequest::default().with_group_id(GroupId(text(group)));
    let request = request.with_topics(Some(vec![topic])).with_require_stable(true);
    let answer: OffsetFetchResponse = client.ask(ApiKey::OffsetFetch, 7, &request);
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

#[test]
fn a_member_joins_commits_and_leaves() {
    let served = Served::new("group", DoorConfig::default());
    let mut client = served.client();
    let joined: JoinGroupResponse = client.ask(ApiKey::JoinGroup, 9, &join("readers", ""));
    assert_eq!((joined.error_code, joined.generation_id, joined.members.len()), (0, 1, 1));
    assert_eq!((&joined.leader, joined.members[0].metadata.as_ref()), (&joined.member_id, &b"wish"[..]));
    let part = SyncGroupRequestAssignment::default().with_member_id(joined.member_id.clone());
    let sync = SyncGroupRequest::default()
        .with_group_id(GroupId(text("readers")))
        .with_generation_id(1)
        .with_member_id(joined.member_id.clone())
        .with_assignments(vec![part.with_assignment(Bytes::from_static(b"all"))]);
    let synced: SyncGroupResponse = client.ask(ApiKey::SyncGroup, 5, &sync);
    assert_eq!((synced.error_code, synced.assignment.as_ref()), (0, &b"all"[..]));
    let beat = HeartbeatRequest::default().with_group_id(GroupId(text("readers"))).with_generation_id(1);
    let beat = beat.with_member_id(joined.member_id.clone());
    assert_eq!(client.ask::<HeartbeatResponse>(ApiKey::Heartbeat, 4, &beat).error_code, 0);

    let member = &joined.member_id;
    for (generation, partition, want) in [(1, 0, 0), (2, 0, 22), (1, 99, 3)] {
        assert_eq!(committed(&mut client, &commit(generation, member, partition, 17)), want);
    }
    assert_eq!(committed(&mut client, &commit(-1, &text(""), 0, 18)), 25, "the group has members");
    assert_eq!(fetched(&mut client, "readers"), (0, 17));
    assert_eq!(fetched(&mut client, "others"), (0, -1));

    let delete = DeleteGroupsRequest::default().with_groups_names(vec![GroupId(text("readers"))]);
    let mut deleted =
        || client.ask::<DeleteGroupsResponse>(ApiKey::DeleteGroups, 2, &delete).results[0].error_code;
    assert_eq!(deleted(), 68, "it has a member");
    let leave = LeaveGroupRequest::default().with_group_id(GroupId(text("readers")));
    let mut other = served.client();
    let left: LeaveGroupResponse = other.ask(ApiKey::LeaveGroup, 2, &leave.with_member_id(member.clone()));
    assert_eq!(left.error_code, 0);
    let list: ListGroupsResponse = other.ask(ApiKey::ListGroups, 4, &ListGroupsRequest::default());
    assert_eq!((list.groups.len(), list.groups[0].group_state.as_str()), (1, "Empty"), "its offsets stay");
    assert_eq!((deleted(), deleted()), (0, 69));
    assert_eq!(fetched(&mut other, "readers"), (0, -1));
}

#[test]
fn groups_and_members_are_bounded() {
    let config = DoorConfig { max_groups: 2, max_group_members: 2, ..DoorConfig::default() };
    let served = Served::new("group-limits", config);
    let mut clients = [(); 3].map(|()| served.client());
    for client in &mut clients {
        client.send(&encode(super::socket::api(ApiKey::JoinGroup), 9, &join("a", "")));
    }
    let mut codes: Vec<i16> = Vec::new();
    for client in &mut clients {
        codes.push(read::<JoinGroupResponse>(ApiKey::JoinGroup, 9, client.receive()).error_code);
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 81], "two share a generation, the third is one too many");
    let ask = |client: &mut Client, request: &JoinGroupRequest| {
        client.ask::<JoinGroupResponse>(ApiKey::JoinGroup, 9, request).error_code
    };
    let client = &mut clients[0];
    assert_eq!(ask(client, &join("b", "")), 0);
    assert_eq!(ask(client, &join("c", "")), 30, "one group too many");
    assert_eq!(ask(client, &join("", "")), 24);
    assert_eq!(ask(client, &join(&"g".repeat(256), "")), 24);
    assert_eq!(ask(client, &join("b", "").with_session_timeout_ms(10)), 26);
    let mut much = join("b", "");
    much.protocols[0].metadata = vec![0; 2 * 1024 * 1024].into();
    assert_eq!(ask(client, &much), 81, "more than a group may say of itself");
}

/// Offsets of a transaction count with its commit, and are not given out before.
#[test]
fn offsets_go_with_their_transaction() {
    use kafka_protocol::messages::txn_offset_commit_request::{
        TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
    };
    let served = Served::new("group-transaction", DoorConfig::default());
    let mut client = served.client();
    let id = || TransactionalId(text("copy"));
    let init = InitProducerIdRequest::default().with_transactional_id(Some(id()));
    let who: InitProducerIdResponse =
        client.ask(ApiKey::InitProducerId, 4, &init.with_transaction_timeout_ms(10_000));
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(5);
    let topic =
        TxnOffsetCommitRequestTopic::default().with_name(topic_name(0)).with_partitions(vec![partition]);
    let commit = TxnOffsetCommitRequest::default()
        .with_transactional_id(id())
        .with_group_id(GroupId(text("copiers")))
        .with_producer_id(who.producer_id)
        .with_topics(vec![topic]);
    let stage = |client: &mut Client| {
        let answer: TxnOffsetCommitResponse = client.ask(ApiKey::TxnOffsetCommit, 3, &commit);
        answer.topics[0].partitions[0].error_code
    };
    assert_eq!(stage(&mut client), 48, "no transaction is open");
    let add = AddOffsetsToTxnRequest::default().with_transactional_id(id()).with_producer_id(who.producer_id);
    let add = add.with_group_id(GroupId(text("copiers")));
    let end = EndTxnRequest::default().with_transactional_id(id()).with_producer_id(who.producer_id);
    for (commit, want) in [(false, -1), (true, 5)] {
        assert_eq!(client.ask::<AddOffsetsToTxnResponse>(ApiKey::AddOffsetsToTxn, 3, &add).error_code, 0);
        assert_eq!(stage(&mut client), 0);
        assert_eq!(fetched(&mut client, "copiers").0, 88, "it is not settled yet");
        let end = end.clone().with_committed(commit);
        assert_eq!(client.ask::<EndTxnResponse>(ApiKey::EndTxn, 3, &end).error_code, 0);
        assert_eq!(fetched(&mut client, "copiers"), (0, want));
    }
}
