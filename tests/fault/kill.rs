//! `kill -9` at random moments of snapshot, stream and incremental snapshot, while writers go on: nothing is lost, each key's
//! changes come in order, and exactly once each comes once. Into Kafka, and into our agent, which is killed as well.
//!
//! `KILLS=300 cargo dev test fault kill` kills as often; a handful is the default.

use serde_json::Value;
use stack::{Kafka, Postgres};
use std::collections::{BTreeMap, BTreeSet};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use support::edge::Agent;
use support::topics::Record;
use support::{Binary, Launch, Program, eventually, topics};

const LIMIT: Duration = Duration::from_secs(120);
/// Reads the table once more, in chunks beside the stream.
const AGAIN: &str = r#"INSERT INTO signals VALUES (nextval('s')::text, 'execute-snapshot',
    '{"data-collections": ["public.t"], "type": "incremental"}')"#;
/// Of one snapshot and its stream; then everything begins anew.
const KILLS_A_ROUND: u32 = 10;
const WRITERS: u32 = 3;
const ROWS: u32 = 60_000;

/// Rows for a snapshot of some seconds, writers that each have their own keys, and what they wrote.
const TABLES: &str = "
    CREATE TABLE t (id int PRIMARY KEY, v bigint NOT NULL, pad text);
    CREATE TABLE written (id int, v bigint, op text);
    CREATE TABLE control (stop bool);
    CREATE TABLE signals (id varchar(42) PRIMARY KEY, type varchar(32), data varchar(2048));
    CREATE SEQUENCE s;
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'DELETE' THEN INSERT INTO written VALUES (OLD.id, OLD.v, 'd'); RETURN OLD; END IF;
        INSERT INTO written VALUES (NEW.id, NEW.v, CASE TG_OP WHEN 'INSERT' THEN 'c' ELSE 'u' END);
        RETURN NEW;
    END $$";

const WRITER: &str = "DO $$ BEGIN
    WHILE NOT EXISTS (SELECT FROM control) LOOP
        FOR i IN 0 .. random() * 20 LOOP
            INSERT INTO t VALUES (WRITERS * floor(random() * KEYS)::int + ME, nextval('s'), 'new')
                ON CONFLICT (id) DO UPDATE SET v = nextval('s');
            IF random() < 0.2 THEN DELETE FROM t WHERE id = WRITERS * floor(random() * KEYS)::int + ME; END IF;
        END LOOP;
        COMMIT;
        PERFORM pg_sleep(random() * 0.02);
    END LOOP;
END $$";

const CONNECTOR: &str = "
[source]
database = 'postgres'
user = 'postgres'
password = 'postgres'
slot = 'kill'
publication = 'kill'
tables = ['public\\.t']
[event]
topic_prefix = 'kill'
[snapshot]
chunk_bytes = 65536
max_threads = 2
[signal]
table = 'public.signals'
[encode.key]
format = 'json'
schemas = false
[encode.value]
format = 'json'
schemas = false
[sink]
commit_interval_ms = 100
[sink.kafka]
brokers = ''
[offset]
kind = 'kafka'
topic_partitions = 1
interval_ms = 100
";

/// Where the changes go.
enum Target {
    Kafka(Kafka),
    Agent(Box<Agent>),
}

impl Target {
    fn start(name: &str) -> Target {
        let partitions = stack::kafka::Options { partitions: 3, ..Default::default() };
        match name {
            "agent" => Target::Agent(Box::new(Agent::start(&[("buffer.partitions", "3")]))),
            _ => Target::Kafka(Kafka::start(partitions).expect("Kafka")),
        }
    }

    fn bootstrap(&self) -> String {
        match self {
            Target::Kafka(kafka) => kafka.bootstrap(),
            Target::Agent(agent) => agent.brokers(),
        }
    }

    /// The agent, now and then; Kafka has tests of its own.
    fn kill(&mut self) {
        if let Target::Agent(agent) = self
            && fastrand::bool()
        {
            agent.program.kill().expect("killed");
            agent.program = agent.launch.start().expect("it starts");
            agent.program.wait_ready(LIMIT).expect("ready");
        }
    }
}

struct World {
    postgres: Postgres,
    target: Target,
    launch: Launch,
    writers: Vec<JoinHandle<()>>,
}

impl World {
    fn new(delivery: &str, target: &str) -> World {
        let postgres = Postgres::start(Default::default()).expect("PostgreSQL");
        let target = Target::start(target);
        postgres.psql("postgres", TABLES).expect("tables");
        let rows = format!(
            "INSERT INTO t SELECT g, 0, repeat(md5(g::text), 8) FROM generate_series(0, {ROWS} - 1) g;
            CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note()"
        );
        postgres.psql("postgres", &rows).expect("rows");
        let mut launch = Launch::new(Binary::Connector, CONNECTOR).expect("a launch");
        launch.set("source.port", postgres.port()).set("sink.kafka.brokers", target.bootstrap());
        launch.set("sink.delivery", delivery).allow(&["connection_lost", "librdkafka", "kafka_lost"]);
        World { postgres, target, launch, writers: Vec::new() }
    }

    /// Writers begin once it is stored where the snapshot begins, so that the stream holds all that they write.
    fn begin(&mut self) {
        let mut program = self.launch.start().expect("it starts");
        program.wait_ready(LIMIT).expect("ready");
        eventually(LIMIT, "the beginning is stored", || {
            program.metric("tidegate_connector_offset_saves_total").ok().filter(|saves| *saves > 0.0)
        });
        for me in 0..WRITERS {
            let replace = [("WRITERS", WRITERS), ("KEYS", ROWS / WRITERS), ("ME", me)];
            let sql =
                replace.iter().fold(WRITER.to_owned(), |sql, (name, n)| sql.replace(name, &n.to_string()));
            let mut psql = self.postgres.psql_command("postgres");
            psql.args(["-q", "-c", &sql]);
            self.writers.push(thread::spawn(move || {
                assert!(psql.status().expect("psql runs").success(), "a writer failed");
            }));
        }
        self.kill(program);
    }

    fn kill(&mut self, mut program: Program) {
        // Often in the start, now and then well after it.
        if fastrand::bool() {
            program.wait_ready(LIMIT).expect("ready");
        }
        thread::sleep(Duration::from_millis(fastrand::u64(50..1_500)));
        self.target.kill();
        assert!(!program.ended(), "it ended by itself");
        program.kill().expect("killed");
    }

    /// Writers stop, and the connector reads to the end.
    fn finish(&mut self) {
        self.postgres.psql("postgres", "INSERT INTO control VALUES (true)").expect("asked to stop");
        self.writers.drain(..).for_each(|writer| writer.join().expect("a writer ends"));
        let end = self.postgres.psql("postgres", "SELECT pg_current_wal_lsn()").expect("the end of the log");
        let mut program = self.launch.start().expect("it starts");
        program.wait_ready(LIMIT).expect("ready");
        let read = format!(
            "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE slot_name = 'kill'"
        );
        program.wait_event("incremental_snapshot_finished", LIMIT).expect("the table was read once more");
        eventually(LIMIT, "all is confirmed", || {
            // Others must write for the slot to get beyond what it has to.
            self.postgres.psql("postgres", "SELECT pg_logical_emit_message(false, 'x', 'x')").ok()?;
            (self.postgres.psql("postgres", &read).ok()? == "t").then_some(())
        });
        assert_eq!(program.stop().expect("it stops"), 0);
    }

    fn pairs(&self, sql: &str) -> Vec<(i64, i64)> {
        let text = self.postgres.psql("postgres", sql).expect("an answer");
        let pair = |line: &str| {
            let (id, v) = line.split_once('|')?;
            Some((id.parse().ok()?, v.parse().ok()?))
        };
        text.lines().map(|line| pair(line).expect("two numbers")).collect()
    }
}

/// A change as a consumer reads it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    id: i64,
    /// Debezium's letter; of a row of an incremental snapshot, its marker.
    op: String,
    lsn: i64,
    v: Option<i64>,
}

fn change(record: &Record) -> Option<Change> {
    let parse = |bytes: &Option<Vec<u8>>| serde_json::from_slice::<Value>(bytes.as_deref()?).ok();
    let (key, value) = (parse(&record.key)?, parse(&record.value)?);
    let source = &value["source"];
    let beside = source["snapshot"].as_str().filter(|marker| *marker == "incremental");
    Some(Change {
        id: key["id"].as_i64()?,
        op: beside.or(value["op"].as_str())?.to_owned(),
        // Rows read beside the stream have none.
        lsn: source["lsn"].as_i64().unwrap_or_default(),
        v: value["after"]["v"].as_i64(),
    })
}

fn check(world: &World, exactly_once: bool) {
    let records =
        topics::read(&world.target.bootstrap(), "kill.").remove("kill.public.t").expect("the topic");
    let changes: Vec<Change> = records.iter().filter_map(change).collect();
    let mut content = BTreeMap::new();
    for change in &changes {
        match change.v {
            Some(v) => content.insert(change.id, v),
            None => content.remove(&change.id),
        };
    }
    let table: BTreeMap<i64, i64> = world.pairs("SELECT id, v FROM t").into_iter().collect();
    assert!(content == table, "the topic adds up to another table");

    let mut beside = BTreeSet::new();
    for change in changes.iter().filter(|change| change.op == "incremental") {
        let again = !beside.insert(change.id);
        assert!(!again || !exactly_once, "row {} is read twice beside the stream", change.id);
    }
    let mut first = BTreeSet::new();
    // Rows that nobody changed; others are read again after a crash if they changed since.
    for change in changes.iter().filter(|change| change.op == "r" && change.v == Some(0)) {
        let again = !first.insert(change.id);
        assert!(!again || !exactly_once, "row {} is read twice", change.id);
    }
    let read = |change: &&Change| change.op == "r" || change.op == "incremental";
    let streamed: Vec<&Change> = changes.iter().filter(|change| !read(change)).collect();
    let distinct: BTreeSet<&Change> = streamed.iter().copied().collect();
    let sent: BTreeSet<(i64, i64)> =
        distinct.iter().filter_map(|change| Some((change.id, change.v?))).collect();
    let written = world.pairs("SELECT id, v FROM written WHERE op <> 'd'");
    let lost: Vec<_> = written.iter().filter(|pair| !sent.contains(pair)).collect();
    assert!(lost.is_empty(), "{} of {} changes are lost: {lost:?}", lost.len(), written.len());
    let deletes = distinct.iter().filter(|change| change.op == "d").count();
    assert_eq!(deletes, world.pairs("SELECT id, v FROM written WHERE op = 'd'").len(), "deletes");

    let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for change in &streamed {
        let again = !seen.insert(*change);
        let last = newest.entry(change.id).or_default();
        assert!(change.lsn > *last || again, "{change:?} comes after {last}");
        assert!(!again || !exactly_once, "{change:?} comes twice");
        *last = change.lsn.max(*last);
    }
    eprintln!(
        "{} changes, {} of them different; {} rows read, {} of them beside the stream",
        streamed.len(),
        distinct.len(),
        changes.len() - streamed.len(),
        beside.len()
    );
}

fn kill_in_a_loop(delivery: &str, target: &str) {
    let kills: u32 = std::env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(6);
    let mut left = kills;
    while left > 0 {
        let mut world = World::new(delivery, target);
        let began = Instant::now();
        let round = left.min(KILLS_A_ROUND);
        world.begin();
        for kill in 1..round {
            let mut program = world.launch.start().expect("it starts");
            if kill == round / 2 {
                program.wait_event("snapshot_finished", LIMIT).expect("the table is read");
                world.postgres.psql("postgres", AGAIN).expect("asked to read again");
            }
            world.kill(program);
        }
        world.finish();
        check(&world, delivery == "exactly_once");
        left -= round;
        eprintln!("{round} kills in {:?}, {left} left", began.elapsed());
    }
}

#[test]
fn kill_at_least_once() {
    kill_in_a_loop("at_least_once", "kafka");
}

#[test]
fn kill_exactly_once() {
    kill_in_a_loop("exactly_once", "kafka");
}

#[test]
fn kill_exactly_once_with_our_agent() {
    kill_in_a_loop("exactly_once", "agent");
}
