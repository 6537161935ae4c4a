//! The door over a socket: every version is answered so that the protocol crate reads it, answers
//! keep their order, and what breaks the rules costs one connection and nothing else.

use super::*;
use crate::buffer::Log;
use crate::config::buffer::BufferConfig;
use crate::config::db::DbConfig;
use crate::config::door::DoorConfig;
use crate::db::Db;
use crate::model::batch::tests::sample as batch;
use kafka_protocol::protocol::Decodable;
use shared::kafka::batch::Turn;
use shared::shutdown::Shutdown;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) struct Served {
    folder: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
    pub(super) address: SocketAddr,
    pub(super) log: Arc<Log>,
    shutdown: Shutdown,
}

impl Served {
    pub(super) fn new(name: &str, config: DoorConfig) -> Served {
        let folder = std::env::temp_dir().join(format!("tidegate-socket-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let db = Db::open(&DbConfig { path: folder.join("agent.db"), ..DbConfig::default() }).expect("opens");
        let log = Arc::new(Log::open(&db, &BufferConfig::default()).expect("opens"));
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let config = DoorConfig { listen: "127.0.0.1:0".parse().expect("an address"), ..config };
        let shutdown = Shutdown::default();
        let served = super::super::serve(&config, Arc::clone(&log), shutdown.clone());
        let address = runtime.block_on(served).expect("listens");
        for topic in TOPICS {
            runtime.block_on(log.create_topic(topic, 5)).expect("storage works").expect("is made");
        }
        Served { folder, runtime: Some(runtime), address, log, shutdown }
    }

    pub(super) fn client(&self) -> Client {
        let socket = TcpStream::connect(self.address).expect("connects");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time limit");
        Client(socket)
    }

    pub(super) fn uuid(&self, topic: &str) -> Uuid {
        self.log.topic(topic).expect("exists").uuid
    }

    pub(super) fn end(&self, topic: &str, partition: usize) -> i64 {
        self.log.topic(topic).expect("exists").partitions[partition].end()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.shutdown.request();
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) struct Client(pub(super) TcpStream);

impl Client {
    pub(super) fn send(&mut self, frame: &[u8]) {
        let length = i32::try_from(frame.len()).expect("a small frame");
        self.0.write_all(&[&length.to_be_bytes()[..], frame].concat()).expect("sends");
    }

    /// The next answer, without its length.
    pub(super) fn receive(&mut self) -> Bytes {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        self.0.read_exact(&mut answer).expect("a whole answer");
        answer.into()
    }

    pub(super) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0; 1]), Ok(0) | Err(_))
    }

    /// Sends a request and reads its answer with the crate.
    pub(super) fn ask<A: Decodable>(&mut self, key: ApiKey, version: i16, body: &impl Encodable) -> A {
        self.send(&encode(api(key), version, body));
        read(key, version, self.receive())
    }
}

pub(super) fn api(key: ApiKey) -> &'static Api {
    APIS.iter().find(|api| api.key == key).expect("is offered")
}

pub(super) fn read<A: Decodable>(key: ApiKey, version: i16, mut answer: Bytes) -> A {
    let header = ResponseHeader::decode(&mut answer, key.response_header_version(version)).expect("a header");
    assert_eq!(header.correlation_id, 77);
    let body = A::decode(&mut answer, version).unwrap_or_else(|e| panic!("{key:?} {version}: {e:#}"));
    assert!(answer.is_empty(), "{key:?} {version}: {} bytes too many", answer.len());
    body
}

/// One record of so many bytes.
pub(super) fn batch_of(bytes: usize) -> Vec<u8> {
    batch(None, 1, bytes)
}

pub(super) fn produce_to(
    served: &Served,
    version: i16,
    topic: &str,
    partition: i32,
    batch: Option<Vec<u8>>,
) -> ProduceRequest {
    use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
    let partition =
        PartitionProduceData::default().with_index(partition).with_records(batch.map(Bytes::from));
    let data = TopicProduceData::default().with_partition_data(vec![partition]);
    let data = match version {
        13.. => data.with_topic_id(served.log.topic(topic).map_or(Uuid::from_u128(99), |topic| topic.uuid)),
        _ => data.with_name(TopicName(StrBytes::from_string(topic.to_owned()))),
    };
    ProduceRequest::default().with_acks(-1).with_timeout_ms(1_000).with_topic_data(vec![data])
}

/// Code and base offset of the only partition in an answer.
pub(super) fn produced(answer: &ProduceResponse) -> (i16, i64) {
    let partition = &answer.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

pub(super) fn fetch_from(served: &Served, version: i16, offset: i64, wait_ms: i32) -> FetchRequest {
    use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
    let partition = FetchPartition::default().with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_partitions(vec![partition]);
    let topic = match version {
        13.. => topic.with_topic_id(served.uuid(TOPICS[0])),
        _ => topic.with_topic(topic_name(0)),
    };
    let request = FetchRequest::default().with_max_wait_ms(wait_ms).with_min_bytes(1);
    request.with_max_bytes(1 << 20).with_topics(vec![topic])
}

#[test]
fn every_version_is_answered() {
    let served = Served::new("versions", DoorConfig::default());
    let mut client = served.client();
    for (api, version) in every_version() {
        client.send(&sample(api, version));
        let answer = client.receive();
        if super::group::check_sample(api.key, version, answer.clone()) {
            continue;
        }
        match api.key {
            ApiKey::Produce => drop(read::<ProduceResponse>(api.key, version, answer)),
            ApiKey::Fetch => drop(read::<FetchResponse>(api.key, version, answer)),
            ApiKey::ListOffsets => {
                let answer: ListOffsetsResponse = read(api.key, version, answer);
                assert_eq!(answer.topics[0].partitions[0].error_code, 0);
            }
            ApiKey::Metadata => {
                let answer: MetadataResponse = read(api.key, version, answer);
                assert_eq!(answer.topics[0].partitions.len(), 5);
                assert_eq!(answer.brokers[0].port, i32::from(served.address.port()));
            }
            ApiKey::FindCoordinator => drop(read::<FindCoordinatorResponse>(api.key, version, answer)),
            ApiKey::InitProducerId => {
                let answer: InitProducerIdResponse = read(api.key, version, answer);
                let fenced = if version >= 4 { 90 } else { 47 };
                let want = if version >= 3 { fenced } else { 0 };
                assert_eq!(
                    answer.error_code, want,
                    "from 3 on the sample goes on with an id that it never got"
                );
            }
            ApiKey::AddPartitionsToTxn => {
                let answer: AddPartitionsToTxnResponse = read(api.key, version, answer);
                let topic = &answer.results_by_topic_v3_and_below[0];
                assert_eq!(topic.results_by_partition[0].partition_error_code, 49, "no such producer");
            }
            ApiKey::SaslHandshake => {
                let answer: SaslHandshakeResponse = read(api.key, version, answer);
                assert_eq!(answer.error_code, 34, "without users nobody logs in");
            }
            ApiKey::SaslAuthenticate => {
                let answer: SaslAuthenticateResponse = read(api.key, version, answer);
                assert_eq!(answer.error_code, 34);
                client = served.client();
            }
            ApiKey::CreateTopics => {
                let answer: CreateTopicsResponse = read(api.key, version, answer);
                assert_eq!(answer.topics[0].error_code, 36, "it exists");
            }
            ApiKey::DeleteTopics => {
                let answer: DeleteTopicsResponse = read(api.key, version, answer);
                let codes: Vec<i16> = answer.responses.iter().map(|one| one.error_code).collect();
                assert_eq!(codes, if version >= 6 { vec![3, 100] } else { vec![3] }, "there are none");
            }
            ApiKey::DescribeConfigs => {
                let answer: DescribeConfigsResponse = read(api.key, version, answer);
                let codes: Vec<i16> = answer.results.iter().map(|result| result.error_code).collect();
                assert_eq!((codes, answer.results[0].configs.len()), (vec![0, 42], 1));
            }
            ApiKey::EndTxn => {
                let answer: EndTxnResponse = read(api.key, version, answer);
                assert_eq!(answer.error_code, 49, "no such producer");
            }
            _ => {
                let answer: ApiVersionsResponse = read(api.key, version, answer);
                assert_eq!((answer.error_code, answer.api_keys.len()), (0, APIS.len()));
            }
        }
    }
}

#[test]
fn topics_are_made_and_described() {
    use kafka_protocol::messages::create_topics_request::{
        CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
    };
    use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
    let served = Served::new("create", DoorConfig::default());
    let mut client = served.client();
    let topic = |name: &str, partitions, replicas| {
        let topic = CreatableTopic::default().with_name(TopicName(StrBytes::from_string(name.to_owned())));
        topic.with_num_partitions(partitions).with_replication_factor(replicas)
    };
    let policy = |value| {
        vec![CreatableTopicConfig::default().with_name(text("cleanup.policy")).with_value(Some(text(value)))]
    };
    let at = |broker| vec![CreatableReplicaAssignment::default().with_broker_ids(vec![BrokerId(broker)])];
    let cases = [
        (topic("plain", -1, -1), 0, 1),
        (topic("plain", -1, -1), 36, 0),
        (topic("three", 3, 1).with_configs(policy("compact")), 0, 3),
        (topic("by hand", 1, 1), 17, 0),
        (topic("none", 0, 1), 37, 0),
        (topic("many", 1_025, 1), 37, 0),
        (topic("replicated", 1, 2), 38, 0),
        (topic("assigned", -1, -1).with_assignments(at(1)), 0, 1),
        (topic("elsewhere", -1, -1).with_assignments(at(2)), 39, 0),
        (topic("other", 1, 1).with_configs(policy("shrink")), 40, 0),
    ];
    for (topic, want, partitions) in cases {
        let name = topic.name.0.to_string();
        let request = CreateTopicsRequest::default().with_topics(vec![topic]);
        let answer: CreateTopicsResponse = client.ask(ApiKey::CreateTopics, 7, &request);
        assert_eq!(answer.topics[0].error_code, want, "{name}");
        let made = served.log.topic(&name).filter(|_| want == 0).map_or(0, |topic| topic.partitions.len());
        assert_eq!(made, partitions, "{name}");
    }
    for (name, want) in [("plain", "delete"), ("three", "compact")] {
        let resource = DescribeConfigsResource::default().with_resource_type(2);
        let resource = resource.with_resource_name(text(name)).with_configuration_keys(None);
        let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
        let answer: DescribeConfigsResponse = client.ask(ApiKey::DescribeConfigs, 4, &request);
        let configs = &answer.results[0].configs;
        assert_eq!((configs.len(), configs[0].value.as_deref()), (3, Some(want)), "{name}");
    }
}

/// A newer client asks in a version that is not known here, and must learn which are.
#[test]
fn an_unknown_api_versions_is_answered_in_version_0() {
    let served = Served::new("newer", DoorConfig::default());
    let mut client = served.client();
    let mut frame = sample(api(ApiKey::ApiVersions), 4);
    frame[2..4].copy_from_slice(&5i16.to_be_bytes());
    client.send(&frame);
    let answer: ApiVersionsResponse = read(ApiKey::ApiVersions, 0, client.receive());
    assert_eq!(answer.error_code, 35);
    let produce = answer.api_keys.iter().find(|api| api.api_key == 0).expect("is offered");
    assert_eq!((produce.min_version, produce.max_version), (0, 13), "librdkafka's compression hangs on it");
    assert!(answer.api_keys.iter().any(|api| api.api_key == 10), "and on FindCoordinator");
}

#[test]
fn what_is_produced_is_fetched_in_every_version() {
    let served = Served::new("fetch", DoorConfig::default());
    let mut client = served.client();
    let mut sent = Vec::new();
    for version in 3..=13 {
        let request = produce_to(&served, version, TOPICS[0], 0, Some(batch(None, 2, 30)));
        let answer: ProduceResponse = client.ask(ApiKey::Produce, version, &request);
        assert_eq!(produced(&answer), (0, i64::from(version - 3) * 2), "version {version}");
        let mut kept = batch(None, 2, 30);
        shared::kafka::batch::patch(&mut kept, i64::from(version - 3) * 2, 0);
        sent.extend(kept);
    }
    for version in 4..=17 {
        let request = fetch_from(&served, version, 0, 0);
        let answer: FetchResponse = client.ask(ApiKey::Fetch, version, &request);
        let data = &answer.responses[0].partitions[0];
        assert_eq!((data.error_code, data.high_watermark), (0, 22), "version {version}");
        assert!(data.records.as_deref() == Some(&sent[..]), "version {version}");
        for (offset, want) in [(22, 0), (23, 1), (-1, 1)] {
            let request = fetch_from(&served, version, offset, 0);
            let answer: FetchResponse = client.ask(ApiKey::Fetch, version, &request);
            assert_eq!(answer.responses[0].partitions[0].error_code, want, "version {version} from {offset}");
        }
    }
}

#[test]
fn a_reader_waits_for_news() {
    let served = Served::new("news", DoorConfig::default());
    let (mut reader, mut writer) = (served.client(), served.client());
    reader.send(&encode(api(ApiKey::Fetch), 17, &fetch_from(&served, 17, 0, 15_000)));
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    let request = produce_to(&served, 9, TOPICS[0], 0, Some(batch(None, 1, 5)));
    let _: ProduceResponse = writer.ask(ApiKey::Produce, 9, &request);
    let answer: FetchResponse = read(ApiKey::Fetch, 17, reader.receive());
    assert_eq!(answer.responses[0].partitions[0].high_watermark, 1);
    assert!(start.elapsed() < Duration::from_secs(5), "took {:?}", start.elapsed());
}

#[test]
fn what_is_unsound_is_refused_with_its_code() {
    let served = Served::new("codes", DoorConfig::default());
    let mut client = served.client();
    let good = || batch(None, 1, 5);
    let attributes = |bits: u8| {
        let mut changed = good();
        changed[22] = bits;
        let checksum = crc32c::crc32c(&changed[21..]);
        changed[17..21].copy_from_slice(&checksum.to_be_bytes());
        Some(changed)
    };
    let mut corrupt = good();
    corrupt[65] ^= 1;
    let mut old = good();
    old[16] = 1;
    let cases = [
        ("sound", 9, TOPICS[0], 0, Some(good()), 0),
        ("unknown topic", 9, "nowhere", 0, Some(good()), 3),
        ("unknown topic id", 13, "nowhere", 0, Some(good()), 100),
        ("unknown partition", 9, TOPICS[0], 5, Some(good()), 3),
        ("negative partition", 9, TOPICS[0], -1, Some(good()), 3),
        ("nothing", 9, TOPICS[0], 0, None, 87),
        ("empty", 9, TOPICS[0], 0, Some(vec![]), 2),
        ("checksum", 9, TOPICS[0], 0, Some(corrupt), 2),
        ("two batches", 9, TOPICS[0], 0, Some([good(), good()].concat()), 87),
        ("old format", 9, TOPICS[0], 0, Some(old), 43),
        ("transactional without a producer", 9, TOPICS[0], 0, attributes(0x10), 87),
        ("control", 9, TOPICS[0], 0, attributes(0x20), 87),
        ("unknown codec", 9, TOPICS[0], 0, attributes(7), 76),
    ];
    for (name, version, topic, partition, bytes, want) in cases {
        let request = produce_to(&served, version, topic, partition, bytes);
        let answer: ProduceResponse = client.ask(ApiKey::Produce, version, &request);
        assert_eq!(produced(&answer).0, want, "{name}");
    }
    let sound = |acks| produce_to(&served, 9, TOPICS[0], 0, Some(good())).with_acks(acks);
    let answer: ProduceResponse = client.ask(ApiKey::Produce, 9, &sound(2));
    assert_eq!(produced(&answer).0, 21, "acks");
    assert_eq!(served.end(TOPICS[0], 0), 1, "only the sound one is stored");
}

#[test]
fn an_idempotent_producer_may_repeat_itself() {
    let served = Served::new("repeat", DoorConfig::default());
    let mut client = served.client();
    let answer: InitProducerIdResponse =
        client.ask(ApiKey::InitProducerId, 5, &InitProducerIdRequest::default().with_transactional_id(None));
    assert_eq!((answer.error_code, answer.producer_epoch), (0, 0));
    let turn = |first_sequence| Turn { producer: answer.producer_id.0, epoch: 0, first_sequence };
    for (sequence, want) in [(0, (0, 0)), (0, (0, 0)), (3, (0, 3)), (9, (45, -1)), (0, (0, 0))] {
        let request = produce_to(&served, 13, TOPICS[1], 2, Some(batch(Some(turn(sequence)), 3, 5)));
        let answer: ProduceResponse = client.ask(ApiKey::Produce, 13, &request);
        assert_eq!(produced(&answer), want, "sequence {sequence}");
    }
}

#[test]
fn answers_leave_in_the_order_of_requests_and_none_for_acks_0() {
    let served = Served::new("order", DoorConfig::default());
    let mut client = served.client();
    let mut expected = Vec::new();
    for number in 0..300i32 {
        let acks = if number % 3 == 0 { 0 } else { 1 };
        let mut frame = match number % 5 {
            0 => sample(api(ApiKey::Metadata), 13),
            _ => {
                let request = produce_to(&served, 9, TOPICS[0], 0, Some(batch(None, 1, 5))).with_acks(acks);
                encode(api(ApiKey::Produce), 9, &request)
            }
        };
        frame[4..8].copy_from_slice(&number.to_be_bytes());
        client.send(&frame);
        if acks != 0 || number % 5 == 0 {
            expected.push(number);
        }
    }
    for number in expected {
        assert_eq!(client.receive()[..4], number.to_be_bytes());
    }
    assert_eq!(served.end(TOPICS[0], 0), 240);
}

/// Each breaks the rules in its way; the connection is closed, the others go on.
#[test]
fn what_breaks_the_rules_costs_one_connection() {
    let config = DoorConfig { frame_timeout: Duration::from_millis(300), ..DoorConfig::default() };
    let served = Served::new("rules", config);
    let mut bystander = served.client();
    let cases: &[(&str, &[u8])] = &[
        ("a frame too small", &[0, 0, 0, 7, 0, 3, 0, 4, 0, 0, 0]),
        ("a frame too large", &[0x7f, 0xff, 0xff, 0xff]),
        ("a negative frame", &[0xff, 0xff, 0xff, 0xff]),
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n"),
        ("an unknown request", &[0, 0, 0, 10, 3, 0xe7, 0, 0, 0, 0, 0, 1, 0xff, 0xff]),
        ("a version too old", &[0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 1, 0xff, 0xff]),
        (
            "14 bytes that claim much",
            &[0, 0, 0, 14, 0, 3, 0, 4, 0, 0, 0, 1, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff],
        ),
        ("a frame never finished", &[0, 0, 1, 0, 0, 3, 0, 4]),
    ];
    for (name, bytes) in cases {
        let mut client = served.client();
        client.0.write_all(bytes).expect("sends");
        assert!(client.is_closed(), "{name}");
    }
    let answer: MetadataResponse = bystander.ask(ApiKey::Metadata, 13, &MetadataRequest::default());
    assert_eq!(answer.controller_id.0, 1);
}

#[test]
fn one_connection_too_many_is_closed() {
    let served = Served::new("crowd", DoorConfig { max_connections: 2, ..DoorConfig::default() });
    let (mut one, mut two) = (served.client(), served.client());
    for client in [&mut one, &mut two] {
        let _: MetadataResponse = client.ask(ApiKey::Metadata, 13, &MetadataRequest::default());
    }
    assert!(served.client().is_closed());
    drop(one);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut late = served.client();
        late.send(&sample(api(ApiKey::ApiVersions), 3));
        if !late.is_closed() {
            break;
        }
        assert!(Instant::now() < deadline, "the place is never given back");
    }
}

/// More is on its way than memory allows; everybody waits for a turn, nobody fails.
#[test]
fn a_small_budget_slows_and_does_not_fail() {
    let config = DoorConfig {
        max_frame_bytes: 64 * 1024,
        max_fetch_bytes: 64 * 1024,
        memory_bytes: 256 * 1024,
        ..DoorConfig::default()
    };
    let served = Served::new("memory", config);
    std::thread::scope(|scope| {
        for partition in 0..5 {
            let served = &served;
            scope.spawn(move || {
                let mut client = served.client();
                let request = produce_to(served, 9, TOPICS[0], partition, Some(batch(None, 1, 60_000)));
                let frame = encode(api(ApiKey::Produce), 9, &request);
                for _ in 0..4 {
                    (0..10).for_each(|_| client.send(&frame));
                    for _ in 0..10 {
                        let answer: ProduceResponse = read(ApiKey::Produce, 9, client.receive());
                        assert_eq!(produced(&answer).0, 0);
                    }
                }
            });
        }
    });
    assert!((0..5).all(|partition| served.end(TOPICS[0], partition) == 40));
}

#[test]
fn stopping_lets_the_last_answers_leave() {
    let served = Served::new("stop", DoorConfig::default());
    let mut client = served.client();
    let request = produce_to(&served, 9, TOPICS[0], 0, Some(batch(None, 1, 5)));
    (0..20).for_each(|_| client.send(&encode(api(ApiKey::Produce), 9, &request)));
    let _ = client.receive();
    served.shutdown.request();
    let mut answers = 1;
    let mut length = [0; 4];
    while client.0.read_exact(&mut length).is_ok() {
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).expect("a length")];
        client.0.read_exact(&mut answer).expect("whole answers only");
        answers += 1;
    }
    assert_eq!(served.end(TOPICS[0], 0), answers, "what is stored is acknowledged");
}
