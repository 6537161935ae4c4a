//! Each transform on Debezium's envelope: topic, key, value and headers of what comes out.

use super::*;
use crate::model::record::{Datum, Header, HeaderValue};
use crate::model::schema::{Field, Form, Schema};
use crate::model::value::{UNIX_EPOCH, Value};
use std::collections::BTreeMap;
use std::sync::Arc;

fn transforms(class: &str, properties: &[(&str, &str)]) -> Result<Transforms> {
    let pairs: BTreeMap<&str, &str> = properties.iter().copied().collect();
    let mut config = crate::config::parse(
        "[source]\ndatabase = 'd'\nuser = 'u'\n[event]\ntopic_prefix = 'p'\n[avro.registry]\nurl = ['http://r']\n[sink.kafka]\nbrokers = 'b:1'",
        &[],
    )?;
    config.transform.push(TransformConfig {
        name: "t".to_owned(),
        class: class.to_owned(),
        predicate: None,
        negate: false,
        properties: pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
    });
    Transforms::new(&config)
}

fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => (*text).to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Null => "-".to_owned(),
        Value::Struct(values) => format!("({})", values.iter().map(shown).collect::<Vec<_>>().join(",")),
        Value::List(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(",")),
        other => format!("{other:?}"),
    }
}

fn datum_shown(datum: Option<Datum<'_>>) -> String {
    let Some(datum) = datum else { return "none".to_owned() };
    let names: Vec<&str> = datum.schema.fields().iter().map(|field| field.name.as_str()).collect();
    format!("{}[{}]{}", datum.schema.name.as_deref().unwrap_or("?"), names.join(","), shown(&datum.value))
}

/// `topic key value headers` of each record that comes out of an insert, an update, and a delete
/// with its tombstone.
fn outcome(class: &str, properties: &[(&str, &str)]) -> Vec<String> {
    let mut transforms = transforms(class, properties).expect("valid");
    let zoned = Schema::string().form(Form::Zoned { digits: Some(6) });
    let row = vec![
        Field::new("id", Schema::int32()),
        Field::new("v", Schema::string().optional()),
        Field::new("at", zoned),
    ];
    let row = Arc::new(Schema::structure("p.s.t.Value", row).optional());
    let same = |name: &str| Field { name: name.to_owned(), schema: row.clone() };
    let source = Schema::structure("Source", vec![Field::new("lsn", Schema::int64().optional())]);
    let fields =
        vec![same("before"), same("after"), Field::new("source", source), Field::new("op", Schema::string())];
    let envelope = Arc::new(Schema::structure("p.s.t.Envelope", fields));
    let key = Arc::new(Schema::structure("p.s.t.Key", vec![Field::new("id", Schema::int32())]));
    let (key_row, source) = ([Value::Int(1)], [Value::Int(7)]);
    let old = [Value::Int(1), Value::Text("a"), Value::TimestampTz(UNIX_EPOCH)];
    let new = [Value::Int(1), Value::Text("b"), Value::TimestampTz(UNIX_EPOCH)];
    let headers = [Header { name: "run", value: HeaderValue::Text("r") }];
    let (null, old, new, source) =
        (Value::Null, Value::Struct(&old), Value::Struct(&new), Value::Struct(&source));
    let mut out = Vec::new();
    for (op, before, after) in [("c", null, old), ("u", old, new), ("d", old, null), ("-", null, null)] {
        let values = [before, after, source, Value::Text(op)];
        let record = Record {
            topic: "p.s.t",
            partition: None,
            key: Some(Datum { schema: &key, value: Value::Struct(&key_row) }),
            value: (op != "-").then_some(Datum { schema: &envelope, value: Value::Struct(&values) }),
            headers: &headers,
            timestamp_ms: None,
        };
        transforms
            .apply(&record, &mut |record| {
                let headers: Vec<String> = record
                    .headers
                    .iter()
                    .filter(|header| header.name != "run")
                    .map(|header| match header.value {
                        HeaderValue::Text(text) => format!("{}={text}", header.name),
                        HeaderValue::Datum(datum) => format!("{}={}", header.name, shown(&datum.value)),
                    })
                    .collect();
                let (key, value) = (datum_shown(record.key), datum_shown(record.value));
                let partition = record.partition.map_or(String::new(), |number| format!("@{number}"));
                let line = format!("{} {key} {value} {}{partition}", record.topic, headers.join(" "));
                out.push(line.trim_end().to_owned());
                Ok(())
            })
            .expect("nothing fails");
    }
    out
}

const ROW: &str = "p.s.t p.s.t.Key[id](1) p.s.t.Value[id,v,at";

#[test]
fn unwrap_in_each_mode() {
    let row = |fields: &str, values: &str| format!("{ROW}{fields}](1,{values})");
    let (a, b) = ("a,TimestampTz(-946684800000000)", "b,TimestampTz(-946684800000000)");
    let tombstone = "p.s.t p.s.t.Key[id](1) none".to_owned();
    for (mode, want) in [
        ("drop", vec![row("", a), row("", b)]),
        ("tombstone", vec![row("", a), row("", b), format!("{ROW}]-")]),
        ("delete-to-tombstone", vec![row("", a), row("", b), tombstone.clone()]),
        (
            "rewrite",
            vec![
                row(",__deleted", &format!("{a},false")),
                row(",__deleted", &format!("{b},false")),
                row(",__deleted", &format!("{a},true")),
            ],
        ),
        (
            "rewrite-with-tombstone",
            vec![
                row(",__deleted", &format!("{a},false")),
                row(",__deleted", &format!("{b},false")),
                row(",__deleted", &format!("{a},true")),
                tombstone,
            ],
        ),
    ] {
        let properties = [("delete.tombstone.handling.mode", mode)];
        assert_eq!(outcome("ExtractNewRecordState", &properties), want, "{mode}");
    }
}

#[test]
fn unwrap_adds_fields_and_headers() {
    let properties = [
        ("add.fields", "op,source.lsn,lsn:place,none"),
        ("add.headers", "op"),
        ("delete.tombstone.handling.mode", "drop"),
    ];
    let want = |values: &str, op: &str| {
        format!(
            "{ROW},__op,__source_lsn,__place](1,{values},TimestampTz(-946684800000000),{op},7,7) __op={op}"
        )
    };
    assert_eq!(outcome("ExtractNewRecordState", &properties), [want("a", "c"), want("b", "u")]);
    assert!(
        outcome("ExtractNewRecordState", &[("route.by.field", "v")])
            .iter()
            .any(|line| line.starts_with("b "))
    );
}

#[test]
fn routers() {
    let routed =
        outcome("ByLogicalTableRouter", &[("topic.regex", "(.*)\\.t"), ("topic.replacement", "$1.all")]);
    assert_eq!(routed.len(), 4);
    let key = "p.s.all p.s.all.Key[id,__dbz__physicalTableIdentifier](1,p.s.t)";
    assert!(routed.iter().all(|line| line.starts_with(key)), "{routed:?}");
    assert!(routed.first().is_some_and(|line| line.contains("p.s.all.Envelope[")), "{routed:?}");
    let regex = outcome("RegexRouter", &[("regex", "p\\.(.*)"), ("replacement", "q_$1")]);
    assert!(regex.iter().all(|line| line.starts_with("q_s.t ")), "{regex:?}");
    let content = outcome("ContentBasedRouter", &[("topic.expression", "value.op == 'c' ? 'new' : null")]);
    let topics: Vec<&str> = content.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(topics, ["new", "p.s.t", "p.s.t", "p.s.t"]);
}

#[test]
fn filters_headers_and_fields() {
    for (class, properties, count) in [
        ("io.debezium.transforms.Filter", &[("condition", "value.after.v == 'b'")][..], 2),
        ("Filter", &[("condition", "value.op != 'd'"), ("null.handling.mode", "drop")], 2),
        ("org.apache.kafka.connect.transforms.Filter", &[], 0),
        ("ReplaceField$Value", &[("exclude", "source")], 4),
        ("DropHeaders", &[("headers", "run")], 4),
    ] {
        assert_eq!(outcome(class, properties).len(), count, "{class}");
    }
    let replaced = outcome("ReplaceField$Key", &[("renames", "id:number")]);
    assert!(replaced.iter().all(|line| line.contains("Key[number](1)")), "{replaced:?}");
    let inserted = outcome("InsertHeader", &[("header", "h"), ("value.literal", "x")]);
    assert!(inserted.iter().all(|line| line.ends_with("h=x")), "{inserted:?}");
    let changed =
        outcome("ExtractChangedRecordState", &[("header.changed.name", "C"), ("header.unchanged.name", "U")]);
    let headers: Vec<&str> =
        changed.iter().filter_map(|line| line.split_once("C=").map(|(_, tail)| tail)).collect();
    assert_eq!(headers, ["[] U=[]", "[v] U=[id,at]", "[] U=[]", "[] U=[]"]);
    let moved = outcome("TimezoneConverter", &[("converted.timezone", "+02:00")]);
    assert!(moved.first().is_some_and(|line| line.contains("1970-01-01T02:00:00+02:00")), "{moved:?}");
}

/// What a transform makes of the insert.
#[test]
fn kafkas_own_transforms() {
    let key = "p.s.t p.s.t.Key[id](1)";
    let envelope = "p.s.t.Envelope[before,after,source,op]";
    let values = "(-,(1,a,TimestampTz(-946684800000000)),(7),c)";
    for (class, properties, want) in [
        (
            "InsertField$Key",
            &[("static.field", "s!"), ("static.value", "x"), ("topic.field", "t")][..],
            format!("p.s.t p.s.t.Key[id,t,s](1,p.s.t,x) {envelope}{values}"),
        ),
        (
            "MaskField$Value",
            &[("fields", "op")],
            format!("{key} {envelope}(-,(1,a,TimestampTz(-946684800000000)),(7),)"),
        ),
        (
            "MaskField$Key",
            &[("fields", "id"), ("replacement", "42")],
            format!("p.s.t p.s.t.Key[id](42) {envelope}{values}"),
        ),
        ("Cast$Key", &[("spec", "id:string")], format!("{key} {envelope}{values}")),
        (
            "Cast$Key",
            &[("spec", "id:boolean")],
            format!("p.s.t p.s.t.Key[id](Bool(true)) {envelope}{values}"),
        ),
        ("HoistField$Key", &[("field", "k")], format!("p.s.t ?[k]((1)) {envelope}{values}")),
        ("ValueToKey", &[("fields", "op,source")], format!("p.s.t ?[op,source](c,(7)) {envelope}{values}")),
        (
            "SetSchemaMetadata$Value",
            &[("schema.name", "mine"), ("schema.version", "3")],
            format!("{key} mine[before,after,source,op]{values}"),
        ),
        (
            "Flatten$Value",
            &[("delimiter", "_")],
            format!(
                "{key} p.s.t.Envelope[before_id,before_v,before_at,after_id,after_v,after_at,source_lsn,op]\
                 (-,-,-,1,a,TimestampTz(-946684800000000),7,c)"
            ),
        ),
        (
            "HeaderFrom$Value",
            &[("fields", "op"), ("headers", "h"), ("operation", "move")],
            format!(
                "{key} p.s.t.Envelope[before,after,source](-,(1,a,TimestampTz(-946684800000000)),(7)) h=c"
            ),
        ),
        (
            "HeaderToValue",
            &[("headers", "run"), ("fields", "source.run"), ("operation", "copy")],
            format!("{key} {envelope}(-,(1,a,TimestampTz(-946684800000000)),(7,r),c)"),
        ),
        (
            "PartitionRouting",
            &[("partition.payload.fields", "change.v,source.none"), ("partition.topic.num", "5")],
            format!("{key} {envelope}{values} @2"),
        ),
        ("VectorToJsonConverter", &[], format!("{key} {envelope}{values}")),
    ] {
        assert_eq!(outcome(class, properties).first(), Some(&want), "{class} {properties:?}");
    }
}

#[test]
fn what_is_not_known_is_refused() {
    for (class, properties, words) in [
        ("com.example.Mine", &[][..], "not supported"),
        ("RegexRouter", &[("regex", "a")], "replacement"),
        ("RegexRouter", &[("regex", "("), ("replacement", "x")], "read regex"),
        ("ExtractNewRecordState", &[("delete.tombstone.handling.mode", "keep")], "keep"),
        (
            "ExtractNewRecordState",
            &[("delete.tombstone.handling.mode", "none")],
            "delete.tombstone.handling.mode",
        ),
        ("Filter", &[("condition", "value.op =")], "character"),
        ("Filter", &[("condition", "true"), ("language", "jsr223.jython")], "jython"),
        ("TimezoneConverter", &[("converted.timezone", "Mars/Base")], "Mars"),
        ("Cast$Key", &[("spec", "id:number")], "number"),
        ("InsertField$Value", &[("static.field", "a")], "static.value"),
        ("InsertField$Value", &[], "no field"),
        ("InsertField$Value", &[("offset.field", "o")], "sinks"),
        ("HeaderFrom$Value", &[("fields", "a,b"), ("headers", "h"), ("operation", "move")], "equally many"),
        ("PartitionRouting", &[("partition.payload.fields", "op"), ("partition.topic.num", "0")], "positive"),
        ("TimestampConverter$Value", &[("target.type", "string")], "format"),
        ("TimestampConverter$Value", &[("target.type", "string"), ("format", "ww")], "letter w"),
        ("SetSchemaMetadata$Key", &[], "neither"),
    ] {
        let error = transforms(class, properties).err().unwrap_or_else(|| panic!("{class} is taken"));
        let text = format!("{error} {}", error.hint());
        assert!(text.contains(words), "{class}: {text}");
    }
}
