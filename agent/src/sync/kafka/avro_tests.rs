//! What is written is what apache-avro reads by the same schema.

use super::*;
use crate::model::feature::{AsOf, ViewId, ViewShape};
use apache_avro::types::Value as Avro;
use std::sync::Arc;

fn view(types: &[FeatureType]) -> Arc<View> {
    let shape = ViewShape {
        id: ViewId(1),
        version: 1,
        name: "user spend".to_owned(),
        entity: vec![
            ("user".to_owned(), EntityType::Int32),
            ("shop".to_owned(), EntityType::Natural),
            ("2nd".to_owned(), EntityType::Text),
        ],
        features: (0..types.len()).map(|n| format!("f-{n}")).collect(),
        ttl_us: None,
    };
    Arc::new(View { shape, types: types.to_vec() })
}

fn read(schema: &str, bytes: &[u8]) -> Vec<(String, Avro)> {
    let schema = apache_avro::Schema::parse_str(schema).expect("a schema");
    let mut rest = bytes;
    #[expect(deprecated, reason = "the plainest way to read one value")]
    let value = apache_avro::from_avro_datum(&schema, &mut rest, None).expect("reads");
    assert!(rest.is_empty());
    match value {
        Avro::Record(fields) => fields,
        other => panic!("{other:?}"),
    }
}

#[test]
fn rows_are_read_back() {
    use FeatureType::{Bool, Double, Int64, Natural, Text, Timestamp, Vector};
    let types = [Int64, Double, Text, Bool, Timestamp, Vector, Natural, Natural, Natural, Natural, Double];
    let view = view(&types);
    let plan = Plan::of(&view).expect("fits");
    let list = |values: &[Value]| Value::List(values.to_vec());
    let row = Row {
        view,
        keys: vec![Value::Int(-3), Value::Text("ü".into()), Value::Text("b".into())],
        as_of: AsOf(1_767_323_045_678_901_999),
        values: vec![
            Value::Int(i64::MIN),
            Value::Float(0.1),
            Value::Text("café".into()),
            Value::Bool(true),
            Value::Timestamp(-5),
            list(&[Value::Float(1.5), Value::Float(-2.0)]),
            list(&[Value::Int(7), Value::Text("x".into())]),
            Value::Bytes(vec![0, 255]),
            list(&[]),
            Value::Timestamp(9),
            Value::Null,
        ],
    };
    let (mut key, mut value) = (Vec::new(), Vec::new());
    plan.key(&row, &mut key).expect("the key fits");
    plan.value(&row, &mut value).expect("the value fits");
    let union = |at, value| Avro::Union(at, Box::new(value));
    let named = |name: &str, value: Avro| (name.to_owned(), value);
    assert_eq!(
        read(plan.key_schema(), &key),
        [
            named("user", Avro::Int(-3)),
            named("shop", union(1, Avro::String("ü".into()))),
            named("_2nd", Avro::String("b".into())),
        ]
    );
    let wanted = [
        union(1, Avro::Long(i64::MIN)),
        union(1, Avro::Double(0.1)),
        union(1, Avro::String("café".into())),
        union(1, Avro::Boolean(true)),
        union(1, Avro::TimestampMicros(-5)),
        union(1, Avro::Array(vec![Avro::Double(1.5), Avro::Double(-2.0)])),
        union(6, Avro::Array(vec![union(0, Avro::Long(7)), union(1, Avro::String("x".into()))])),
        union(3, Avro::Bytes(vec![0, 255])),
        union(6, Avro::Array(vec![])),
        union(1, Avro::Long(9)),
        union(0, Avro::Null),
        Avro::TimestampMicros(1_767_323_045_678_901),
    ];
    let read: Vec<Avro> = read(plan.value_schema(), &value).into_iter().map(|(_, value)| value).collect();
    assert_eq!(read, wanted);
    let misfit = Row { keys: vec![Value::Int(1 << 40), Value::Int(1), Value::Int(2)], ..row };
    assert_eq!(
        plan.key(&misfit, &mut key).expect_err("too large"),
        "user is integer, where the schema says int"
    );
}

#[test]
fn names_that_become_the_same_are_refused() {
    let mut two = (*view(&[FeatureType::Int64, FeatureType::Int64])).clone();
    two.shape.features = vec!["a b".to_owned(), "a-b".to_owned()];
    assert!(Plan::of(&two).expect_err("the same").to_string().contains("two columns are both a_b"));
}
