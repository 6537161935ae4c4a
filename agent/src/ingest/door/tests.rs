//! The decoders against the protocol crate: it encodes requests of every version, ours must read
//! the same; then the same bytes, damaged, must be refused without harm.

mod access;
mod group;
mod group_samples;
mod socket;
mod transaction;

use super::access::sasl;
use super::api::{self, APIS, Api, Head};
use super::fuzz::decode;
use super::wire::Fields;
use super::{
    add_partitions, coordinator, create_topics, delete_topics, describe_configs, end_transaction, fetch,
    list_offsets, metadata, produce, producer_id, versions,
};
use crate::buffer::Incarnation;
use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Encodable, StrBytes};
use uuid::Uuid;

const TOPICS: [&str; 2] = ["shop.public.orders", "t"];
const IDS: [Uuid; 2] = [Uuid::from_u128(7), Uuid::from_u128(8)];
const WHO: Incarnation = Incarnation { producer: 5, epoch: 3 };
const RECORDS: &[u8] = b"not opened by the decoder";

fn text(text: &'static str) -> StrBytes {
    StrBytes::from_static_str(text)
}

fn topic_name(number: usize) -> TopicName {
    TopicName(text(TOPICS[number]))
}

fn encode(api: &Api, version: i16, body: &impl Encodable) -> BytesMut {
    let mut frame = BytesMut::new();
    RequestHeader::default()
        .with_request_api_key(api.key as i16)
        .with_request_api_version(version)
        .with_correlation_id(77)
        .with_client_id(Some(text("oracle")))
        .encode(&mut frame, api.key.request_header_version(version))
        .expect("a header");
    body.encode(&mut frame, version).unwrap_or_else(|e| panic!("{:?} {version}: {e:#}", api.key));
    frame
}

/// A request with every field set that the version has.
fn sample(api: &Api, version: i16) -> BytesMut {
    if let Some(sample) = group_samples::encode_sample(api, version) {
        return sample;
    }
    match api.key {
        ApiKey::Produce => encode(api, version, &sample_produce(version)),
        ApiKey::Fetch => encode(api, version, &sample_fetch(version)),
        ApiKey::ListOffsets => encode(api, version, &sample_list_offsets(version)),
        ApiKey::Metadata => encode(api, version, &sample_metadata(version)),
        ApiKey::FindCoordinator => encode(api, version, &sample_coordinator(version)),
        ApiKey::InitProducerId => {
            let request = InitProducerIdRequest::default().with_transaction_timeout_ms(60_000);
            let request = match version {
                3.. => request.with_producer_id(ProducerId(5)).with_producer_epoch(3),
                _ => request,
            };
            encode(api, version, &request.with_transactional_id(Some(TransactionalId(text("tx")))))
        }
        ApiKey::AddPartitionsToTxn => {
            use kafka_protocol::messages::add_partitions_to_txn_request::AddPartitionsToTxnTopic;
            let topic =
                AddPartitionsToTxnTopic::default().with_name(topic_name(1)).with_partitions(vec![3, 4]);
            let request = AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(TransactionalId(text("tx")))
                .with_v3_and_below_producer_id(ProducerId(5))
                .with_v3_and_below_producer_epoch(3)
                .with_v3_and_below_topics(vec![topic]);
            encode(api, version, &request)
        }
        ApiKey::SaslHandshake => {
            encode(api, version, &SaslHandshakeRequest::default().with_mechanism(text("SCRAM-SHA-256")))
        }
        ApiKey::SaslAuthenticate => encode(
            api,
            version,
            &SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(RECORDS)),
        ),
        ApiKey::CreateTopics => encode(api, version, &sample_create()),
        ApiKey::DeleteTopics => encode(api, version, &sample_delete(version)),
        ApiKey::DescribeConfigs => encode(api, version, &sample_describe()),
        ApiKey::EndTxn => {
            let request = EndTxnRequest::default().with_transactional_id(TransactionalId(text("tx")));
            let request = request.with_producer_id(ProducerId(5)).with_producer_epoch(3).with_committed(true);
            encode(api, version, &request)
        }
        _ => {
            let request = ApiVersionsRequest::default();
            let request = match version {
                3.. => request
                    .with_client_software_name(text("librdkafka"))
                    .with_client_software_version(text("2.12.1")),
                _ => request,
            };
            encode(api, version, &request)
        }
    }
}

fn sample_produce(version: i16) -> ProduceRequest {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    let topic = |number: usize| {
        let data = TopicProduceData::default().with_partition_data(vec![
            PartitionProduceData::default().with_index(3).with_records(Some(Bytes::from_static(RECORDS))),
            PartitionProduceData::default().with_index(4).with_records(None),
        ]);
        match version {
            13.. => data.with_topic_id(IDS[number]),
            _ => data.with_name(topic_name(number)),
        }
    };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(30_000).with_topic_data(vec![topic(0), topic(1)])
}

fn sample_fetch(version: i16) -> FetchRequest {
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic, ForgottenTopic};
    let partition = FetchPartition::default()
        .with_partition(3)
        .with_fetch_offset(1 << 40)
        .with_partition_max_bytes(4_096)
        .with_current_leader_epoch(if version >= 9 { 2 } else { -1 });
    let topic = |number: usize| {
        let topic = FetchTopic::default().with_partitions(vec![partition.clone(), partition.clone()]);
        match version {
            13.. => topic.with_topic_id(IDS[number]),
            _ => topic.with_topic(topic_name(number)),
        }
    };
    let request = FetchRequest::default()
        .with_max_wait_ms(500)
        .with_min_bytes(1)
        .with_max_bytes(1 << 20)
        .with_topics(vec![topic(0), topic(1)]);
    let request = if version >= 11 { request.with_rack_id(text("rack")) } else { request };
    let forgotten = ForgottenTopic::default().with_partitions(vec![1, 2]);
    match version {
        13.. => request.with_forgotten_topics_data(vec![forgotten.with_topic_id(IDS[0])]),
        7.. => request.with_forgotten_topics_data(vec![forgotten.with_topic(topic_name(0))]),
        _ => request,
    }
}

fn sample_list_offsets(version: i16) -> ListOffsetsRequest {
    use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
    let partition = ListOffsetsPartition::default()
        .with_partition_index(3)
        .with_timestamp(-2)
        .with_current_leader_epoch(if version >= 4 { 2 } else { -1 });
    let topic = ListOffsetsTopic::default().with_name(topic_name(0)).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default().with_replica_id(BrokerId(-1)).with_topics(vec![topic]);
    if version >= 10 { request.with_timeout_ms(1_000) } else { request }
}

fn sample_metadata(version: i16) -> MetadataRequest {
    use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
    let mut topics = vec![MetadataRequestTopic::default().with_name(Some(topic_name(0)))];
    if version >= 10 {
        topics.push(MetadataRequestTopic::default().with_name(None).with_topic_id(IDS[1]));
    }
    let request = MetadataRequest::default().with_topics(Some(topics));
    if version >= 4 { request.with_allow_auto_topic_creation(false) } else { request }
}

fn sample_coordinator(version: i16) -> FindCoordinatorRequest {
    let request = FindCoordinatorRequest::default().with_key_type(i8::from(version >= 1));
    match version {
        4.. => request.with_coordinator_keys(vec![text("a"), text("b")]),
        _ => request.with_key(text("a")),
    }
}

fn sample_create() -> CreateTopicsRequest {
    use kafka_protocol::messages::create_topics_request::{
        CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
    };
    let assignment = CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(1)]);
    let setting = |value| CreatableTopicConfig::default().with_name(text("cleanup.policy")).with_value(value);
    let topic = CreatableTopic::default()
        .with_name(topic_name(0))
        .with_num_partitions(-1)
        .with_replication_factor(-1)
        .with_assignments(vec![assignment])
        .with_configs(vec![setting(Some(text("compact"))), setting(None)]);
    CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(true)
}

fn sample_delete(version: i16) -> DeleteTopicsRequest {
    use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
    let name = || TopicName(text("gone"));
    let by_name = DeleteTopicState::default().with_name(Some(name()));
    let by_id = DeleteTopicState::default().with_topic_id(IDS[1]);
    match version {
        6.. => DeleteTopicsRequest::default().with_topics(vec![by_name, by_id]),
        _ => DeleteTopicsRequest::default().with_topic_names(vec![name()]),
    }
}

fn sample_describe() -> DescribeConfigsRequest {
    use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
    let resource = |kind, keys| {
        let resource = DescribeConfigsResource::default().with_resource_type(kind);
        resource.with_resource_name(text(TOPICS[0])).with_configuration_keys(keys)
    };
    let resources = vec![resource(2, Some(vec![text("cleanup.policy")])), resource(4, None)];
    DescribeConfigsRequest::default().with_resources(resources)
}

fn every_version() -> impl Iterator<Item = (&'static Api, i16)> {
    APIS.iter().flat_map(|api| {
        let newest = *api.offered.end();
        (*api.served.start()..=newest).map(move |version| (api, version))
    })
}

/// What [`decode`] should make of logins and of questions about topics.
fn want_of_operator(key: ApiKey, version: i16, frame: &[u8]) -> Option<String> {
    Some(match key {
        ApiKey::SaslHandshake => format!("{:?}", sasl::Handshake { mechanism: "SCRAM-SHA-256" }),
        ApiKey::SaslAuthenticate => {
            let at = frame.windows(RECORDS.len()).position(|w| w == RECORDS).expect("is in the frame");
            format!("{:?}", sasl::Authenticate { message: at..at + RECORDS.len() })
        }
        ApiKey::CreateTopics => {
            let topic = create_topics::Wanted {
                name: TOPICS[0],
                partitions: -1,
                replicas: -1,
                assignments: vec![(0, vec![1])],
                settings: vec![("cleanup.policy", Some("compact")), ("cleanup.policy", None)],
            };
            format!("{:?}", create_topics::Request { topics: vec![topic], validate_only: true })
        }
        ApiKey::DeleteTopics => {
            let mut topics = vec![delete_topics::Wanted { name: Some("gone"), uuid: Uuid::nil() }];
            if version >= 6 {
                topics.push(delete_topics::Wanted { name: None, uuid: IDS[1] });
            }
            format!("{:?}", delete_topics::Request { topics })
        }
        ApiKey::DescribeConfigs => {
            let one = |kind, keys| describe_configs::Wanted { kind, name: TOPICS[0], keys };
            let resources = vec![one(2, Some(vec!["cleanup.policy"])), one(4, None)];
            format!("{:?}", describe_configs::Request { resources })
        }
        _ => return None,
    })
}

/// What [`decode`] should make of [`sample`].
fn want(api: &Api, version: i16, frame: &[u8]) -> String {
    let other = || want_of_operator(api.key, version, frame);
    if let Some(want) = group_samples::want_sample(api.key, version).or_else(other) {
        return want;
    }
    let names = |version_of_ids: i16, number: usize| match version >= version_of_ids {
        true => ("", IDS[number]),
        false => (TOPICS[number], Uuid::nil()),
    };
    match api.key {
        ApiKey::Produce => {
            let mut places =
                frame.windows(RECORDS.len()).enumerate().filter(|(_, w)| *w == RECORDS).map(|(at, _)| at);
            let mut topics = Vec::new();
            for number in 0..2 {
                let (name, uuid) = names(13, number);
                let at = places.next().expect("the records are in the frame");
                let records = Some(at..at + RECORDS.len());
                let full = produce::PartitionData { index: 3, records };
                let empty = produce::PartitionData { index: 4, records: None };
                topics.push(produce::TopicData { name, uuid, partitions: vec![full, empty] });
            }
            format!("{:?}", produce::Request { acks: -1, topics })
        }
        ApiKey::Fetch => {
            let one = fetch::PartitionWanted { index: 3, offset: 1 << 40, max_bytes: 4_096 };
            let topic = |number| {
                let (name, uuid) = names(13, number);
                fetch::TopicWanted { name: name.to_owned(), uuid, partitions: vec![one, one] }
            };
            let topics = vec![topic(0), topic(1)];
            format!("{:?}", fetch::Request { max_wait_ms: 500, min_bytes: 1, max_bytes: 1 << 20, topics })
        }
        ApiKey::ListOffsets => {
            let topic = list_offsets::TopicWanted { name: TOPICS[0].to_owned(), partitions: vec![(3, -2)] };
            format!("{:?}", list_offsets::Request { topics: vec![topic] })
        }
        ApiKey::Metadata => {
            let mut topics = vec![metadata::Wanted { uuid: Uuid::nil(), name: Some(TOPICS[0]) }];
            if version >= 10 {
                topics.push(metadata::Wanted { uuid: IDS[1], name: None });
            }
            format!("{:?}", metadata::Request { topics: Some(topics), may_create: version < 4 })
        }
        ApiKey::FindCoordinator => {
            let keys = if version >= 4 { vec!["a", "b"] } else { vec!["a"] };
            format!("{:?}", coordinator::Request { key_type: i8::from(version >= 1), keys })
        }
        ApiKey::InitProducerId => {
            let had = (version >= 3).then_some(WHO);
            format!("{:?}", producer_id::Request { transactional_id: Some("tx"), timeout_ms: 60_000, had })
        }
        ApiKey::AddPartitionsToTxn => {
            let topics = vec![(TOPICS[1], vec![3, 4])];
            format!("{:?}", add_partitions::Request { transactional_id: "tx", who: WHO, topics })
        }
        ApiKey::EndTxn => {
            format!("{:?}", end_transaction::Request { transactional_id: "tx", who: WHO, commit: true })
        }
        _ => {
            let software = (version >= 3).then_some(("librdkafka", "2.12.1"));
            format!("{:?}", versions::Request { software })
        }
    }
}

#[test]
fn reads_what_the_crate_writes_in_every_version() {
    let mut count = 0;
    for (api, version) in every_version() {
        let frame = sample(api, version);
        let got = decode(&frame).unwrap_or_else(|| panic!("{:?} {version} is not read", api.key));
        assert_eq!(got, want(api, version, &frame), "{:?} {version}", api.key);
        let mut fields = Fields::new(&frame);
        let (_, head) = api::read_head(&mut fields).expect("read before");
        let want = Head { key: api.key as i16, version, correlation: 77, client: "oracle" };
        assert_eq!(head, want);
        count += 1;
    }
    assert_eq!(count, 164, "the table of offered versions changed: look at this test");
}

#[test]
fn all_topics_are_asked_for_with_an_empty_list_or_null() {
    let api = APIS.iter().find(|api| api.key == ApiKey::Metadata).expect("offered");
    for (version, topics, all) in [
        (0, Some(vec![]), true),
        (1, None, true),
        (1, Some(vec![]), false),
        (9, None, true),
        (13, None, true),
        (13, Some(vec![]), false),
    ] {
        let frame = encode(api, version, &MetadataRequest::default().with_topics(topics));
        let read = decode(&frame).expect("is read");
        assert_eq!(read.contains("topics: None"), all, "version {version}: {read}");
    }
}

/// Versions we do not know, APIs we do not have, and heads that are none.
#[test]
fn unknown_requests_are_told_from_malformed_ones() {
    let head = |key: i16, version: i16| {
        let mut frame = Vec::new();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend([0, 0, 0, 9, 0xff, 0xff]);
        frame
    };
    for (key, version) in
        [(0, 2), (0, 14), (1, 3), (1, 18), (2, 0), (10, 7), (22, 6), (999, 0), (-1, 0), (3, -1)]
    {
        let frame = head(key, version);
        let unserved = api::read_head(&mut Fields::new(&frame)).err().expect("not served");
        assert!(
            matches!(unserved, api::Unserved::Unsupported(Head { correlation: 9, .. })),
            "{key} {version}"
        );
    }
    assert!(matches!(api::read_head(&mut Fields::new(&[0, 3, 0])), Err(api::Unserved::Malformed(_))));
    let mut newest = head(18, 5);
    newest.push(0);
    assert!(api::read_head(&mut Fields::new(&newest)).is_ok(), "ApiVersions is answered in any version");
}

/// A small generator; the seed is printed by the failing assertion through the test's name.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below.max(1) as u64).expect("is below")
    }
}

/// Cut anywhere: refused. Damaged anywhere: read or refused, and never more than the frame holds.
#[test]
fn damaged_requests_do_no_harm() {
    let mut random = Random(0x7469_6465);
    for (api, version) in every_version() {
        let frame = sample(api, version);
        for cut in 0..frame.len() {
            assert!(decode(&frame[..cut]).is_none(), "{:?} {version} cut at {cut} is read", api.key);
        }
        for _ in 0..400 {
            let mut damaged = frame.to_vec();
            for _ in 0..=random.next(4) {
                let at = random.next(damaged.len());
                match random.next(4) {
                    0 => damaged[at] = 0xff,
                    1 => damaged[at] = 0x7f,
                    2 => damaged[at] ^= 1 << random.next(8),
                    _ => damaged.truncate(at + 1),
                }
            }
            if let Some(read) = decode(&damaged) {
                assert!(read.len() < 64 * frame.len() + 1_024, "{:?} {version}: {read}", api.key);
            }
        }
    }
}

/// The request that ends a process which decodes with the crate.
#[test]
fn the_14_bytes_that_abort_the_crate_are_refused() {
    for (key, version, body) in [
        (3i16, 4i16, &[0x7f, 0xff, 0xff, 0xff][..]),
        (3, 9, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        (0, 3, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]),
    ] {
        let mut frame = Vec::new();
        frame.extend(key.to_be_bytes());
        frame.extend(version.to_be_bytes());
        frame.extend([0, 0, 0, 1, 0xff, 0xff]);
        frame.extend(body);
        assert_eq!(decode(&frame), None, "{key} {version}");
    }
}
