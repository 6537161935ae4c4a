//! A compacted topic at the agent's door: of each key the newest record stays, and the file does not grow with
//! every change of it, as the connector's own topic of positions would make it.

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use std::collections::BTreeMap;
use std::time::Duration;
use support::edge::Agent;
use support::{eventually, topics};

const LIMIT: Duration = Duration::from_secs(60);
const TOPIC: &str = "positions";
const RECORDS: u32 = 4_000;
const KEYS: u32 = 3;

fn create(brokers: &str) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("an admin client");
    let topic = NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "compact");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let made = runtime.block_on(admin.create_topics([&topic], &AdminOptions::new())).expect("answered");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
}

#[test]
fn of_each_key_the_newest_record_stays() {
    let mut agent = Agent::start(&[]);
    create(&agent.brokers());
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", agent.brokers())
        .set("batch.num.messages", "4")
        .create()
        .expect("a producer");
    for n in 0..RECORDS {
        // One key comes once only: its batch must outlast all others.
        let key = if n == 1 { KEYS } else { n % KEYS };
        let (key, value) = (key.to_string(), format!("{n} {}", "x".repeat(1_000)));
        let record = BaseRecord::to(TOPIC).key(&key).payload(&value);
        producer.send(record).expect("room");
        producer.poll(Duration::ZERO);
    }
    producer.flush(LIMIT).expect("acknowledged");
    let read = || topics::read(&agent.brokers(), TOPIC).remove(TOPIC).unwrap_or_default();
    let left = eventually(LIMIT, "what is outdated goes", || {
        let left = read();
        (left.len() < 100).then_some(left)
    });
    let mut newest = BTreeMap::new();
    for record in left {
        let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.expect("not null")).expect("text");
        let number = text(record.value).split(' ').next().and_then(|n| n.parse::<u32>().ok());
        newest.insert(text(record.key), number.expect("a number"));
    }
    let wanted = [("0", 3_999), ("1", 3_997), ("2", 3_998), ("3", 1)];
    assert_eq!(newest, wanted.map(|(key, n)| (key.to_owned(), n)).into());
    // Offsets go on, also after a restart.
    agent.program.kill().expect("kill -9");
    agent.program = agent.launch.start().expect("it starts again");
    agent.program.wait_ready(LIMIT).expect("ready");
    assert_eq!(topics::total(&agent.brokers(), TOPIC), i64::from(RECORDS), "the watermarks stay");
    assert_eq!(agent.program.stop().expect("it stops"), 0);
}
