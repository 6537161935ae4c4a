//! What recordings of single columns cannot show; the rest is compared with them in
//! `tests/debezium`.

use super::*;
use crate::model::table::TableId;

#[test]
fn a_second_variable_decimal_is_named_and_the_key_stands_alone() {
    let column = |name: &str, optional| Column {
        name: name.to_owned(),
        kind: ColumnType::VariableDecimal,
        optional,
        default: None,
    };
    let id = TableId { schema: "public".to_owned(), name: "t".to_owned() };
    let columns = vec![column("a", true), column("b", false), column("c", true)];
    let table = Table::new(id, columns, vec![1]);
    let text = value("p.public.t", &table).expect("valid names");
    assert_eq!(text.matches(VARIABLE_DECIMAL).count(), 1);
    assert!(text.contains(r#"{"name":"b","type":"io.debezium.data.VariableScaleDecimal"}"#));
    let again = r#"{"name":"c","type":["null","io.debezium.data.VariableScaleDecimal"],"default":null}"#;
    assert!(text.contains(again));
    let key = key("p.public.t", &table).expect("valid names").expect("a key");
    assert!(key.contains(VARIABLE_DECIMAL));
    for text in [&text, &key] {
        apache_avro::Schema::parse_str(text).expect("a schema");
    }
}

#[test]
fn names_of_tables_that_avro_does_not_take() {
    for topic in ["my-prefix.public.t", "p.1st.t", "p..t"] {
        let id = TableId { schema: "s".to_owned(), name: "t".to_owned() };
        let error = value(topic, &Table::new(id, Vec::new(), Vec::new())).expect_err("no name");
        assert_eq!(error.kind(), Kind::Data, "{topic}");
    }
}
