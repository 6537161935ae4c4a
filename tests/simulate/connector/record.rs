//! A change as consumers read it, to compare with the one in the database's log.

use super::database::{Database, Entry};
use connector::model::change::Op;
use connector::model::position::Lsn;
use serde_json::Value;

pub const PREFIX: &str = "p";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub topic: String,
    pub key: i64,
    /// Debezium's letter.
    pub op: String,
    pub lsn: Lsn,
    /// Read beside the stream.
    pub incremental: bool,
    /// After the change; `None` once the row is gone.
    pub value: Option<i64>,
}

impl Record {
    /// `None` for a tombstone, and for what is no change.
    pub fn read(topic: &str, key: &[u8], value: Option<&[u8]>) -> Option<Record> {
        let parse = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
        let value = parse(value?)?;
        let incremental = value["source"]["snapshot"] == "incremental";
        let lsn = if incremental { sequence(&value)? } else { Lsn(value["source"]["lsn"].as_u64()?) };
        Some(Record {
            topic: topic.to_owned(),
            key: parse(key)?["id"].as_i64()?,
            op: value["op"].as_str()?.to_owned(),
            lsn,
            incremental,
            value: value["after"]["v"].as_i64(),
        })
    }
}

/// Where in the stream a row came that has no place in the log.
fn sequence(value: &Value) -> Option<Lsn> {
    let sequence: Value = serde_json::from_str(value["source"]["sequence"].as_str()?).ok()?;
    Some(Lsn(sequence[1].as_str()?.parse().ok()?))
}

pub fn topic(database: &Database, table: usize) -> String {
    format!("{PREFIX}.{}", database.tables[table].id)
}

/// The records that a change becomes: a moved key is a delete and a create.
pub fn wanted(database: &Database, entry: &Entry) -> Vec<Record> {
    let record = |op: Op, key, value| Record {
        topic: topic(database, entry.table),
        key,
        op: op.code().to_owned(),
        lsn: entry.lsn,
        incremental: false,
        value,
    };
    match (entry.op, entry.before, entry.after) {
        (Op::Update, Some(from), Some((to, value))) => {
            vec![record(Op::Delete, from, None), record(Op::Create, to, Some(value))]
        }
        (op, _, Some((key, value))) => vec![record(op, key, Some(value))],
        (op, Some(key), None) => vec![record(op, key, None)],
        (_, None, None) => Vec::new(),
    }
}
