//! JSON by a schema: what apache-avro reads from it, and what is said of what does not fit.

use super::derive::{self, Kind};
use super::{Encoder, key};
use apache_avro::Schema;
use apache_avro::types::Value as Avro;
use serde_json::{Value as Json, json};

fn field(kind: Json) -> String {
    json!({"type": "record", "name": "R", "namespace": "n", "fields": [{"name": "a", "type": kind}]})
        .to_string()
}

/// The reader is another library.
fn encoded(schema: &str, value: &Json) -> Result<Avro, String> {
    let mut out = Vec::new();
    Encoder::new(schema).expect(schema).encode(value, &mut out).map_err(|misfit| misfit.to_string())?;
    let schema = Schema::parse_str(schema).expect("it was parsed before");
    let mut rest = out.as_slice();
    #[expect(deprecated, reason = "the plainest way to read one value")]
    let read = apache_avro::from_avro_datum(&schema, &mut rest, None).expect("it can be read");
    assert!(rest.is_empty(), "nothing is left over");
    match read {
        Avro::Record(mut fields) => Ok(fields.remove(0).1),
        other => Ok(other),
    }
}

#[test]
fn values_that_fit() {
    let union = |at: u32, value: Avro| Avro::Union(at, Box::new(value));
    let inner = json!({"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]});
    for (kind, value, want) in [
        (json!("null"), json!(null), Avro::Null),
        (json!("boolean"), json!(true), Avro::Boolean(true)),
        (json!("int"), json!(-5), Avro::Int(-5)),
        (json!("int"), json!(3.0), Avro::Int(3)),
        (json!("long"), json!(i64::MAX), Avro::Long(i64::MAX)),
        (json!("float"), json!(1.5), Avro::Float(1.5)),
        (json!("double"), json!(1), Avro::Double(1.0)),
        (json!("double"), json!("Infinity"), Avro::Double(f64::INFINITY)),
        (json!("string"), json!("é"), Avro::String("é".to_owned())),
        (json!("bytes"), json!("\u{ff}a"), Avro::Bytes(vec![255, 97])),
        (json!({"type": "fixed", "name": "F", "size": 2}), json!("ab"), Avro::Fixed(2, b"ab".to_vec())),
        (
            json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}),
            json!("B"),
            Avro::Enum(1, "B".to_owned()),
        ),
        (
            json!({"type": "array", "items": "int"}),
            json!([1, 2]),
            Avro::Array(vec![Avro::Int(1), Avro::Int(2)]),
        ),
        (json!({"type": "array", "items": "int"}), json!([]), Avro::Array(vec![])),
        (json!(["null", "int"]), json!(null), union(0, Avro::Null)),
        (json!(["null", "int"]), json!(7), union(1, Avro::Int(7))),
        (json!(["null", "int"]), json!({"int": 7}), union(1, Avro::Int(7))),
        (json!(["null", "int", "string"]), json!("x"), union(2, Avro::String("x".to_owned()))),
        (
            json!(["null", inner.clone()]),
            json!({"x": 1}),
            union(1, Avro::Record(vec![("x".to_owned(), Avro::Int(1))])),
        ),
        (
            json!(["null", inner]),
            json!({"n.I": {"x": 1}}),
            union(1, Avro::Record(vec![("x".to_owned(), Avro::Int(1))])),
        ),
    ] {
        assert_eq!(encoded(&field(kind.clone()), &json!({"a": value})), Ok(want), "{kind} {value}");
    }
    assert_eq!(encoded("\"int\"", &json!(3)), Ok(Avro::Int(3)));
    let recursive =
        r#"{"type":"record","name":"N","fields":[{"name":"next","type":["null","N"],"default":null}]}"#;
    let one = union(0, Avro::Null);
    let two = union(1, Avro::Record(vec![("next".to_owned(), one)]));
    assert_eq!(encoded(recursive, &json!({"next": {"next": null}})), Ok(two.clone()));
    assert_eq!(encoded(recursive, &json!({"next": {}})), Ok(two), "a default stands in");
}

#[test]
fn dates_times_and_decimals_that_fit() {
    let logical = |kind: &str, logical: &str| json!({"type": kind, "logicalType": logical});
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 5, "scale": 2});
    for (kind, value, want) in [
        (logical("int", "date"), json!("1970-02-01"), Avro::Date(31)),
        (logical("int", "date"), json!("1969-12-30"), Avro::Date(-2)),
        (logical("int", "date"), json!(4), Avro::Date(4)),
        (logical("long", "time-micros"), json!("00:00:01.5"), Avro::TimeMicros(1_500_000)),
        (
            logical("long", "timestamp-micros"),
            json!("1970-01-01T00:00:01.000002"),
            Avro::TimestampMicros(1_000_002),
        ),
        (
            logical("long", "timestamp-micros"),
            json!("1970-01-01T01:00:01+01:00"),
            Avro::TimestampMicros(1_000_000),
        ),
        (logical("long", "timestamp-millis"), json!("1969-12-31 23:59:59.999Z"), Avro::TimestampMillis(-1)),
        (logical("long", "timestamp-millis"), json!(12), Avro::TimestampMillis(12)),
        (decimal.clone(), json!("-1.5"), Avro::Decimal(apache_avro::Decimal::from(vec![0xff, 0x6a]))),
        (decimal.clone(), json!(1.25), Avro::Decimal(apache_avro::Decimal::from(vec![125]))),
        (decimal, json!("1e2"), Avro::Decimal(apache_avro::Decimal::from(vec![0x27, 0x10]))),
    ] {
        assert_eq!(encoded(&field(kind.clone()), &json!({"a": value})), Ok(want), "{kind} {value}");
    }
}

#[test]
fn what_does_not_fit_is_named_by_its_path() {
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 3, "scale": 1});
    let inner = json!({"type": "record", "name": "I", "fields": [{"name": "x", "type": "int"}]});
    let list = json!({"type": "array", "items": inner});
    for (kind, value, want) in [
        (json!("int"), json!({"a": "x"}), "a: expected an integer, found a text"),
        (json!("int"), json!({"a": 1.5}), "a: expected an integer, found a number with a fraction"),
        (json!("int"), json!({"a": 3_000_000_000_i64}), "a: the number is too large for an int"),
        (json!("long"), json!({"a": u64::MAX}), "a: expected an integer, found an integer"),
        (json!("int"), json!({}), "a: is missing, and has no default"),
        (json!("int"), json!({"a": 1, "b": 2}), "b: is not in the schema"),
        (json!("int"), json!([1]), "expected an object, found a list"),
        (list, json!({"a": [{"x": 1}, {"x": null}]}), "a[1].x: expected an integer, found null"),
        (json!(["null", "int"]), json!({"a": "x"}), "a: expected an integer, found a text"),
        (json!(["null", "int", "boolean"]), json!({"a": "x"}), "a: no branch of the union takes a text"),
        (json!(["int", "string"]), json!({"a": null}), "a: must not be null"),
        (decimal.clone(), json!({"a": "1.25"}), "a: the decimal has more than 1 digits behind the point"),
        (decimal.clone(), json!({"a": 123.0}), "a: the decimal has more than 3 digits"),
        (decimal.clone(), json!({"a": "1e999999999"}), "a: the decimal is too long"),
        (decimal, json!({"a": "--1"}), "a: the text is no decimal"),
        (
            json!({"type": "long", "logicalType": "timestamp-micros"}),
            json!({"a": "soon"}),
            "a: expected a time, found a text",
        ),
        (json!("bytes"), json!({"a": "€"}), "a: bytes are written as code points up to U+00FF"),
        (
            json!({"type": "enum", "name": "E", "symbols": ["A"]}),
            json!({"a": "Z"}),
            "a: the text is none of the schema's symbols",
        ),
    ] {
        assert_eq!(encoded(&field(kind.clone()), &value), Err(want.to_owned()), "{kind} {value}");
    }
}

/// Each level of a union of two like records is tried twice: without a bound this would not end.
#[test]
fn a_value_that_asks_for_too_much_ends() {
    let one = |name: &str| json!({"type": "record", "name": name, "fields": [{"name": "n", "type": ["null", "A", "B"]}, {"name": "must", "type": "int"}]});
    let mut first = one("A");
    first["fields"][0]["type"] = json!(["null", "A", one("B")]);
    let mut value = json!(null);
    for _ in 0..60 {
        value = json!({"n": value, "must": 1});
    }
    value["must"] = json!("x");
    let deep = json!({"n": value, "must": 1});
    let encoder = Encoder::new(&first.to_string()).expect("a schema");
    let misfit = encoder.encode(&deep, &mut Vec::new()).expect_err("it does not fit");
    assert!(!misfit.to_string().is_empty());
    let own = r#"{"type":"record","name":"N","fields":[{"name":"n","type":"N","default":{}}]}"#;
    if let Ok(encoder) = Encoder::new(own) {
        let misfit = encoder.encode(&json!({}), &mut Vec::new()).expect_err("its default needs itself");
        assert!(misfit.what.contains("nested too deeply"), "{misfit}");
    }
}

#[test]
fn a_schema_is_derived_and_widened() {
    let rows = [
        json!({"id": 1, "at": "2026-01-02T03:04:05", "v": 1, "n": null, "l": [1, 2.5], "o": {"x": "y"}}),
        json!({"id": 2, "at": "2026-01-02T03:04:05Z", "v": 1.5, "n": null, "l": [], "o": null}),
    ];
    let columns = rows.iter().fold(Vec::new(), |known, row| {
        derive::merge(known, derive::columns_of(row.as_object().expect("an object")))
    });
    let text = derive::schema("shop.my-topic", &columns).expect("legal names");
    for row in &rows {
        encoded(&text, row).expect("its own rows fit");
    }
    assert!(text.contains(r#""namespace":"shop.my_topic""#), "{text}");
    let key = key::schema("t", &text, &["id".to_owned()]).expect("a key");
    assert_eq!(encoded(&key, &key::of(&rows[0], &["id".to_owned()])), Ok(Avro::Long(1)));
    assert!(key::schema("t", &text, &["no".to_owned()]).expect_err("no such column").contains("no"));
    let long = derive::schema("t", &[("v".to_owned(), Kind::Long)]).expect("legal");
    let wide = derive::widened(&long, &[("v".to_owned(), Kind::Double), ("w".to_owned(), Kind::Text)])
        .expect("wider");
    encoded(&wide, &json!({"v": 1.5, "w": "x"})).expect("it fits now");
    encoded(&wide, &json!({"v": 1})).expect("as before");
    assert!(derive::schema("t", &[("a b".to_owned(), Kind::Text)]).is_err());
    assert_eq!(derive::field_name(" 2 b"), "_2_b");
}
