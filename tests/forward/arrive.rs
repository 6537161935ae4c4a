//! What arrives is what the connector would have written there itself.

use crate::world::{self, LIMIT, Ports, Whole};
use apache_avro::Schema;
use apache_avro::types::Value;
use shared::avro::wire;
use stack::Postgres;
use std::collections::HashMap;
use support::{Binary, Launch, Program, avro, eventually};

const TABLES: &str = "
    CREATE TABLE payments (id bigserial PRIMARY KEY, user_id int, amount numeric(12,2), at timestamptz, note text);
    CREATE TABLE users (id int PRIMARY KEY, name text, age int);
    CREATE PUBLICATION p FOR ALL TABLES;";
const CHANGES: &str = "
    INSERT INTO users SELECT g, 'user ' || g, g FROM generate_series(1, 200) g;
    INSERT INTO payments (user_id, amount, at, note)
        SELECT 1 + g % 200, g * 1.01, now() - g * interval '1 minute', repeat('n', g % 50)
        FROM generate_series(1, 3000) g;
    UPDATE users SET age = age + 1 WHERE id % 3 = 0;
    DELETE FROM payments WHERE id % 7 = 0;
    ALTER TABLE users ADD COLUMN city text;
    INSERT INTO users SELECT g, 'user ' || g, g, 'Hamburg' FROM generate_series(201, 300) g;
    UPDATE payments SET note = NULL WHERE id % 5 = 0;";

#[test]
fn the_same_changes_directly_and_through_the_agent_are_the_same_records() {
    let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
    postgres.psql("postgres", TABLES).expect("tables");
    for slot in ["direct", "agent"] {
        let sql = format!("SELECT pg_create_logical_replication_slot('{slot}', 'pgoutput')");
        postgres.psql("postgres", &sql).expect("a slot");
    }
    let (a, b) = ((world::kafka(1), world::registry()), (world::kafka(1), world::registry()));
    // So that no id is by chance what it is elsewhere.
    for n in 0..7 {
        world::register(
            &b.1.url(),
            &format!("other-{n}"),
            &format!("{{\"type\":\"fixed\",\"name\":\"f{n}\",\"size\":9}}"),
        );
    }
    let ports = Ports::free();
    let launch = world::agent(&ports, &b.0.bootstrap(), &b.1.url());
    let mut agent = world::started(&launch);
    let direct = connector(&postgres, "direct", &a.0.bootstrap(), &a.1.url());
    let through = connector(&postgres, "agent", &ports.door(), &ports.registry());
    // A registry that has just started may answer with a failure of its own: then it is tried again.
    let start = |launch: &Launch| {
        eventually(LIMIT, "the connector runs", || {
            let mut program = launch.start().expect("it starts");
            program.wait_ready(LIMIT).map_err(|error| println!("{error}")).ok()?;
            Some(program)
        })
    };
    let mut running: Vec<Program> = [&direct, &through].map(start).into();
    postgres.psql("postgres", CHANGES).expect("changes");
    let end = postgres.psql("postgres", "SELECT pg_current_wal_lsn()").expect("an LSN");
    eventually(LIMIT, "both slots are confirmed", || {
        let sql = format!("SELECT bool_and(confirmed_flush_lsn >= '{end}') FROM pg_replication_slots");
        (postgres.psql("postgres", &sql).ok()? == "t").then_some(())
    });
    eventually(LIMIT, "all is at the centre", || {
        (agent.status().ok()?["forward"]["records_to_go"] == 0).then_some(())
    });
    let local = world::read(&ports.door(), "same");
    let (first, second) = (world::read(&a.0.bootstrap(), "same"), world::read(&b.0.bootstrap(), "same"));
    println!("{} records: {} directly, {} through the agent", local.len(), first.len(), second.len());

    let mut local_texts = Texts::new(&ports.registry());
    let (mut a_texts, mut b_texts) = (Texts::new(&a.1.url()), Texts::new(&b.1.url()));
    // From the log to the centre: every byte, every time.
    assert_eq!(local.len(), second.len());
    for (local, central) in local.iter().zip(&second) {
        assert_eq!((&local.topic, local.partition), (&central.topic, central.partition));
        assert_eq!((local.time_ms, &local.headers), (central.time_ms, &central.headers));
        for (local, central) in [(&local.key, &central.key), (&local.value, &central.value)] {
            assert_eq!(local_texts.bare(local), b_texts.bare(central), "text and body are the same");
            assert!(local.is_none() || local != central, "and the ids are not");
        }
    }
    same_but_for_the_run(&first, &second, &mut a_texts, &mut b_texts);
    for program in &mut running {
        assert_eq!(program.stop().expect("it stops"), 0);
    }
    assert_eq!(agent.stop().expect("it stops"), 0);
}

/// What the connector wrote directly and what came through the agent: all but the connector's own clock, and
/// the number of its run.
fn same_but_for_the_run(first: &[Whole], second: &[Whole], a_texts: &mut Texts, b_texts: &mut Texts) {
    assert_eq!(first.len(), second.len());
    for (direct, through) in first.iter().zip(second) {
        let same = |record: &Whole| {
            let mut headers = record.headers.clone();
            headers.retain(|(name, _)| name != "__debezium.context.runId");
            (record.topic.clone(), record.partition, headers)
        };
        assert_eq!(same(direct), same(through));
        assert_eq!(a_texts.bare(&direct.key), b_texts.bare(&through.key));
        assert_eq!(a_texts.decoded(&direct.value), b_texts.decoded(&through.value));
    }
}

fn connector(postgres: &Postgres, slot: &str, brokers: &str, registry: &str) -> Launch {
    let file = "[source]\ndatabase = \"postgres\"\nuser = \"postgres\"\npassword = \"postgres\"\n\
                publication = \"p\"\npublication_autocreate = \"disabled\"\n[event]\ntopic_prefix = \"same\"\n\
                [snapshot]\nmode = \"no_data\"\n[offset]\nkind = \"file\"\npath = \"offsets.json\"\n";
    let mut launch = Launch::new(Binary::Connector, file).expect("a launch");
    launch
        .set("source.slot", slot)
        .set("source.port", postgres.port())
        .set("source.socket_dir", postgres.socket_dir().display())
        .set("avro.registry.url", format!("[\"{registry}\"]"))
        .set("sink.kafka.brokers", brokers)
        .allow(&["stopped"]);
    launch
}

/// Schemas of one registry, by id.
struct Texts {
    registry: String,
    known: HashMap<u32, (String, Schema)>,
}

impl Texts {
    fn new(registry: &str) -> Texts {
        Texts { registry: registry.to_owned(), known: HashMap::new() }
    }

    /// The schema's text, and what stands behind the id.
    fn bare(&mut self, message: &Option<Vec<u8>>) -> Option<(String, Vec<u8>)> {
        let (id, body) = wire::split(message.as_deref()?).expect("a schema id in front");
        Some((self.schema(id.0).0.clone(), body.to_vec()))
    }

    /// The schema's text, and the row without the connector's own clock.
    fn decoded(&mut self, message: &Option<Vec<u8>>) -> Option<(String, Value)> {
        let (id, body) = wire::split(message.as_deref()?).expect("a schema id in front");
        let (text, schema) = self.schema(id.0);
        let mut value = avro::decode(schema, body).expect("it fits its schema");
        if let Value::Record(fields) = &mut value {
            fields.retain(|(name, _)| !["ts_ms", "ts_us", "ts_ns"].contains(&name.as_str()));
        }
        Some((text.clone(), value))
    }

    fn schema(&mut self, id: u32) -> &(String, Schema) {
        let registry = &self.registry;
        self.known.entry(id).or_insert_with(|| {
            let text = world::text(registry, id);
            let schema = Schema::parse_str(&text).expect("a schema");
            (text, schema)
        })
    }
}

/// Keys are where any Java client or librdkafka with its partitioner puts the bytes that arrive; without a key a
/// record keeps its partition; null and empty are told apart.
#[test]
fn partitions_by_the_key_that_arrives() {
    let (kafka, registry) = (world::kafka(5), world::registry());
    for n in 0..3 {
        world::register(
            &registry.url(),
            &format!("other-{n}"),
            &format!("{{\"type\":\"fixed\",\"name\":\"f{n}\",\"size\":9}}"),
        );
    }
    let ports = Ports::free();
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &registry.url());
    let mut agent = world::started(launch.set("buffer.partitions", 3));
    let local = world::register(&ports.registry(), "keyed-key", "\"string\"");
    let producer = world::producer(&ports.door());
    let key = |id: u32, n: u64| {
        let mut key = wire::prefix(wire::SchemaId(id)).to_vec();
        key.extend(format!("\u{8}k{n:03}").bytes());
        key
    };
    for n in 0..300 {
        world::send(&producer, &Whole { key: Some(key(local, n)), ..world::made("keyed", n, 1) });
    }
    for n in 0..300u64 {
        let value = [Some(format!("{n}").into_bytes()), Some(Vec::new()), None][(n % 3) as usize].clone();
        let partition = (n % 3) as i32;
        world::send(&producer, &Whole { key: None, value, partition, ..world::made("bare", n, 1) });
    }
    world::flush(&producer);
    let arrived = world::read_all(&mut agent, &kafka.bootstrap(), "keyed");
    let central = wire::split(arrived[0].key.as_deref().expect("a key")).expect("an id").0.0;
    assert_ne!(central, local);
    assert_eq!(world::text(&registry.url(), central), "\"string\"");
    let direct = world::producer(&kafka.bootstrap());
    for n in 0..300 {
        world::send(&direct, &Whole { key: Some(key(central, n)), ..world::made("direct", n, 1) });
    }
    world::flush(&direct);
    let direct = world::read(&kafka.bootstrap(), "direct");
    let placed = |records: &[Whole]| {
        let mut placed: Vec<_> =
            records.iter().map(|r| (r.key.clone(), r.partition, r.value.clone())).collect();
        placed.sort();
        placed
    };
    assert_eq!(placed(&arrived), placed(&direct));
    let bare = world::read_all(&mut agent, &kafka.bootstrap(), "bare");
    assert_eq!(bare, world::read(&ports.door(), "bare"), "partition, order, null and empty");
    assert_eq!(agent.stop().expect("it stops"), 0);
}
