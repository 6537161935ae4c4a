//! Whole cases: from the change that must have been, to the very bytes that Debezium wrote.

use crate::golden::{bytes, column, lines, text, value};
use crate::registry::{Encoding, Registered};
use connector::event::Events;
use connector::model::change::{Change, Event, Marker, Op, Origin, PostgresOrigin};
use connector::model::position::Lsn;
use connector::model::table::{Table, TableId};
use connector::model::value::Value;
use serde_json::Value as Json;
use shared::time::{Clock, Instant};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[test]
fn replica_identity() {
    check("replica_identity", &[]);
}

#[test]
fn snapshot_initial() {
    check("snapshot_initial", &[]);
}

#[test]
fn schema_evolution() {
    check("schema_evolution", &[]);
}

#[test]
fn tombstones_off() {
    check("tombstones_off", &["event.tombstones=false"]);
}

#[test]
fn no_extended_headers() {
    check("no_extended_headers", &["event.headers=false"]);
}

/// A case's schemas by name, and its records by topic.
struct Case {
    schemas: HashMap<String, Json>,
    topics: BTreeMap<String, Vec<Json>>,
}

fn read(name: &str) -> Case {
    let mut case = Case { schemas: HashMap::new(), topics: BTreeMap::new() };
    for mut line in lines(name) {
        match line["schema"].as_str().map(str::to_owned) {
            Some(schema) => {
                case.schemas.insert(schema, line["text"].take());
            }
            None => case.topics.entry(text(&line, "topic").to_owned()).or_default().push(line),
        }
    }
    case
}

/// What stands in `before`: the whole row, or the columns of the replica identity.
fn known_before(table: &Table) -> Vec<usize> {
    match table.id.name.as_str() {
        "ri_full" | "ri_nopk_full" => (0..table.columns.len()).collect(),
        "ri_index" => vec![1],
        _ => table.key.clone(),
    }
}

fn check(name: &str, settings: &[&str]) {
    let case = read(name);
    let mut settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    settings.push("event.source_version=\"3.6.3.Final\"".to_owned());
    settings.push(format!("event.topic_prefix=\"pg_{name}\""));
    let mut encoding = Encoding::start(&settings);
    let run = case.topics.values().flatten().find_map(run_id).unwrap_or_default();
    let clock = Clock::manual(0);
    let mut events = Events::with_run(&encoding.config.event, clock.clone(), run).expect("valid");
    let mut tables = HashMap::new();
    let mut count = 0;
    for (topic, records) in &case.topics {
        let mut rest = records.as_slice();
        while let Some((first, _)) = rest.split_first() {
            let (whole, left) = rest.split_at(length(rest));
            let table = table(&case, &mut tables, first);
            let change = Recorded::new(whole, table);
            let mut expected = whole.iter();
            set_clock(&clock, whole);
            events
                .records(&Event::Change(change.change()), &mut |record| {
                    let want = expected.next().unwrap_or_else(|| panic!("{topic}: one record too many"));
                    assert_eq!(record.topic, topic);
                    let got = encoding.encoder.encode(record, &mut |_| {})?;
                    compare(want, &got, &case, &encoding.registered);
                    set_clock(&clock, expected.as_slice());
                    count += 1;
                    Ok(())
                })
                .expect("encodes");
            assert!(expected.next().is_none(), "{topic}: a record is missing");
            rest = left;
        }
    }
    assert_eq!(count, case.topics.values().map(Vec::len).sum::<usize>());
    keys_come_first(&encoding.registered);
}

/// How many records the first change made.
fn length(records: &[Json]) -> usize {
    let link = |record: &Json, name: &str| record["headers"][0][0].as_str() == Some(name);
    let tombstones = records.iter().skip(1).take_while(|r| r["value"].is_null()).count();
    let with_tombstones = 1 + tombstones;
    // Without context headers the link is the only header; it always stands first.
    let moved = records.first().is_some_and(|first| link(first, "__debezium.newkey"));
    let created = records.get(with_tombstones).is_some_and(|next| link(next, "__debezium.oldkey"));
    with_tombstones + usize::from(moved && created)
}

fn set_clock(clock: &Clock, ahead: &[Json]) {
    if let Some(time) = ahead.iter().find_map(|record| record["value"]["ts_ns"].as_i64()) {
        clock.set(Instant::from_nanos(time));
    }
}

fn run_id(record: &Json) -> Option<String> {
    let headers = record["headers"].as_array()?;
    let run = headers.iter().find(|header| header[0] == "__debezium.context.runId")?;
    Some(run[1].as_str()?.to_owned())
}

/// The table that a record's schemas describe, one per pair of schemas.
fn table(case: &Case, tables: &mut HashMap<String, Arc<Table>>, record: &Json) -> Arc<Table> {
    let value_schema = text(record, "value_schema");
    let key_schema = record["key_schema"].as_str().unwrap_or_default();
    let build = || {
        let fields = &case.schemas[value_schema]["fields"][0]["type"][1]["fields"];
        let columns: Vec<_> = fields.as_array().expect("fields").iter().map(column).collect();
        let key_fields = case.schemas.get(key_schema).and_then(|key| key["fields"].as_array());
        let place = |field: &Json| columns.iter().position(|c| field["name"] == c.name.as_str());
        let key = key_fields.into_iter().flatten().map(|f| place(f).expect("a column")).collect();
        let source = &record["value"]["source"];
        let id =
            TableId { schema: text(source, "schema").to_owned(), name: text(source, "table").to_owned() };
        Arc::new(Table::new(id, columns, key))
    };
    tables.entry(format!("{key_schema} {value_schema}")).or_insert_with(build).clone()
}

/// A change, put together from the records that it made.
struct Recorded {
    op: Op,
    table: Arc<Table>,
    before: Option<Vec<Value<'static>>>,
    after: Option<Vec<Value<'static>>>,
    source: Json,
}

impl Recorded {
    fn new(records: &[Json], table: Arc<Table>) -> Recorded {
        let side = |name: &str| {
            let found = records.iter().map(|record| &record["value"][name]).find(|side| side.is_object());
            let known =
                if name == "before" { known_before(&table) } else { (0..table.columns.len()).collect() };
            found.map(|row| {
                let one = |(at, column): (usize, &connector::model::table::Column)| {
                    if known.contains(&at) { value(&column.kind, &row[&column.name]) } else { Value::Null }
                };
                table.columns.iter().enumerate().map(one).collect::<Vec<_>>()
            })
        };
        let (before, after) = (side("before"), side("after"));
        let first = &records[0]["value"];
        let op = match text(first, "op") {
            "r" => Op::Read,
            "c" => Op::Create,
            "u" => Op::Update,
            // A changed key: the delete is followed by a create.
            "d" if after.is_some() => Op::Update,
            _ => Op::Delete,
        };
        Recorded { op, before, after, source: first["source"].clone(), table }
    }

    fn change(&self) -> Change<'_> {
        let source = &self.source;
        let number = |name: &str| source[name].as_i64().expect("a number");
        let sequence: Json = serde_json::from_str(text(source, "sequence")).expect("JSON");
        let commit = sequence[0].as_str().map(|lsn| Lsn(lsn.parse().expect("a number")));
        let markers = [
            Marker::First,
            Marker::FirstInTable,
            Marker::Middle,
            Marker::LastInTable,
            Marker::Last,
            Marker::Streamed,
        ];
        let snapshot = markers.into_iter().find(|m| m.text() == text(source, "snapshot")).expect("known");
        let origin = Origin::Postgres(PostgresOrigin {
            database: text(source, "db"),
            transaction_id: Some(u32::try_from(number("txId")).expect("32 bits")),
            lsn: Lsn(u64::try_from(number("lsn")).expect("not negative")),
            last_commit_lsn: commit,
            time_us: number("ts_us"),
            xmin: None,
            replicated_from: None,
            snapshot,
        });
        let (before, after) = (self.before.as_deref(), self.after.as_deref());
        Change { op: self.op, table: &self.table, before, after, origin }
    }
}

fn compare(want: &Json, got: &connector::model::encoded::Encoded<'_>, case: &Case, registered: &Registered) {
    let place = || format!("{} {} {}", want["topic"], want["key_hex"], want["value"]);
    let headers: Vec<(String, String)> = got
        .headers
        .iter()
        .map(|(n, v)| (n.to_owned(), String::from_utf8_lossy(v.unwrap_or_default()).into_owned()))
        .collect();
    let wanted: Vec<(String, String)> = serde_json::from_value(want["headers"].clone()).expect("pairs");
    assert_eq!(headers, wanted, "{}", place());
    for (side, bytes) in [("key", got.key), ("value", got.value)] {
        let Some(hex) = want[format!("{side}_hex")].as_str() else {
            assert!(bytes.is_none(), "{side} of {}", place());
            continue;
        };
        let bytes = bytes.unwrap_or_else(|| panic!("no {side}: {}", place()));
        let (id, avro) = shared::avro::wire::split(bytes).expect("the wire format");
        assert_eq!(hexadecimal(avro), hex, "{side} of {}", place());
        let registered = registered.lock().expect("not poisoned");
        let (subject, schema) = &registered[id.0 as usize - 1];
        let name = text(want, &format!("{side}_schema"));
        assert_eq!(name.rsplit_once(".v").map(|(subject, _)| subject), Some(subject.as_str()));
        let schema: Json = serde_json::from_str(schema).expect("JSON");
        assert_eq!(schema.to_string(), case.schemas[name].to_string());
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// As Kafka Connect does: of a new table, the key's subject before the value's.
fn keys_come_first(registered: &Registered) {
    let registered = registered.lock().expect("not poisoned");
    let subjects: Vec<&str> = registered.iter().map(|(subject, _)| subject.as_str()).collect();
    for (at, subject) in subjects.iter().enumerate() {
        if let Some(table) = subject.strip_suffix("-key") {
            let value = subjects.iter().position(|s| s.strip_suffix("-value") == Some(table));
            let first = subjects.iter().position(|s| s == subject);
            assert!(first != Some(at) || value.is_none_or(|value| value > at), "{subject}");
        }
    }
    assert!(bytes("00ff") == [0, 255], "hexadecimal is read");
}
