//! What happens to the producer for many: brokers that are cut off, slow, killed and restarted.

use crate::peers::LIMIT;
use connector::config::sink::SinkConfig;
use connector::model::encoded::{Encoded, Headers};
use connector::sink::{self, Bulk};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use shared::time::Clock;
use stack::folder::Folder;
use stack::proxy::{Network, Proxy};
use stack::{Kafka, kafka, port};
use std::time::{Duration, Instant};
use support::certificate::Authority;

const TOPICS: [&str; 3] = ["one", "two", "three"];
const PARTITIONS: u32 = 4;
const KEYS: u64 = 997;
/// Faults while records are written.
const FAULTS: u32 = 25;
/// Two of them are the broker's own end, while answers are on their way.
const KILL: u32 = 14;
const STOP: u32 = 19;
const NAP: Duration = Duration::from_millis(1);

struct Writer {
    bulk: Bulk,
    waiting: usize,
    sent: u64,
    acknowledged: u64,
}

impl Writer {
    fn poll(&mut self) {
        let mut units = Vec::new();
        let bytes = self.bulk.poll(&mut units);
        self.waiting -= bytes.unwrap_or(0);
        self.acknowledged += units.iter().map(|(_, count)| count).sum::<u64>();
        if let Some(failure) = self.bulk.failure() {
            panic!(
                "{} of {} are acknowledged: {}, topic {}",
                self.acknowledged, self.sent, failure.0, failure.1
            );
        }
    }

    /// The next number, under a key and in a topic that follow from it.
    fn write(&mut self) {
        let number = self.sent;
        let (key, place) = (number % KEYS, usize::try_from(number % 3).expect("small"));
        let value = format!("{number} {}", "x".repeat(100));
        let message = Encoded {
            topic: TOPICS[place],
            partition: None,
            key: Some(&key.to_be_bytes()),
            value: Some(value.as_bytes()),
            headers: Headers::default(),
            timestamp_ms: None,
        };
        let end = Instant::now() + LIMIT;
        // A broker that restarts forgets producers whose records are old.
        let now_ms = Clock::System.now().millis();
        while !self.bulk.offer(&message, number / 100, now_ms, self.waiting).expect("taken") {
            assert!(Instant::now() < end, "no room: {} of {} acknowledged", self.acknowledged, self.sent);
            std::thread::sleep(NAP);
            self.poll();
        }
        self.waiting += message.body_size();
        self.sent += 1;
    }

    /// Sends what is there, and waits until all of it is written.
    fn finish(&mut self) {
        self.bulk.close_all();
        let end = Instant::now() + LIMIT;
        while self.acknowledged < self.sent {
            assert!(Instant::now() < end, "{} of {} are acknowledged", self.acknowledged, self.sent);
            std::thread::sleep(NAP);
            self.poll();
        }
        assert_eq!(self.waiting, 0);
    }
}

fn bulk(brokers: &str, security: &str) -> Bulk {
    let text = format!("[kafka]\nbrokers = {brokers:?}\n[kafka.security]\n{security}");
    let overrides = shared::config::Overrides { env_prefix: "NONE", set: &[] };
    let config: SinkConfig = shared::config::parse(&text, &overrides).expect("valid");
    Bulk::start(&config, sink::access(&config).expect("it can")).expect("a thread")
}

/// Every number that a topic holds, by partition.
fn numbers(brokers: &str, topic: &str, count: usize) -> Vec<Vec<u64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "g")
        .create()
        .expect("a consumer");
    let mut list = TopicPartitionList::new();
    let partitions = i32::try_from(PARTITIONS).expect("few");
    (0..partitions).for_each(|p| _ = list.add_partition_offset(topic, p, Offset::Beginning));
    consumer.assign(&list).expect("assigned");
    let mut found = vec![Vec::new(); PARTITIONS as usize];
    let (mut total, mut quiet_since) = (0, Instant::now());
    // What comes beyond the count would be repeated.
    while quiet_since.elapsed() < if total < count { LIMIT } else { Duration::from_secs(2) } {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
        let message = message.expect("read");
        let text = std::str::from_utf8(message.payload().expect("a value")).expect("text");
        let number = text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number");
        found[usize::try_from(message.partition()).expect("small")].push(number);
        (total, quiet_since) = (total + 1, Instant::now());
    }
    found
}

#[test]
fn many_records_are_written_once_and_in_order_whatever_happens_to_the_brokers() {
    torment("", Vec::new());
}

#[test]
fn the_same_with_encryption_and_a_login() {
    let folder = Folder::new("producer").expect("a folder");
    let authority = Authority::new(folder.path(), "authority");
    let signed = authority.sign("broker", false);
    let read = |file: &str| std::fs::read_to_string(file).expect("it is there");
    let kept = folder.write("broker.both", &(read(&signed.key) + &read(&signed.cert))).expect("written");
    let far = |name: &str| format!("listener.name.far.{name}");
    let login = "org.apache.kafka.common.security.plain.PlainLoginModule required user_edge=\"secret\";";
    let map = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,FAR:SASL_SSL";
    let settings = vec![
        ("listener.security.protocol.map".to_owned(), map.to_owned()),
        (far("ssl.keystore.type"), "PEM".to_owned()),
        (far("ssl.keystore.location"), kept.display().to_string()),
        (far("sasl.enabled.mechanisms"), "PLAIN".to_owned()),
        (far("plain.sasl.jaas.config"), login.to_owned()),
    ];
    let security = format!(
        "protocol = \"sasl_ssl\"\nsasl_mechanism = \"PLAIN\"\nusername = \"edge\"\npassword = \"secret\"\nca_file = {:?}",
        authority.file()
    );
    torment(&security, settings);
}

/// Each record is there once, behind those before it.
fn torment(security: &str, settings: Vec<(String, String)>) {
    let proxy = Proxy::start(port::free().expect("a port")).expect("a proxy");
    let options = kafka::Options { partitions: PARTITIONS, settings, ..Default::default() };
    let mut kafka = Kafka::behind(&proxy, options).expect("Kafka");
    let bulk = bulk(&proxy.address(), security);
    let mut writer = Writer { bulk, waiting: 0, sent: 0, acknowledged: 0 };
    let mut random = fastrand::Rng::with_seed(7);
    for fault in 0..FAULTS {
        if [KILL, STOP].contains(&fault) {
            // A broker that has restarted knows no batch but the last: one whose answer the fault before has taken is
            // refused when it comes again. `network` has that case.
            writer.finish();
        }
        let end = Instant::now() + Duration::from_millis(random.u64(50..400));
        while Instant::now() < end {
            writer.write();
            writer.poll();
        }
        match fault % 5 {
            _ if fault == KILL => kafka.kill().expect("killed"),
            _ if fault == STOP => kafka.stop().expect("stopped"),
            0 | 1 => proxy.reset(),
            2 => proxy.set(Network::Down),
            3 => proxy.set(Network::Slow(Duration::from_millis(20))),
            _ => proxy.set(Network::Silent),
        }
        std::thread::sleep(Duration::from_millis(random.u64(20..300)));
        if kafka.process().is_none() {
            kafka.start_again().expect("Kafka comes back");
        }
        proxy.set(Network::Well);
        // A silent connection is only given up when its answers are overdue.
        proxy.reset();
    }
    writer.finish();
    for (place, topic) in (0..).zip(TOPICS) {
        let want: Vec<u64> = (0..writer.sent).filter(|number| number % 3 == place).collect();
        let found = numbers(&kafka.bootstrap(), topic, want.len());
        for (partition, numbers) in found.iter().enumerate() {
            if let Some(at) = numbers.windows(2).position(|pair| pair[0] >= pair[1]) {
                let shown = &numbers[at.saturating_sub(3)..(at + 5).min(numbers.len())];
                let again = numbers[..=at].contains(&numbers[at + 1]);
                panic!("{topic} {partition}: behind {at} of {}: {shown:?}, again: {again}", numbers.len());
            }
        }
        let mut all = found.concat();
        all.sort_unstable();
        assert!(all == want, "{topic}: {} records for {}", all.len(), want.len());
    }
}
