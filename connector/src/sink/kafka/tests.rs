//! The producer against librdkafka's cluster in this process.

use super::*;
use crate::config::sink::TopicRule;
use crate::model::encoded::Headers;
use crate::model::record::{Datum, Header as Given, HeaderValue};
use crate::model::schema::Schema;
use crate::model::value::Value;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers as _, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

const LIMIT: Duration = Duration::from_secs(20);
const WAIT: Duration = Duration::from_millis(5);

fn config(brokers: &str) -> SinkConfig {
    let text = format!(
        "[kafka]\nbrokers = {brokers:?}\n[kafka.properties]\n\"topic.metadata.propagation.max.ms\" = \"300\""
    );
    shared::config::parse(&text, &shared::config::Overrides { env_prefix: "NONE", set: &[] }).expect("valid")
}

/// Nothing that only librdkafka can do.
fn own(brokers: &str) -> SinkConfig {
    let mut config = config(brokers);
    config.kafka.properties.clear();
    config
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Runtime::new().expect("a runtime"));

fn kafka(config: &SinkConfig) -> Result<Kafka> {
    Kafka::new(config, None, RUNTIME.handle().clone())
}

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    MockCluster::new(1).expect("a cluster")
}

fn message<'a>(topic: &'a str, key: &'a [u8], value: &'a [u8]) -> Encoded<'a> {
    let headers = Headers::default();
    Encoded { topic, partition: None, key: Some(key), value: Some(value), headers, timestamp_ms: None }
}

/// Sends and collects acknowledgements per unit.
fn drain(sink: &mut Kafka) -> Result<BTreeMap<u64, u64>> {
    let mut units = BTreeMap::new();
    sink.flush(LIMIT, &mut |unit, count| *units.entry(unit).or_default() += count)?;
    Ok(units)
}

/// The first records of a topic.
fn read(cluster: &MockCluster<'_, DefaultProducerContext>, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let mut reading = ClientConfig::new();
    reading.set("bootstrap.servers", cluster.bootstrap_servers()).set("group.id", "g");
    reading.set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = reading.create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    let (end, mut got) = (Instant::now() + LIMIT, Vec::new());
    while got.len() < count {
        assert!(Instant::now() < end, "{} of {count} records arrived", got.len());
        if let Some(Ok(message)) = consumer.poll(WAIT) {
            got.push(message.detach());
        }
    }
    got
}

/// Sends until the producer for many has taken over.
fn crowd(sink: &mut Kafka) {
    let end = Instant::now() + LIMIT;
    while sink.gears.as_ref().is_some_and(Gears::few) {
        assert!(Instant::now() < end, "nobody is there for many");
        for at in 0..1_000_u64 {
            while !sink.offer(&message("t", b"k", &at.to_be_bytes()), 1).expect("queued") {
                sink.poll(LIMIT, &mut |_, _| {}).expect("served");
            }
        }
        drain(sink).expect("delivered");
    }
}

/// A sink whose records go by our own producer.
fn own_for_many(cluster: &MockCluster<'_, DefaultProducerContext>) -> Kafka {
    let mut sink = kafka(&own(&cluster.bootstrap_servers())).expect("a producer");
    sink.start().expect("begun");
    crowd(&mut sink);
    assert!(sink.gears.as_mut().is_some_and(|gears| gears.bulk_in_use().is_some()));
    sink
}

/// While one producer takes over from the other nothing is taken.
fn offer(sink: &mut Kafka, message: &Encoded<'_>, unit: u64) -> Result<()> {
    let end = Instant::now() + LIMIT;
    while !sink.offer(message, unit)? {
        assert!(Instant::now() < end, "no room");
        sink.poll(WAIT, &mut |_, _| {})?;
    }
    Ok(())
}

/// Bursts of few and of many: one producer takes over from the other, and back, and each record follows its
/// predecessor.
#[test]
fn records_stay_in_order_whoever_sends_them() {
    bursts(config);
}

#[test]
fn records_stay_in_order_when_our_own_producer_sends_some_of_them() {
    bursts(own);
}

fn bursts(config: fn(&str) -> SinkConfig) {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).expect("a topic");
    let mut sink = kafka(&config(&cluster.bootstrap_servers())).expect("a producer");
    let (mut sent, mut few) = (0_u64, Vec::new());
    for burst in [2_000, 1, 2_000, 1_500, 1, 1, 1] {
        for _ in 0..burst {
            while !sink.offer(&message("t", b"k", &sent.to_be_bytes()), 1).expect("queued") {
                sink.poll(LIMIT, &mut |_, _| {}).expect("served");
            }
            sent += 1;
        }
        few.push(sink.gears.as_ref().is_some_and(Gears::few));
        drain(&mut sink).expect("delivered");
        for _ in 0..if burst == 1 { 11 } else { 0 } {
            sink.poll(Duration::from_millis(100), &mut |_, _| {}).expect("served");
        }
    }
    assert_eq!(few, [true, true, false, false, false, true, true]);
    let got = read(&cluster, "t", usize::try_from(sent).expect("few"));
    let numbers: Vec<u64> = got
        .iter()
        .map(|message| {
            u64::from_be_bytes(message.payload().expect("a value").try_into().expect("eight bytes"))
        })
        .collect();
    assert!(numbers.iter().copied().eq(0..sent), "{numbers:?}");
}

/// Before any record to it; and not where a rule says how it is to be made.
#[test]
fn a_topic_that_is_expected_is_made_meanwhile() {
    let makes = |config: fn(&str) -> SinkConfig, many: bool| {
        let cluster = cluster();
        let mut config = config(&cluster.bootstrap_servers());
        config.topic.push(TopicRule { include: vec!["ruled".to_owned()], ..TopicRule::default() });
        let mut sink = kafka(&config).expect("a producer");
        sink.check(LIMIT).expect("it answers");
        if many {
            cluster.create_topic("t", 1, 1).expect("a topic");
            crowd(&mut sink);
        }
        ["ruled", "new", "new"].into_iter().for_each(|topic| sink.expect(topic));
        let end = Instant::now() + LIMIT;
        loop {
            let metadata = sink.producer.client().fetch_metadata(None, LIMIT).expect("it answers");
            let mut made: Vec<String> = metadata.topics().iter().map(|t| t.name().to_owned()).collect();
            made.retain(|topic| topic != "t");
            match made.is_empty() {
                true => assert!(Instant::now() < end, "it is not made"),
                false => return assert_eq!(made, ["new"]),
            }
        }
    };
    makes(config, false);
    makes(own, true);
}

/// One producer is enough for as long as nothing changes; the other comes back when it is needed.
#[test]
fn a_producer_long_not_needed_goes() {
    goes(config);
}

#[test]
fn our_own_producer_long_not_needed_goes() {
    goes(own);
}

fn goes(config: fn(&str) -> SinkConfig) {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).expect("a topic");
    let mut sink = kafka(&config(&cluster.bootstrap_servers())).expect("a producer");
    let parked = |sink: &mut Kafka, wanted: bool| {
        let end = Instant::now() + LIMIT;
        while sink.gears.as_ref().is_some_and(Gears::parked) != wanted {
            assert!(Instant::now() < end, "parked: {}", !wanted);
            sink.poll(Duration::from_millis(50), &mut |_, _| {}).expect("served");
        }
    };
    crowd(&mut sink);
    parked(&mut sink, true);
    parked(&mut sink, false);
    assert!(sink.gears.as_ref().is_some_and(Gears::few));
    crowd(&mut sink);
}

#[test]
fn a_waiting_time_that_was_given_is_kept() {
    let given = |change: fn(&mut SinkConfig)| {
        let mut given = config("b:1");
        change(&mut given);
        kafka(&given).expect("a producer").gears.is_none()
    };
    let property = |config: &mut SinkConfig| {
        config.kafka.properties.insert("linger.ms".to_owned(), "50".to_owned());
    };
    assert!(!given(|_| {}));
    assert!(given(|config| config.linger_ms = Some(0)));
    assert!(given(property));
}

#[test]
fn every_record_is_acknowledged_for_its_unit() {
    let cluster = cluster();
    cluster.create_topic("t", 3, 1).expect("a topic");
    let mut sink = kafka(&config(&cluster.bootstrap_servers())).expect("a producer");
    sink.check(LIMIT).expect("reachable");
    for at in 0..5_000_u64 {
        assert!(sink.offer(&message("t", &at.to_be_bytes(), b"value"), at / 100).expect("queued"));
    }
    let units = drain(&mut sink).expect("delivered");
    assert_eq!(units.len(), 50);
    assert!(units.values().all(|count| *count == 100));
    assert_eq!(sink.outstanding(), 0);
    sink.health().expect("healthy");
}

#[test]
fn keys_tombstones_and_headers_arrive_as_they_are_in_java_s_partition() {
    let cluster = cluster();
    let mut sink = kafka(&config(&cluster.bootstrap_servers())).expect("a producer");
    arrives_as_it_is(&cluster, &mut sink);
}

#[test]
fn what_our_own_producer_sends_arrives_as_it_is() {
    let cluster = cluster();
    arrives_as_it_is(&cluster, &mut own_for_many(&cluster));
}

fn arrives_as_it_is(cluster: &MockCluster<'_, DefaultProducerContext>, sink: &mut Kafka) {
    cluster.create_topic("headed", 3, 1).expect("a topic");
    let schema = Arc::new(Schema::int32());
    let given = [
        Given { name: "link", value: HeaderValue::Datum(Datum { schema: &schema, value: Value::Int(1) }) },
        Given { name: "a", value: HeaderValue::Text("1") },
        Given { name: "b", value: HeaderValue::Text("") },
    ];
    let headers = Headers::new(&given, b"{}", &[Some(2)]);
    let tombstone = Encoded {
        topic: "headed",
        partition: None,
        key: Some(b"21"),
        value: None,
        headers,
        timestamp_ms: None,
    };
    offer(sink, &tombstone, 1).expect("queued");
    drain(sink).expect("delivered");

    let got = read(cluster, "headed", 1).remove(0);
    assert_eq!((got.key(), got.payload()), (Some(&b"21"[..]), None));
    // murmur2("21") is -973932308 (Kafka's own test); masked and modulo three that is 1.
    assert_eq!(got.partition(), ((-973_932_308_i32) & 0x7fff_ffff) % 3);
    let headers = got.headers().expect("headers");
    let got: Vec<_> = headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect();
    let want =
        [("link", "{}"), ("a", "1"), ("b", "")].map(|(n, v)| (n.to_owned(), Some(v.as_bytes().to_vec())));
    assert_eq!(got, want);
}

#[test]
fn a_failing_broker_is_tried_again_and_nothing_is_lost() {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).expect("a topic");
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 3];
    cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let mut sink = kafka(&config(&cluster.bootstrap_servers())).expect("a producer");
    assert!(sink.offer(&message("t", b"k", b"v"), 7).expect("queued"));
    assert_eq!(drain(&mut sink).expect("delivered"), [(7, 1)].into());
}

/// Each error that a broker may have for a while, and a leader that moves.
#[test]
fn our_own_producer_tries_again_too() {
    use RDKafkaRespErr as Code;
    let cluster = MockCluster::new(3).expect("a cluster");
    cluster.create_topic("t", 1, 3).expect("a topic");
    let mut sink = own_for_many(&cluster);
    for (unit, code) in (10..).zip([
        Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
        Code::RD_KAFKA_RESP_ERR__TRANSPORT,
    ]) {
        cluster.request_errors(RDKafkaApiKey::Produce, &[code; 2]);
        cluster.partition_leader("t", 0, Some(unit % 3 + 1)).expect("another leader");
        offer(&mut sink, &message("t", b"k", b"v"), unit.unsigned_abs().into()).expect("queued");
        assert_eq!(
            drain(&mut sink).expect("delivered"),
            [(unit.unsigned_abs().into(), 1)].into(),
            "{code:?}"
        );
    }
}

#[test]
fn a_cluster_that_wants_more_is_left_to_librdkafka() {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).expect("a topic");
    cluster.apiversion(RDKafkaApiKey::Produce, Some(0), Some(6)).expect("an old broker");
    let mut sink = kafka(&own(&cluster.bootstrap_servers())).expect("a producer");
    crowd(&mut sink);
    assert!(sink.gears.as_mut().is_some_and(|gears| gears.bulk_in_use().is_none()));
    let fits = |change: fn(&mut SinkConfig)| {
        let mut given = own("b:1");
        change(&mut given);
        super::super::bulk::access(&given).is_some()
    };
    assert!(fits(|_| {}));
    assert!(!fits(|config| config.kafka.security.protocol = Some("unheard-of".to_owned())));
    assert!(!fits(|config| config.compression = shared::kafka::Compression::Zstd));
    assert!(!fits(|config| _ = config.kafka.properties.insert("client.id".to_owned(), "x".to_owned())));
}

#[test]
fn refusals_say_the_topic_and_what_to_do() {
    for (code, kind) in [
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, Kind::Data),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, Kind::Denied),
        (RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD, Kind::Rejected),
    ] {
        let cluster = cluster();
        cluster.create_topic("orders", 1, 1).expect("a topic");
        cluster.request_errors(RDKafkaApiKey::Produce, &[code]);
        let mut sink = kafka(&config(&cluster.bootstrap_servers())).expect("a producer");
        assert!(sink.offer(&message("orders", b"k", b"v"), 1).expect("queued"));
        let error = drain(&mut sink).expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.to_string().contains("topic orders"), "{error}");

        let mut sink = own_for_many(&cluster);
        cluster.request_errors(RDKafkaApiKey::Produce, &[code]);
        offer(&mut sink, &message("orders", b"k", b"v"), 1).expect("queued");
        let same = drain(&mut sink).expect_err("refused");
        assert_eq!(same.to_string(), error.to_string());
        // A new one begins.
        sink.start().expect("begun anew");
        offer(&mut sink, &message("orders", b"k", b"v"), 2).expect("queued");
        assert_eq!(drain(&mut sink).expect("delivered"), [(2, 1)].into());
    }
}

#[test]
fn a_record_above_the_limit_is_refused_at_once() {
    let mut small = config("127.0.0.1:1");
    small.message_max_bytes = 10_000;
    let mut sink = kafka(&small).expect("a producer");
    let error = sink.offer(&message("orders", b"k", &[0; 20_000]), 1).expect_err("too large");
    assert_eq!(error.kind(), Kind::Data);
    assert!(error.hint().contains("message_max_bytes"));

    let mut sink = own_for_many(&cluster());
    let same = sink.offer(&message("orders", b"k", &[0; 2_000_000]), 1).expect_err("too large");
    assert_eq!(same.to_string(), error.to_string());
}

#[test]
fn an_unknown_topic_is_said() {
    let cluster = cluster();
    let unknown = RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    cluster.topic_error("orders", unknown).expect("set");
    let mut sink = kafka(&config(&cluster.bootstrap_servers())).expect("a producer");
    assert!(sink.offer(&message("orders", b"k", b"v"), 1).expect("queued"));
    let error = drain(&mut sink).expect_err("no such topic");
    assert_eq!(error.kind(), Kind::Rejected, "{error}");
    assert!(error.hint().contains("create the topic"), "{error}");

    let mut sink = own_for_many(&cluster);
    let sent = offer(&mut sink, &message("orders", b"k", b"v"), 1);
    let same = sent.and_then(|()| drain(&mut sink)).expect_err("no such topic");
    assert_eq!(same.to_string(), error.to_string());
}

#[test]
fn no_cluster_is_said_and_a_full_queue_stays_bounded() {
    let mut few = config("127.0.0.1:1");
    few.queue_bytes = 1024 * 1024;
    let mut sink = kafka(&few).expect("no cluster is needed yet");
    let error = sink.check(Duration::from_millis(300)).expect_err("nobody there");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    let mut queued = 0;
    while sink.offer(&message("t", b"k", &[0; 1_000]), 1).expect("no failure") {
        queued += 1;
        assert!(queued < 2_000, "the queue has no end");
    }
    assert!(queued >= 1_000, "the queue held {queued}");
    let error = sink.flush(Duration::from_millis(100), &mut |_, _| {}).expect_err("not delivered");
    assert_eq!(error.kind(), Kind::Unreachable);
    let end = Instant::now() + LIMIT;
    while sink.health().is_ok() {
        assert!(Instant::now() < end, "the loss is not noticed");
        sink.poll(WAIT, &mut |_, _| {}).expect("no failure");
    }
}

#[test]
fn a_wrong_property_is_a_matter_of_configuration() {
    let mut wrong = config("b:1");
    wrong.kafka.properties.insert("no.such.property".to_owned(), "1".to_owned());
    let error = kafka(&wrong).map(drop).expect_err("unknown");
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("no.such.property"), "{error}");
}

fn transactional(cluster: &MockCluster<'static, DefaultProducerContext>) -> Kafka {
    let handle = RUNTIME.handle().clone();
    Kafka::new(&config(&cluster.bootstrap_servers()), Some("shop"), handle).expect("a producer")
}

#[test]
fn what_was_taken_back_does_not_hinder_the_next_transaction() {
    let cluster = cluster();
    cluster.create_topic("t", 3, 1).expect("a topic");
    let mut sink = transactional(&cluster);
    sink.start().expect("begun");
    for unit in 1..=3 {
        for at in 0..100_u64 {
            assert!(sink.offer(&message("t", &at.to_be_bytes(), b"value"), unit).expect("queued"));
        }
        if unit == 2 {
            // At once, so that much of it is still in the queue.
            sink.abort(LIMIT).expect("taken back");
            assert_eq!(sink.outstanding(), 0);
            continue;
        }
        assert_eq!(drain(&mut sink).expect("acknowledged"), [(unit, 100)].into());
        sink.commit(LIMIT).expect("committed");
    }
    // What start does after a failure in mid-transaction.
    assert!(sink.offer(&message("t", b"k", b"v"), 4).expect("queued"));
    sink.start().expect("begun anew");
    assert_eq!((sink.outstanding(), drain(&mut sink).expect("nothing")), (0, BTreeMap::new()));
}

#[test]
fn a_process_that_another_one_ended_says_so_and_does_not_push_back() {
    let cluster = cluster();
    cluster.create_topic("t", 1, 1).expect("a topic");
    let mut sink = transactional(&cluster);
    sink.start().expect("begun");
    assert!(sink.offer(&message("t", b"k", b"v"), 1).expect("queued"));
    drain(&mut sink).expect("acknowledged");
    cluster.request_errors(RDKafkaApiKey::EndTxn, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_PRODUCER_FENCED]);
    let error = sink.commit(LIMIT).expect_err("fenced");
    assert_eq!((error.kind(), error.exit_code()), (Kind::Rejected, 3), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    assert_eq!(sink.start().expect_err("it is at its end").kind(), Kind::Rejected);
}

#[test]
fn brokers_that_take_no_transactions_are_said() {
    for (code, kind, words) in [
        (
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
            Kind::Denied,
            "at_least_once",
        ),
        (
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT,
            Kind::Config,
            "transaction.max.timeout.ms",
        ),
    ] {
        let cluster = cluster();
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[code]);
        let error = transactional(&cluster).start().expect_err("refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.hint().contains(words), "{error:?}");
    }
}
