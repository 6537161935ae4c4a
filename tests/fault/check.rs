//! `check` as a person runs it: topics, offsets, registry; an aligned table, and exit code 3 with an error.

use crate::peers::{CONNECTOR, database};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use stack::folder::Folder;
use stack::{HOST, Kafka, Postgres, Registry};
use support::Binary;

struct World {
    postgres: Postgres,
    kafka: Kafka,
    registry: Registry,
    folder: Folder,
}

impl World {
    /// The exit code and what was printed.
    fn check(&self, settings: &[&str]) -> (Option<i32>, String) {
        let file = self.folder.write("connector.toml", CONNECTOR).expect("a file").display().to_string();
        let given = [
            format!("source.port={}", self.postgres.port()),
            format!("avro.registry.url=[\"{}\"]", self.registry.url()),
            format!("sink.kafka.brokers={}", self.kafka.bootstrap()),
            format!("offset.path={}/offsets.json", self.folder.path().display()),
        ];
        let mut arguments = vec!["check", "-c", &file];
        for setting in given.iter().map(String::as_str).chain(settings.iter().copied()) {
            arguments.extend(["--set", setting]);
        }
        let output = Binary::Connector.output(&arguments).expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn topic(&self, name: &str, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", self.kafka.bootstrap()).create().expect("a client");
        let mut wanted = NewTopic::new(name, 1, TopicReplication::Fixed(1));
        for (key, value) in settings {
            wanted = wanted.set(key, value);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let made =
            runtime.block_on(admin.create_topics([&wanted], &AdminOptions::new())).expect("it answers");
        assert!(made.iter().all(Result::is_ok), "{made:?}");
    }
}

#[test]
fn a_check_looks_at_topics_offsets_and_peers() {
    let world = World {
        postgres: database(),
        kafka: Kafka::start(Default::default()).expect("Kafka"),
        registry: Registry::start().expect("the registry"),
        folder: Folder::new("check").expect("a folder"),
    };
    let (code, said) = world.check(&[]);
    assert_eq!(code, Some(0), "{said}");
    for line in
        ["ok     registry     the schema", "ok     kafka        there is no topic fault.* yet", "0 errors, "]
    {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    world.topic(
        "fault.public.t",
        &[("cleanup.policy", "compact"), ("max.message.bytes", "1000"), ("min.insync.replicas", "2")],
    );
    world.topic("offsets", &[]);
    let own_topic = ["event.tombstones=false", "offset.kind=kafka", "offset.topic=offsets"];
    let (code, said) = world.check(&own_topic);
    assert_eq!(code, Some(3), "{said}");
    for words in [
        "topic fault.public.t is compacted, and event.tombstones is false",
        "takes messages of 1000 bytes",
        "wants 2 in-sync replicas and has 1",
        "topic offsets has cleanup.policy=delete",
        "set cleanup.policy=compact on the topic",
    ] {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    let nobody = format!("{HOST}:{}", stack::port::free().expect("a port"));
    let lost = [
        format!("avro.registry.url=[\"http://{nobody}\"]"),
        format!("sink.kafka.brokers={nobody}"),
        "offset.path=/no/such/folder/offsets.json".to_owned(),
        "source.password=wrong".to_owned(),
    ];
    let (code, said) = world.check(&lost.each_ref().map(String::as_str));
    assert_eq!(code, Some(3), "{said}");
    for words in
        ["ERROR  registry", "ERROR  kafka", "ERROR  offset", "/no/such/folder", "ERROR  server", "4 errors"]
    {
        assert!(said.contains(words), "{words} is not in\n{said}");
    }
    let (_, said) = world.check(&["offset.kind=kafka", "offset.topic=not_yet"]);
    assert!(said.contains("topic not_yet is not there: starting will make it"), "{said}");
}
