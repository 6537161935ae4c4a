//! The statements of an incremental snapshot. Pure.

use crate::model::key_cell::KeyCell;
use crate::model::table::{Table, TableId};
use crate::source::postgres::snapshot::name;
use crate::source::postgres::sql::{identifier, literal};

/// A table that is read by its key.
pub struct Keyed<'a> {
    pub table: &'a Table,
    /// Indexes of the columns that it is read by.
    pub key: &'a [usize],
    pub condition: Option<&'a str>,
}

/// Rows behind `last` (from the first if there is none) up to `maximum`, `limit` of them at most.
pub struct Range<'a> {
    pub last: Option<&'a [KeyCell]>,
    pub maximum: &'a [KeyCell],
    pub limit: usize,
}

impl Keyed<'_> {
    fn key_names(&self) -> Vec<String> {
        let column = |at: &usize| self.table.columns.get(*at).map(|column| identifier(&column.name));
        self.key.iter().filter_map(column).collect()
    }

    /// The largest key, as texts.
    pub fn maximum(&self) -> String {
        let names = self.key_names();
        // Under another name, or the server would order by the text.
        let texts: Vec<String> =
            names.iter().enumerate().map(|(at, name)| format!("{name}::text AS tidegate_{at}")).collect();
        let order: Vec<String> = names.iter().map(|name| format!("{name} DESC")).collect();
        let not_null: Vec<String> = names.iter().map(|name| format!("{name} IS NOT NULL")).collect();
        format!(
            "SELECT {} FROM {} WHERE {}{} ORDER BY {} LIMIT 1",
            texts.join(", "),
            name(&self.table.id),
            not_null.join(" AND "),
            self.condition.map(|condition| format!(" AND ({condition})")).unwrap_or_default(),
            order.join(", ")
        )
    }

    /// The rows of a range, in the form of a snapshot's.
    pub fn chunk(&self, range: &Range<'_>) -> String {
        let columns: Vec<String> = self.table.columns.iter().map(|column| identifier(&column.name)).collect();
        let names = self.key_names();
        let mut conditions: Vec<String> =
            self.condition.map(|condition| format!("({condition})")).into_iter().collect();
        if let Some(last) = range.last {
            conditions.push(compared(&names, ">", last));
        }
        conditions.push(compared(&names, "<=", range.maximum));
        format!(
            "COPY (SELECT {} FROM {} WHERE {} ORDER BY {} LIMIT {}) TO STDOUT",
            columns.join(", "),
            name(&self.table.id),
            conditions.join(" AND "),
            names.join(", "),
            range.limit
        )
    }
}

/// Row comparison: the server goes down the key's index by it.
fn compared(names: &[String], operator: &str, key: &[KeyCell]) -> String {
    let cell = |cell: &KeyCell| cell.text().map_or("NULL".to_owned(), |text| literal(&text));
    let cells: Vec<String> = key.iter().map(cell).collect();
    format!("({}) {operator} ({})", names.join(", "), cells.join(", "))
}

/// A mark in the signal table.
pub fn mark(table: &TableId, id: &str, kind: &str, data: &str) -> String {
    format!("INSERT INTO {} VALUES ({}, {}, {})", name(table), literal(id), literal(kind), literal(data))
}

pub fn unmark(table: &TableId, id: &str) -> String {
    format!("DELETE FROM {} WHERE id = {}", name(table), literal(id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::{Column, ColumnType};

    #[test]
    fn statements() {
        let column = |name: &str| Column::new(name, ColumnType::Text, false);
        let id = TableId { schema: "s".to_owned(), name: "t".to_owned() };
        let table = Table::new(id.clone(), vec![column("v"), column("a"), column("B")], vec![1, 2]);
        let keyed = Keyed { table: &table, key: &table.key, condition: Some("v > 'x'") };
        assert_eq!(
            keyed.maximum(),
            r#"SELECT "a"::text AS tidegate_0, "B"::text AS tidegate_1 FROM "s"."t" WHERE "a" IS NOT NULL AND "B" IS NOT NULL AND (v > 'x') ORDER BY "a" DESC, "B" DESC LIMIT 1"#
        );
        let key = |a: i32, b: &str| vec![KeyCell::Integer(a), KeyCell::Text(b.to_owned())];
        let keyed = Keyed { condition: None, ..keyed };
        assert_eq!(
            keyed.chunk(&Range { last: Some(&key(1, "it's")), maximum: &key(9, "z"), limit: 3 }),
            r#"COPY (SELECT "v", "a", "B" FROM "s"."t" WHERE ("a", "B") > ('1', 'it''s') AND ("a", "B") <= ('9', 'z') ORDER BY "a", "B" LIMIT 3) TO STDOUT"#
        );
        assert_eq!(mark(&id, "i", "k", "{}"), r#"INSERT INTO "s"."t" VALUES ('i', 'k', '{}')"#);
    }
}
