//! Topics deleted by the clients that people delete them with: librdkafka's admin client, and Java's.

use crate::java;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use std::time::Duration;
use support::edge::Agent;
use support::topics;

const LIMIT: Duration = Duration::from_secs(30);

/// Deletes topics as librdkafka asks for it.
fn delete(brokers: &str, topic: &str) -> Result<(), RDKafkaErrorCode> {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin client");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let asked = runtime.block_on(admin.delete_topics(&[topic], &AdminOptions::new()));
    let answer = asked.expect("it answers").pop().expect("an answer");
    answer.map(drop).map_err(|(_, code)| code)
}

fn produce(producer: &BaseProducer, topic: &str, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let value = n.to_string();
        producer.send(BaseRecord::<str, str>::to(topic).payload(&value)).map_err(|(e, _)| e).expect("room");
    }
    producer.flush(LIMIT).expect("acknowledged");
}

fn values(brokers: &str, topic: &str) -> Vec<u32> {
    let records = topics::read(brokers, topic).remove(topic).unwrap_or_default();
    let number = |record: topics::Record| String::from_utf8(record.value.expect("a value")).expect("text");
    records.into_iter().map(number).map(|text| text.parse().expect("a number")).collect()
}

/// One producer goes on through the deletion; a reader sees only the new topic, in the running agent and after a
/// kill.
#[test]
fn librdkafka_deletes_and_goes_on() {
    let mut agent = Agent::start(&[]);
    let brokers = agent.brokers();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("enable.idempotence", "true")
        .create()
        .expect("a producer");
    produce(&producer, "t", 0..500);
    assert_eq!(delete(&brokers, "t"), Ok(()));
    assert_eq!(delete(&brokers, "t"), Err(RDKafkaErrorCode::UnknownTopicOrPartition));
    assert_eq!(agent.records("t"), 0, "and asking does not make it");
    produce(&producer, "t", 500..600);
    assert_eq!(values(&brokers, "t"), (500..600).collect::<Vec<_>>());
    agent.program.kill().expect("kill -9");
    agent.program = agent.launch.start().expect("it starts again");
    agent.program.wait_ready(LIMIT).expect("ready");
    produce(&producer, "t", 600..700);
    assert_eq!(values(&brokers, "t"), (500..700).collect::<Vec<_>>());
    let line = agent.program.wait_event("buffer_topic_deleted", LIMIT).expect("it says so");
    assert_eq!((line.field("topic"), line.level()), ("t", "INFO"));
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}

#[test]
fn javas_admin_client_deletes() {
    let mut agent = Agent::start(&[]);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", agent.brokers()).create().expect("a producer");
    produce(&producer, "java", 0..10);
    let Some(said) = java::door(&agent.brokers(), "delete", "java", &[]) else { return };
    let found: Vec<&str> = said.iter().map(|line| line.split(':').next().unwrap_or_default()).collect();
    assert_eq!(found, ["deleted", "refused UnknownTopicOrPartitionException", "topics []"]);
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}

#[test]
fn the_operator_may_forbid_it() {
    let mut agent = Agent::start(&[("buffer.delete_topics", "\"never\"")]);
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", agent.brokers()).create().expect("a producer");
    produce(&producer, "t", 0..10);
    assert_eq!(delete(&agent.brokers(), "t"), Err(RDKafkaErrorCode::TopicDeletionDisabled));
    assert_eq!(values(&agent.brokers(), "t"), (0..10).collect::<Vec<_>>());
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}
