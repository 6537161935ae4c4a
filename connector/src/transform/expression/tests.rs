//! Expressions on a record, and what is refused.

use super::*;
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::{Field, Form, Kind, Schema};
use crate::model::value::{UNIX_EPOCH, Value};
use std::sync::Arc;

fn evaluated(text: &str) -> shared::Result<String> {
    let decimal = Schema::new(Kind::Bytes).form(Form::Decimal { scale: 2 });
    let row = Schema::structure(
        "V",
        vec![
            Field::new("id", Schema::int64()),
            Field::new("name", Schema::string().optional()),
            Field::new("amount", decimal),
            Field::new("at", Schema::int64().form(Form::TimestampMillis)),
        ],
    );
    let fields = vec![
        Field::new("before", row.clone().optional()),
        Field::new("after", row),
        Field::new("op", Schema::string()),
    ];
    let schema = Arc::new(Schema::structure("Envelope", fields));
    let after = [
        Value::Int(9_007_199_254_740_993),
        Value::Null,
        Value::Decimal("12.50"),
        Value::Timestamp(UNIX_EPOCH + 5_000_000),
    ];
    let values = [Value::Null, Value::Struct(&after), Value::Text("u")];
    let headers = [Header { name: "h", value: HeaderValue::Text("x") }];
    let record = Record {
        topic: "shop.public.t",
        partition: None,
        key: None,
        value: Some(Datum { schema: &schema, value: Value::Struct(&values) }),
        headers: &headers,
        timestamp_ms: None,
    };
    parse(text)?.evaluate(&record).map(|scalar| format!("{scalar:?}"))
}

#[test]
fn conditions_of_groovy_and_javascript() {
    for (text, want) in [
        ("value.op == 'u' && value.after.id == 9007199254740993L", "Bool(true)"),
        ("value.before == null", "Bool(true)"),
        ("value.before?.id == null and !(value.op === \"c\")", "Bool(true)"),
        ("value.after.amount > 12 && value.after.amount <= 12.5", "Bool(true)"),
        ("value.after.at == 5000", "Bool(true)"),
        ("value.after.name != null || key == null", "Bool(true)"),
        ("value.after.name > 'a'", "Bool(false)"),
        ("['c', 'u'].contains(value.op)", "Bool(true)"),
        ("value.op in ['c', 'd']", "Bool(false)"),
        ("value.op == 'd' ? 'deletes' : 'others'", "Text(\"others\")"),
        ("topic.startsWith('shop.') && topic.matches('.*\\\\.t')", "Bool(true)"),
        ("topic + '_' + value.op.toUpperCase()", "Text(\"shop.public.t_U\")"),
        ("header.h == 'x' && header['none'] == null", "Bool(true)"),
        ("1 + 2 * 3 - 4 % 3", "Whole(6)"),
        ("value['after'].id % 2 == 1", "Bool(true)"),
        ("value.op.equals('u') ;", "Bool(true)"),
        ("-(2) < 0 && 'abc'.length() == 3 && !''.isEmpty() == false", "Bool(true)"),
    ] {
        assert_eq!(evaluated(text).unwrap_or_else(|e| panic!("{text}: {e}")), want, "{text}");
    }
}

#[test]
fn what_is_not_understood_is_refused_with_its_place() {
    for (text, words) in [
        ("", "no value"),
        ("value.op ==", "no value"),
        ("value.op = 'u'", "not understood"),
        ("x == 1", "none of topic"),
        ("value.op == 'u", "without its end"),
        ("value.op.foo()", "foo"),
        ("(value.op == 'u'", "\")\""),
        ("value.op == 'u' value", "not expected"),
        ("value.op.contains()", "arguments"),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert!(error.contains(words) && error.contains("character"), "{text}: {error}");
    }
    let long = |repeated: &str| format!("''{}", repeated.repeat(100_000));
    for deep in
        ["(".repeat(10_000), "!".repeat(10_000), "[".repeat(10_000), long("+''"), long(".toLowerCase()")]
    {
        assert!(parse(&deep).is_err());
    }
    assert!(evaluated("value.op + 1 > 2").is_err() && evaluated("value.op && true").is_err());
}
