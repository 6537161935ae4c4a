//! Single columns: the field of the schema in Debezium's words, and values as an independent
//! reader of Avro finds them in our bytes.

use crate::golden::{bytes, column, lines, text, unscaled, value};
use crate::registry::Encoding;
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Avro;
use connector::event::Events;
use connector::model::change::{Change, Event, Marker, Op, Origin, PostgresOrigin};
use connector::model::position::Lsn;
use connector::model::table::{ColumnType, Table, TableId};
use connector::model::value::Value;
use serde_json::Value as Json;
use shared::time::Clock;
use std::sync::Arc;

/// Columns whose precision the schema does not tell.
const ZONED: [(&str, u8); 4] = [("tstz0", 0), ("tstz3", 3), ("c_tstz0", 0), ("c_tstz3", 3)];

struct Bench {
    encoding: Encoding,
    events: Events,
}

impl Bench {
    fn start() -> Bench {
        let encoding = Encoding::start(&[]);
        let events = Events::new(&encoding.config.event, Clock::manual(1)).expect("valid");
        Bench { encoding, events }
    }

    /// The schema and the value's Avro bytes of a created row.
    fn create(&mut self, table: &Arc<Table>, row: &[Value<'_>]) -> shared::Result<(String, Vec<u8>)> {
        let origin = Origin::Postgres(PostgresOrigin {
            database: "d",
            transaction_id: None,
            lsn: Lsn(1),
            last_commit_lsn: None,
            time_us: 1,
            xmin: None,
            replicated_from: None,
            snapshot: Marker::Streamed,
        });
        let change = Change { op: Op::Create, table, before: None, after: Some(row), origin };
        let mut made = None;
        self.events.records(&Event::Change(change), &mut |record| {
            let encoded = self.encoding.encoder.encode(record, &mut |_| {})?;
            let (id, avro) = shared::avro::wire::split(encoded.value.expect("a value")).expect("wire format");
            let registered = self.encoding.registered.lock().expect("not poisoned");
            made = Some((registered[id.0 as usize - 1].1.clone(), avro.to_vec()));
            Ok(())
        })?;
        Ok(made.expect("one record"))
    }
}

fn table(columns: Vec<connector::model::table::Column>) -> Arc<Table> {
    let id = TableId { schema: "s".to_owned(), name: "t".to_owned() };
    Arc::new(Table::new(id, columns, Vec::new()))
}

#[test]
fn every_supported_column() {
    let mut bench = Bench::start();
    let mut seen = 0;
    for line in lines("columns") {
        let (case, field) = (text(&line, "case"), &line["field"]);
        let mut column = column(field);
        let name = column.name.clone();
        if let Some((_, digits)) = ZONED.iter().find(|(zoned, _)| *zoned == name) {
            column.kind = ColumnType::TimestampTz { precision: Some(*digits) };
        }
        let kind = column.kind.clone();
        let wide = matches!(kind, ColumnType::Decimal { scale: 2046, .. });
        // In this case every column but the key was NULL in the first row.
        let null = case == "pg-null-defaults" && name != "id";
        let table = table(vec![column]);
        for recorded in line["values"].as_array().expect("values") {
            if wide && !recorded.is_null() {
                continue;
            }
            let given =
                if null && *recorded == line["values"][0] { Value::Null } else { value(&kind, recorded) };
            let (schema, avro) =
                bench.create(&table, &[given]).unwrap_or_else(|e| panic!("{case} {name}: {e}"));
            let schema: Json = serde_json::from_str(&schema).expect("JSON");
            let ours = &schema["fields"][0]["type"][1]["fields"][0];
            assert_eq!(ours.to_string(), field.to_string(), "{case} {name}");
            if !wide {
                assert_eq!(decoded(&kind, &schema, &avro), plain(&kind, recorded), "{case} {name} {given:?}");
            }
            seen += 1;
        }
    }
    assert!(seen > 300, "only {seen} values were compared");
}

/// `after`'s only field, as an independent reader finds it.
fn decoded(kind: &ColumnType, schema: &Json, mut avro: &[u8]) -> Json {
    let schema = Schema::parse(schema).expect("a schema");
    let reader = GenericDatumReader::builder(&schema).build().expect("a reader");
    let value = reader.read_value(&mut avro).expect("readable");
    assert!(avro.is_empty(), "bytes are left over");
    let Avro::Record(fields) = value else { panic!("no envelope") };
    let after = fields.into_iter().find(|(name, _)| name == "after").expect("after").1;
    let Avro::Union(_, after) = after else { panic!("after is no union") };
    let Avro::Record(mut row) = *after else { panic!("after is no row") };
    json(kind, row.remove(0).1)
}

fn json(kind: &ColumnType, value: Avro) -> Json {
    match value {
        Avro::Union(_, inner) => json(kind, *inner),
        Avro::Null => Json::Null,
        Avro::Boolean(flag) => flag.into(),
        Avro::Int(number) => number.into(),
        Avro::Long(number) => number.into(),
        Avro::Float(number) => f64::from(number).into(),
        Avro::Double(number) => number.into(),
        Avro::String(text) => text.into(),
        Avro::Bytes(bytes) => hex(&bytes).into(),
        Avro::Decimal(decimal) => {
            let ColumnType::Decimal { scale, .. } = kind else { panic!("{kind:?} is no decimal") };
            unscaled(&Vec::<u8>::try_from(&decimal).expect("bytes"), *scale).into()
        }
        Avro::Record(fields) => fields.into_iter().map(|(name, value)| (name, json(kind, value))).collect(),
        other => panic!("{other:?} is not expected"),
    }
}

/// A recorded value in the same form.
fn plain(kind: &ColumnType, recorded: &Json) -> Json {
    // The JSON reader may miss a float's last bit.
    if let (ColumnType::Float32, Some(number)) = (kind, recorded.as_f64()) {
        return f64::from(number as f32).into();
    }
    if let Some(hex) = recorded["$bytes"].as_str() {
        return hex.into();
    }
    if let Some(decimal) = recorded["$decimal"].as_str() {
        return decimal.into();
    }
    match recorded {
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), plain(kind, value))).collect()
        }
        other => other.clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `numeric(3,-2)`: Debezium's scale is 2046, and the number has as many zeros appended.
#[test]
fn a_negative_scale_is_what_debezium_makes_of_it() {
    let mut bench = Bench::start();
    let mut seen = 0;
    for line in lines("columns").iter().filter(|line| line["field"]["name"] == "c_num3_m2") {
        let mut column = column(&line["field"]);
        column.kind = ColumnType::Decimal { precision: 3, scale: -2 };
        let table = table(vec![column]);
        for (given, recorded) in [("12300", 0), ("-99900", 2)] {
            let (schema, avro) = bench.create(&table, &[Value::Decimal(given)]).expect("encodes");
            let schema: Json = serde_json::from_str(&schema).expect("JSON");
            let ours = &schema["fields"][0]["type"][1]["fields"][0];
            assert_eq!(ours.to_string(), line["field"].to_string());
            let want = bytes(text(&line["values"][recorded], "$bytes"));
            // before null, after present, value present, length in two bytes.
            assert_eq!(avro.get(5..5 + want.len()), Some(want.as_slice()), "{given}");
            seen += 1;
        }
    }
    assert_eq!(seen, 2);
}

/// What Debezium's converter fails on, or would leave out, is said with its place.
#[test]
fn values_that_cannot_be_written_are_named() {
    let mut bench = Bench::start();
    for (kind, value, words) in [
        (ColumnType::Decimal { precision: 5, scale: 2 }, Value::Decimal("NaN"), "NaN"),
        (ColumnType::Decimal { precision: 5, scale: 2 }, Value::Decimal("1.234"), "scale"),
        (ColumnType::Int16, Value::Int(70_000), "range"),
        (ColumnType::Int32, Value::Text("1"), "type"),
        (ColumnType::VariableDecimal, Value::Unavailable, "did not send"),
        (ColumnType::Bytes, Value::Hex(b"0"), "hexadecimal"),
    ] {
        let column = connector::model::table::Column::new("col", kind, false);
        let error = bench.create(&table(vec![column]), &[value]).expect_err("cannot be written");
        let line = error.to_string();
        assert_eq!(error.kind(), shared::Kind::Data, "{line}");
        for part in ["0/1", "column after.col", "topic p.s.t", words] {
            assert!(line.contains(part), "{part:?} is not in {line:?}");
        }
        assert!(!line.contains("1.234") && !line.contains("70000"), "{line}");
    }
    let short = table(vec![column(&serde_json::json!({ "name": "a", "type": "int" }))]);
    assert_eq!(bench.create(&short, &[]).expect_err("no value").kind(), shared::Kind::Data);
}

/// A dash in a column's name: Debezium's task fails, too.
#[test]
fn names_that_avro_does_not_take_are_named() {
    let mut bench = Bench::start();
    for name in ["a-b", "1st", "é", ""] {
        let column = column(&serde_json::json!({ "name": name, "type": "int" }));
        let error = bench.create(&table(vec![column]), &[Value::Int(1)]).expect_err("no name");
        assert!(error.to_string().contains("s.t"), "{error}");
        assert_eq!(error.kind(), shared::Kind::Data);
    }
    assert!(bench.encoding.registered.lock().expect("not poisoned").is_empty());
}
