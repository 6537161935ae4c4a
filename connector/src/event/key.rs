//! Whether an update changed its row's key. Pure.

use crate::model::table::Table;
use crate::model::value::{Row, Value};

/// Whether the key's columns differ. A NULL stands for the value that the key is sent with, so
/// it differs from whatever the other row has; a value that was not sent did not change.
pub fn changed(table: &Table, before: Row<'_>, after: Row<'_>) -> bool {
    table.key.iter().any(|&column| match (before.get(column), after.get(column)) {
        (Some(Value::Unavailable), _) | (_, Some(Value::Unavailable)) => false,
        (before, after) => before != after,
    })
}

/// Whether any value of `after` was not sent although `before` has it.
pub fn can_complete(before: Row<'_>, after: Row<'_>) -> bool {
    before.iter().zip(after).any(|(before, after)| fills(before, after))
}

/// Puts what is known from `before` in place of values that were not sent.
pub fn complete<'a>(before: Row<'a>, after: Row<'a>, out: &mut Vec<Value<'a>>) {
    out.extend_from_slice(after);
    for (known, value) in before.iter().zip(out.iter_mut()) {
        if fills(known, value) {
            *value = *known;
        }
    }
}

/// With a key-only `before` the other columns are NULL, which says nothing about them; a value
/// that was not sent is stored out of line and so is never NULL.
fn fills(before: &Value<'_>, after: &Value<'_>) -> bool {
    *after == Value::Unavailable && !matches!(before, Value::Null | Value::Unavailable)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{Column, ColumnType, TableId};

    #[test]
    fn only_the_key_columns_count() {
        let column = |name: &str| Column::new(name, ColumnType::Text, true);
        let id = TableId { schema: "public".to_owned(), name: "t".to_owned() };
        let table = Table::new(id, vec![column("v"), column("k")], vec![1]);
        let row = |v, k| [v, k];
        for (before, after, want) in [
            (row(Value::Null, Value::Text("1")), row(Value::Text("x"), Value::Text("1")), false),
            (row(Value::Null, Value::Text("1")), row(Value::Null, Value::Text("2")), true),
            (row(Value::Null, Value::Null), row(Value::Null, Value::Text("2")), true),
            (row(Value::Null, Value::Text("1")), row(Value::Null, Value::Unavailable), false),
        ] {
            assert_eq!(changed(&table, &before, &after), want, "{before:?} {after:?}");
        }
    }

    #[test]
    fn values_not_sent_come_from_before_if_it_has_them() {
        let before = [Value::Text("old"), Value::Null, Value::Text("k")];
        let after = [Value::Unavailable, Value::Unavailable, Value::Text("new")];
        assert!(can_complete(&before, &after));
        let mut out = Vec::new();
        complete(&before, &after, &mut out);
        assert_eq!(out, [Value::Text("old"), Value::Unavailable, Value::Text("new")]);
        assert!(!can_complete(&[Value::Null], &[Value::Unavailable]));
    }
}
