//! Schemas that take types from other subjects: these are at the centre first, under their own subjects, and
//! the references name the centre's versions; and so back, into another agent.

use crate::world::{self, LIMIT, Ports, Whole};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use serde_json::json;
use shared::avro::wire;
use stack::http;
use std::collections::BTreeMap;

const OLD_POINT: &str =
    r#"{"type":"record","name":"Point","namespace":"geo","fields":[{"name":"x","type":"int"}]}"#;
const POINT: &str = r#"{"type":"record","name":"Point","namespace":"geo","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":0}]}"#;
const LINE: &str = r#"{"type":"record","name":"Line","namespace":"geo","fields":[{"name":"a","type":"Point"},{"name":"b","type":"geo.Point"}]}"#;
const TRIP: &str = r#"{"type":"record","name":"Trip","fields":[{"name":"n","type":"int"},{"name":"from","type":"geo.Point"},{"name":"way","type":["null","geo.Line"],"default":null}]}"#;
/// What the centre has already under the trip's subject: the new one cannot read it.
const OTHER_TRIP: &str = r#"{"type":"record","name":"Trip","fields":[{"name":"n","type":"string"}]}"#;

/// Registers a text that refers to others: name, subject, version.
fn refer(registry: &str, subject: &str, text: &str, references: &[(&str, &str, u32)]) -> u32 {
    let references: Vec<_> = references
        .iter()
        .map(|(name, subject, version)| json!({"name": name, "subject": subject, "version": version}))
        .collect();
    let url = format!("{registry}/subjects/{subject}/versions");
    let body = json!({"schema": text, "schemaType": "AVRO", "references": references});
    let answer = http::post(&url, &body).expect("it answers").json().expect("it takes it");
    u32::try_from(answer["id"].as_u64().expect("an id")).expect("a small id")
}

fn zigzag(n: i32) -> Vec<u8> {
    let mut left = ((n << 1) ^ (n >> 31)) as u32;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// By hand: number, from (n, n + 1), and for every other one a way from (n, 2) to (3, 4).
fn trip(id: u32, n: i32) -> Whole {
    let mut value = wire::prefix(wire::SchemaId(id)).to_vec();
    let mut ints = vec![n, n, n + 1];
    ints.extend(if n % 2 == 0 { vec![0] } else { vec![1, n, 2, 3, 4] });
    value.extend(ints.into_iter().flat_map(zigzag));
    Whole { value: Some(value), ..world::made("trip", n as u64, 5) }
}

fn point(x: i32, y: i32) -> Value {
    Value::Record(vec![("x".to_owned(), Value::Int(x)), ("y".to_owned(), Value::Int(y))])
}

fn wanted(n: i32) -> Value {
    let way = match n % 2 {
        0 => Value::Union(0, Box::new(Value::Null)),
        _ => {
            let line = vec![("a".to_owned(), point(n, 2)), ("b".to_owned(), point(3, 4))];
            Value::Union(1, Box::new(Value::Record(line)))
        }
    };
    Value::Record(vec![
        ("n".to_owned(), Value::Int(n)),
        ("from".to_owned(), point(n, n + 1)),
        ("way".to_owned(), way),
    ])
}

/// What a reader at the centre gathers for an id: texts by subject and version, the deepest first.
fn gather(registry: &str, references: &serde_json::Value, texts: &mut Vec<String>) {
    for reference in references.as_array().into_iter().flatten() {
        let (subject, version) = (reference["subject"].as_str().expect("a subject"), &reference["version"]);
        let url = format!("{registry}/subjects/{subject}/versions/{version}");
        let found = http::get(&url).expect("it answers").json().expect("it is there");
        gather(registry, &found["references"], texts);
        let text = found["schema"].as_str().expect("a text").to_owned();
        if !texts.contains(&text) {
            texts.push(text);
        }
    }
}

fn decoded(registry: &str, records: &[Whole]) -> BTreeMap<i32, Value> {
    let mut found = BTreeMap::new();
    let mut readers: BTreeMap<u32, Vec<Schema>> = BTreeMap::new();
    for record in records {
        let (id, mut body) = wire::split(record.value.as_deref().expect("a value")).expect("an id");
        let schemas = readers.entry(id.0).or_insert_with(|| {
            let url = format!("{registry}/schemas/ids/{}", id.0);
            let answer = http::get(&url).expect("it answers").json().expect("known");
            let mut texts = Vec::new();
            gather(registry, &answer["references"], &mut texts);
            texts.push(answer["schema"].as_str().expect("a text").to_owned());
            Schema::parse_list(&texts).expect("whole")
        });
        let (last, others) = schemas.split_last().expect("one at least");
        let reader = GenericDatumReader::builder(last).writer_schemata(others.iter().collect());
        let reader = reader.expect("resolved").build().expect("a reader");
        let value = reader.read_value(&mut body).expect("it fits its schema");
        assert!(body.is_empty(), "bytes left over");
        let Value::Record(fields) = &value else { panic!("{value:?}") };
        let Value::Int(n) = fields[0].1 else { panic!("{value:?}") };
        found.insert(n, value);
    }
    found
}

#[test]
fn a_referring_schema_goes_with_what_it_refers_to() {
    let (kafka, registry) = (world::kafka(1), world::registry());
    let (centre, ports) = (registry.url(), Ports::free());
    // There, the point's version is another than here, and the trip is refused at first.
    world::register(&centre, "geo.point", OLD_POINT);
    world::register(&centre, "trip-value", OTHER_TRIP);
    let mut launch = world::agent(&ports, &kafka.bootstrap(), &centre);
    launch.allow(&["forward_partition_stopped"]);
    let mut agent = world::started(&launch);
    let local = ports.registry();
    world::register(&local, "geo.point", POINT);
    refer(&local, "geo.line", LINE, &[("geo.Point", "geo.point", 1)]);
    let needs = [("geo.Line", "geo.line", 1), ("geo.Point", "geo.point", 1)];
    let id = refer(&local, "trip-value", TRIP, &needs);
    let producer = world::producer(&ports.door());
    (0..200).for_each(|n| world::send(&producer, &trip(id, n)));
    world::flush(&producer);
    let line = agent.wait_event("forward_partition_stopped", LIMIT).expect("it says so");
    assert!(line.field("error").contains("409") && line.field("error").contains("trip-value"), "{line:?}");
    // Half way: what is referred to is there, what refers is not. Begun again, nothing is registered twice.
    let versions = |subject: &str| {
        let url = format!("{centre}/subjects/{subject}/versions");
        http::get(&url).expect("it answers").json().expect("it is there")
    };
    assert_eq!((versions("geo.point"), versions("geo.line")), (json!([1, 2]), json!([1])));
    agent.kill().expect("kill -9");
    http::put(&format!("{centre}/config/trip-value"), &json!({"compatibility": "NONE"})).expect("set");
    let mut agent = world::started(&launch);
    let arrived = world::read_all(&mut agent, &kafka.bootstrap(), "trip");
    assert_eq!((versions("geo.point"), versions("geo.line")), (json!([1, 2]), json!([1])));
    let latest = format!("{centre}/subjects/trip-value/versions/latest");
    let latest = http::get(&latest).expect("it answers").json().expect("it is there");
    let mut references = latest["references"].as_array().expect("references").clone();
    references.sort_by_key(|reference| reference["name"].to_string());
    assert_eq!(
        json!(references),
        json!([{"name": "geo.Line", "subject": "geo.line", "version": 1},
               {"name": "geo.Point", "subject": "geo.point", "version": 2}])
    );
    assert_eq!(latest["schema"], TRIP);
    let (found, want) = (decoded(&centre, &arrived), (0..200).map(|n| (n, wanted(n))).collect());
    assert_eq!(found, want);
    assert_eq!(arrived.len(), 200, "each once");
    assert_eq!(agent.stop().expect("it stops"), 0);
    comes_back(&kafka.bootstrap(), &centre, &want);
}

/// Another agent reads the topic from the centre: there, too, the schemas that are referred to come first, under
/// versions of that agent, whose registry has no older point.
fn comes_back(brokers: &str, centre: &str, want: &BTreeMap<i32, Value>) {
    let ports = Ports::free();
    let launch = world::consumer(&ports, brokers, centre, "trip");
    let mut agent = world::started(&launch);
    let arrived = world::read_soon(&ports.door(), "trip", 200);
    assert_eq!(&decoded(&ports.registry(), &arrived), want);
    let version = |subject: &str| {
        let url = format!("{}/subjects/{subject}/versions", ports.registry());
        http::get(&url).expect("it answers").json().expect("it is there")
    };
    assert_eq!((version("geo.point"), version("geo.line")), (json!([1]), json!([1])));
    assert_eq!(agent.stop().expect("it stops"), 0);
}
