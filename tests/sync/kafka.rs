//! A topic per view on a real Kafka with a real registry, stopped on the way; read by a real consumer.

use crate::edge::{Edge, Features};
use crate::story::{self, NAME, Store};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value as Json, json};
use stack::proxy::{Network, Proxy};
use stack::{Kafka, Registry, http};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use support::topics;

struct Log {
    kafka: Kafka,
    registry: Registry,
    /// To the registry and to Kafka, of the first agent.
    links: [Proxy; 2],
    schemas: HashMap<u32, apache_avro::Schema>,
}

impl Store for Log {
    fn cut(&mut self, agent: usize) {
        assert_eq!(agent, 0, "the first agent has proxies");
        self.links.iter().for_each(|link| link.set(Network::Down));
    }

    fn mend(&mut self, _: usize) {
        self.links.iter().for_each(|link| link.set(Network::Well));
    }

    fn read(&mut self, _: &[i64]) -> BTreeMap<i64, Features> {
        let mut all: BTreeMap<i64, Features> = BTreeMap::new();
        for (topic, view) in [("features.profile", 0), ("features.pair", 1)] {
            let mut times: HashMap<i64, i64> = HashMap::new();
            for (key, value) in self.records(topic) {
                let user = key["user_id"].as_i64().expect("a user");
                assert!(view == 0 || key["shop"] == crate::edge::shop(user));
                let time = value["event_timestamp"].as_i64().expect("a time");
                // Readers of several agents' topics take the newest.
                if times.get(&user).is_some_and(|known| *known > time) {
                    continue;
                }
                times.insert(user, time);
                let features = value
                    .as_object()
                    .expect("a record")
                    .iter()
                    .filter(|(name, _)| *name != "event_timestamp");
                all.entry(user)
                    .or_default()
                    .extend(features.map(|(name, value)| (name.clone(), value.clone())));
            }
        }
        all
    }

    fn restart(&mut self) {
        self.kafka.kill().expect("kill -9");
        self.kafka.start_again().expect("Kafka starts again");
    }
}

impl Log {
    fn records(&mut self, topic: &str) -> Vec<(Json, Json)> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.kafka.bootstrap()).set("group.id", "reader");
        let consumer: BaseConsumer = client.create().expect("a consumer");
        let (_, end) = topics::watermarks(&consumer, topic, 0);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).expect("a partition");
        consumer.assign(&list).expect("assigned");
        let mut records = Vec::new();
        while (records.len() as i64) < end {
            let message =
                consumer.poll(Duration::from_secs(20)).expect("a record in time").expect("a record");
            let (key, value) = (message.key().expect("a key"), message.payload().expect("a value"));
            let value = self.decode(value);
            let time_ms = message.timestamp().to_millis().expect("a time");
            assert_eq!(value["event_timestamp"].as_i64().expect("a time") / 1_000, time_ms);
            records.push((self.decode(key), value));
        }
        records
    }

    fn decode(&mut self, framed: &[u8]) -> Json {
        let (id, mut bytes) = shared::avro::wire::split(framed).expect("a frame");
        let registry = self.registry.url();
        let schema = self.schemas.entry(id.0).or_insert_with(|| {
            let answer = http::get(&format!("{registry}/schemas/ids/{id}")).and_then(http::Answer::json);
            let text = answer.expect("the schema")["schema"].as_str().expect("a text").to_owned();
            apache_avro::Schema::parse_str(&text).expect("a schema")
        });
        #[expect(deprecated, reason = "the plainest way to read one value")]
        let value = apache_avro::from_avro_datum(schema, &mut bytes, None).expect("it is read");
        plain(&value)
    }
}

/// As the agent itself answers: bytes in base64, moments of features in seconds.
fn plain(value: &apache_avro::types::Value) -> Json {
    use apache_avro::types::Value;
    match value {
        Value::Record(fields) => {
            let field = |(name, value): &(String, Value)| {
                let plain = plain(value);
                let seconds = name == "seen" && plain.is_i64();
                (
                    name.clone(),
                    if seconds { json!(plain.as_i64().expect("micros") / 1_000_000) } else { plain },
                )
            };
            Json::Object(fields.iter().map(field).collect())
        }
        Value::Union(_, inner) => plain(inner),
        Value::Null => Json::Null,
        Value::Boolean(truth) => json!(truth),
        Value::Int(n) => json!(n),
        Value::Long(n) | Value::TimestampMicros(n) => json!(n),
        Value::Double(n) => json!(n),
        Value::String(text) => json!(text),
        Value::Bytes(bytes) => json!(base64(bytes)),
        Value::Array(values) => values.iter().map(plain).collect(),
        other => panic!("{other:?}"),
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for part in bytes.chunks(3) {
        let word =
            part.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at)) as usize & 63];
            out.push(if at <= part.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[test]
fn topics_hold_the_newest_of_two_agents() {
    let far = Proxy::start(0).expect("a proxy");
    let kafka = Kafka::behind(&far, Default::default()).expect("Kafka");
    let registry = Registry::start().expect("a registry");
    let near = Proxy::start(registry.port()).expect("a proxy");
    let start = |brokers: String, registry: String| {
        let target = format!(
            "[sync.{NAME}]\nkind = \"kafka\"\nkafka.brokers = \"{brokers}\"\nregistry.url = [\"{registry}\"]\n
             delivery_timeout = \"3s\"\nretry_ceiling = \"300ms\"\n"
        );
        Edge::start(&target, true)
    };
    let by_proxy = registry.url().replace(&registry.port().to_string(), &near.port().to_string());
    let mut one = start(far.address(), by_proxy);
    let mut two = start(kafka.bootstrap(), registry.url());
    let mut log = Log { kafka, registry, links: [near, far], schemas: HashMap::new() };
    story::run(&mut log, &mut one, &mut two);
}
