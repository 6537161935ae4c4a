//! What real Debezium wrote, read by us and by apache-avro, which is the oracle; then hostile bytes.

use super::*;
use crate::model::row::Op;
use crate::model::value::Value;
use apache_avro::types::Value as Avro;
use serde::Deserialize;
use shared::avro::wire::put_long;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Fixture {
    schemas: BTreeMap<String, String>,
    records: Vec<Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    topic: String,
    offset: i64,
    key_schema: Option<String>,
    value_schema: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixture/debezium.json")).expect("the fixture is valid")
}

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| d as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// A batch of format 2 without compression.
fn batch(records: &[KeyAndValue]) -> Vec<u8> {
    let mut out = vec![0; 61];
    out[16] = 2;
    out[57..61].copy_from_slice(&(records.len() as i32).to_be_bytes());
    for (delta, (key, value)) in records.iter().enumerate() {
        let mut body = vec![0];
        put_long(&mut body, 0);
        put_long(&mut body, delta as i64);
        for part in [key, value] {
            match part {
                Some(bytes) => {
                    put_long(&mut body, bytes.len() as i64);
                    body.extend_from_slice(bytes);
                }
                None => put_long(&mut body, -1),
            }
        }
        put_long(&mut body, 0);
        put_long(&mut out, body.len() as i64);
        out.extend_from_slice(&body);
    }
    out
}

/// The fixture with numbers for its schemas.
struct World {
    ids: BTreeMap<String, u32>,
    texts: Vec<Arc<str>>,
    records: Vec<Recorded>,
}

impl World {
    fn new() -> Self {
        let Fixture { schemas, records } = fixture();
        let ids = schemas.keys().cloned().zip(1..).collect();
        World { ids, texts: schemas.values().map(|t| Arc::from(t.as_str())).collect(), records }
    }

    fn text(&self, id: SchemaId) -> Option<Arc<str>> {
        self.texts.get((id.0 as usize).checked_sub(1)?).cloned()
    }

    fn message(&self, schema: &Option<String>, bytes: &Option<String>) -> Option<Vec<u8>> {
        let id = *self.ids.get(schema.as_ref()?).expect("a known schema");
        Some([wire::prefix(SchemaId(id)).to_vec(), hex(bytes.as_ref()?)].concat())
    }

    fn columns(&self, schema: &str) -> Vec<String> {
        let text = self.text(SchemaId(self.ids[schema])).expect("a known schema");
        let parsed = schema::Schema::parse(&text).expect("a sound schema");
        let fields = parsed.record(parsed.root()).expect("a record");
        let after = fields.iter().find(|(name, _)| name == "after").expect("an envelope");
        parsed.record(after.1).expect("a record").iter().map(|(name, _)| name.clone()).collect()
    }

    fn decode(&self, columns: Vec<String>, batch: &[u8]) -> Vec<Decoded> {
        let mut decoder = Decoder::new(columns, 1 << 20);
        let mut all = Vec::new();
        let schemas = |id: SchemaId| Ok(self.text(id));
        decoder.decode(100, batch, &schemas, |decoded, _, _| all.push(decoded)).expect("no registry error");
        all
    }
}

fn same(ours: &Value, theirs: &Avro) -> bool {
    match (ours, theirs) {
        (ours, Avro::Union(_, inner)) => same(ours, inner),
        (Value::Null, Avro::Null) | (Value::Opaque, Avro::Array(_) | Avro::Map(_) | Avro::Record(_)) => true,
        (Value::List(ours), Avro::Array(theirs)) => {
            ours.len() == theirs.len() && ours.iter().zip(theirs).all(|(a, b)| same(a, b))
        }
        (Value::Bool(a), Avro::Boolean(b)) => a == b,
        (Value::Int(a), Avro::Long(b)) => a == b,
        (Value::Int(a), Avro::Int(b)) => *a == i64::from(*b),
        (Value::Float(a), Avro::Double(b)) => a == b,
        (Value::Float(a), Avro::Float(b)) => *a == f64::from(*b),
        (Value::Text(a), Avro::String(b) | Avro::Enum(_, b)) => a == b,
        (Value::Bytes(a), Avro::Bytes(b)) => a == b,
        (Value::Timestamp(a), Avro::Long(b)) => *a == *b || *a == b * 1000,
        (Value::Timestamp(a), Avro::Int(b)) => *a == i64::from(*b) * 86_400_000_000,
        // Checked against PostgreSQL's own reading of the text in `zoned`.
        (Value::Timestamp(a), Avro::String(b)) => zoned::micros(b) == Some(*a),
        (Value::Decimal(a), Avro::Decimal(b)) => a.unscaled_bytes() == Vec::<u8>::try_from(b).expect("bytes"),
        // apache-avro refuses Debezium's scale of numeric(3,-2) and gives the bytes.
        (Value::Decimal(a), Avro::Bytes(b)) => {
            Some(a) == crate::model::decimal::Decimal::from_bytes(b, -2).as_ref()
        }
        (Value::Decimal(a), Avro::Record(fields)) => {
            let scale = fields.iter().any(|(n, v)| n == "scale" && *v == Avro::Int(a.scale() as i32));
            let value = fields.iter().any(|(n, v)| {
                let Avro::Bytes(bytes) = v else { return false };
                n == "value"
                    && crate::model::decimal::Decimal::from_bytes(bytes, i64::from(a.scale())).as_ref()
                        == Some(a)
            });
            scale && value
        }
        _ => false,
    }
}

#[test]
fn agrees_with_apache_avro_on_every_column() {
    let world = World::new();
    let mut compared = 0;
    for record in &world.records {
        let Some(value) = world.message(&record.value_schema, &record.value) else { continue };
        let name = record.value_schema.as_ref().expect("a schema");
        let columns = world.columns(name);
        let key = world.message(&record.key_schema, &record.key);
        let decoded = world.decode(columns.clone(), &batch(&[(key, Some(value.clone()))]));
        let [Decoded::Row(row)] = decoded.as_slice() else {
            panic!("{} {}: {decoded:?}", record.topic, record.offset)
        };
        let text = world.text(SchemaId(world.ids[name])).expect("known");
        let schema = apache_avro::Schema::parse_str(&text).expect("apache-avro reads it");
        let theirs = apache_avro::reader::datum::GenericDatumReader::builder(&schema)
            .build()
            .expect("a reader")
            .read_value(&mut &value[5..])
            .expect("decodes");
        let Avro::Record(fields) = theirs else { panic!("an envelope") };
        let after = &fields.iter().find(|(n, _)| n == "after").expect("after").1;
        let Avro::Union(_, after) = after else { panic!("a union") };
        match (&row.after, &**after) {
            (None, Avro::Null) => {}
            (Some(ours), Avro::Record(theirs)) => {
                for ((name, theirs), ours) in theirs.iter().zip(ours) {
                    assert!(
                        same(ours, theirs),
                        "{} {} {name}: {ours:?}, {theirs:?}",
                        record.topic,
                        record.offset
                    );
                    compared += 1;
                }
            }
            (ours, theirs) => panic!("{ours:?}, {theirs:?}"),
        }
    }
    assert!(compared > 500, "only {compared} columns compared");
}

#[test]
fn operations_keys_times_and_missing_columns() {
    let world = World::new();
    let of = |topic: &str| -> Vec<_> {
        let records = world.records.iter().filter(|r| r.topic == topic);
        records
            .map(|r| (world.message(&r.key_schema, &r.key), world.message(&r.value_schema, &r.value)))
            .collect()
    };
    let truncated = world.decode(vec!["v".into(), "gone".into()], &batch(&of("pg_truncate.public.a")));
    let [Decoded::Row(read), Decoded::Row(create), Decoded::Row(truncate)] = truncated.as_slice() else {
        panic!("{truncated:?}")
    };
    assert_eq!((read.op, create.op, truncate.op), (Op::Read, Op::Create, Op::Truncate));
    assert_eq!((read.offset, create.offset, truncate.offset), (100, 101, 102));
    assert_eq!(read.after, Some(vec![Value::Text("a".into()), Value::Absent]));
    assert_eq!(read.key, Some(pack::sortable([&Value::Int(1)])));
    assert_eq!((&truncate.key, &truncate.after), (&None, &None));
    assert!(read.committed_us > 1_700_000_000_000_000, "{}", read.committed_us);

    let composite = world.decode(Vec::new(), &batch(&of("pg_replica_identity.public.ri_composite")));
    let ops: Vec<_> =
        composite.iter().map(|d| if let Decoded::Row(row) = d { Some(row.op) } else { None }).collect();
    assert_eq!(ops, [Some(Op::Read), Some(Op::Read), Some(Op::Update), Some(Op::Delete), None]);
    assert_eq!(composite.last(), Some(&Decoded::Skipped));
    let keys: Vec<_> = composite
        .iter()
        .filter_map(|d| if let Decoded::Row(row) = d { row.key.clone() } else { None })
        .collect();
    assert_eq!(keys.first(), keys.get(3), "a delete finds the row it deletes");
}

#[test]
fn refusals_have_reasons_and_do_not_stop_the_rest() {
    let world = World::new();
    let good = world.records.first().expect("a record");
    let value = world.message(&good.value_schema, &good.value);
    let key = world.message(&good.key_schema, &good.key);
    let key_as_value = key.clone();
    let cut = value.as_ref().map(|v| v[..v.len() / 2].to_vec());
    let records = batch(&[
        (key.clone(), Some(b"{}".to_vec())),
        (key.clone(), Some(vec![0, 0, 0, 99, 99, 1])),
        (key.clone(), key_as_value),
        (key.clone(), cut),
        (Some(vec![0, 0, 0, 99, 99, 1]), value.clone()),
        (key, value),
    ]);
    let decoded = world.decode(Vec::new(), &records);
    let reasons: Vec<_> = decoded
        .iter()
        .map(|d| if let Decoded::Refused(refused) = d { refused.reason.label } else { "row" })
        .collect();
    assert_eq!(
        reasons,
        ["undecodable", "unknown_schema", "row", "undecodable", "unknown_schema", "row"],
        "a record without an envelope is a row, too"
    );
}

/// Seeded damage: whatever happens to the bytes, decoding ends, in bounded time, without a panic.
#[test]
fn damaged_bytes_never_panic() {
    let world = World::new();
    let records: Vec<_> = world
        .records
        .iter()
        .map(|r| (world.message(&r.key_schema, &r.key), world.message(&r.value_schema, &r.value)))
        .collect();
    let columns = world.columns("pg_types.inventory.t_scalar-value.v1");
    let whole = batch(&records);
    let mut state = 0x5eed_u64;
    let mut random = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n.max(1) as u64) as usize
    };
    for _ in 0..3_000 {
        let mut bytes = whole.clone();
        for _ in 0..=random(8) {
            let at = random(bytes.len());
            bytes[at] = [0, 0xff, 0x7f, 0x80, random(256) as u8][random(5)];
        }
        if random(3) == 0 {
            bytes.truncate(random(bytes.len()));
        }
        world.decode(columns.clone(), &bytes);
    }
    for text in world.texts.iter().take(4) {
        for _ in 0..500 {
            let mut text = text.as_bytes().to_vec();
            let at = random(text.len());
            text[at] = b"{}[]\",:0a"[random(9)];
            let _ = schema::Schema::parse(&String::from_utf8_lossy(&text));
        }
    }
}

#[test]
fn a_schema_that_names_itself_does_not_loop() {
    let text = r#"{"type":"record","name":"E","fields":[{"name":"op","type":"string"},{"name":"after","type":["null",
        {"type":"record","name":"V","fields":[{"name":"self","type":"V"},{"name":"nulls","type":{"type":"array","items":"null"}}]}]}]}"#;
    let plan = plan::ValuePlan::compile(text, &["self".into(), "nulls".into()]).expect("compiles");
    assert!(plan.read(&[2, b'c', 2, 0, 0, 0]).is_err());
    let nulls = text.replace(r#"{"name":"self","type":"V"},"#, "");
    let plan = plan::ValuePlan::compile(&nulls, &["nulls".into()]).expect("compiles");
    let mut bytes = vec![2, b'c', 2];
    put_long(&mut bytes, i64::MAX);
    assert!(plan.read(&bytes).is_err());
}

#[test]
fn arrays_of_doubles_are_vectors_others_are_passed_over() {
    let field = |name: &str, items: &str| {
        format!(r#"{{"name":"{name}","type":["null",{{"type":"array","items":{items}}}]}}"#)
    };
    let fields =
        [field("a", r#""double""#), field("b", r#"["null","float"]"#), field("c", r#"["null","long"]"#)];
    let text = format!(r#"{{"type":"record","name":"V","fields":[{}]}}"#, fields.join(","));
    let plan = plan::ValuePlan::compile(&text, &["a".into(), "b".into(), "c".into()]).expect("compiles");
    let mut bytes = vec![2, 4];
    bytes.extend([0.5f64, -2.0].iter().flat_map(|n| n.to_le_bytes()));
    // The second in two blocks, of which one says its size; with a hole.
    bytes.extend([0, 2, 1, 10, 2]);
    bytes.extend(1.5f32.to_le_bytes());
    bytes.extend([2, 0, 0, 2, 2, 2, 8, 0]);
    let found = plan.read(&bytes).expect("fits").after.expect("a row");
    let numbers = |all: &[f64]| all.iter().copied().map(Value::Float).collect::<Vec<_>>();
    let holed = vec![Value::Float(1.5), Value::Null];
    assert_eq!(found, [Value::List(numbers(&[0.5, -2.0])), Value::List(holed), Value::Opaque]);
    let mut long = vec![2];
    put_long(&mut long, 20_000);
    long.extend(std::iter::repeat_n(1.0f64.to_le_bytes(), 20_000).flatten());
    long.extend([0, 0, 0]);
    let found = plan.read(&long).expect("fits").after.expect("a row");
    assert_eq!(found, [Value::Opaque, Value::Null, Value::Null], "longer than any vector");
}

/// A record that is the row itself: written when its record was, with the record's own time.
#[test]
fn a_record_without_envelope_is_the_row() {
    let schema = r#"{"type":"record","name":"Value","fields":[{"name":"id","type":"long"},{"name":"op","type":"string"},{"name":"v","type":["null","double"],"default":null}]}"#;
    let mut value = vec![0, 0, 0, 0, 1];
    put_long(&mut value, 7);
    put_long(&mut value, 1);
    value.push(b'x');
    put_long(&mut value, 1);
    value.extend_from_slice(&1.5f64.to_le_bytes());
    let mut bytes = batch(&[(Some(b"k".to_vec()), Some(value)), (Some(b"k".to_vec()), None)]);
    bytes[27..35].copy_from_slice(&1_700_000_000_123i64.to_be_bytes());
    let mut decoder = Decoder::new(vec!["v".to_owned(), "id".to_owned(), "no".to_owned()], 1 << 20);
    let mut found = Vec::new();
    decoder
        .decode(5, &bytes, &|_| Ok(Some(Arc::from(schema))), |decoded, _, _| found.push(decoded))
        .expect("the registry answers");
    let row = Row {
        op: Op::Create,
        key: Some(crate::model::pack::sortable([&Value::Bytes(b"k".to_vec())])),
        after: Some(vec![Value::Float(1.5), Value::Int(7), Value::Absent]),
        committed_us: 1_700_000_000_123_000,
        offset: 5,
    };
    assert_eq!(found, [Decoded::Row(row), Decoded::Skipped]);
}
