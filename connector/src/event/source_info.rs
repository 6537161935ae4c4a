//! The `source` block: one value per field of `io.debezium.connector.postgresql.Source`, in the
//! order of its schema. Pure, and without an allocation per row.

use crate::model::change::{Marker, PostgresOrigin};
use crate::model::schema::{Field, Kind, Schema};
use crate::model::table::TableId;
use crate::model::value::Constant as Default;
use crate::model::value::Value;
use shared::time::Clock;

/// Debezium's name of the PostgreSQL connector.
pub const POSTGRES: &str = "postgresql";

/// Fields of the block.
pub const POSTGRES_FIELDS: usize = 16;

/// `["<last commit>","<lsn>"]`: at most two numbers of 20 digits.
const SEQUENCE_MAX: usize = 48;

/// The text of `source.sequence`, on the stack.
#[derive(Debug)]
pub struct Sequence {
    bytes: [u8; SEQUENCE_MAX],
    len: usize,
}

impl Sequence {
    pub fn new(origin: &PostgresOrigin<'_>) -> Self {
        let mut sequence = Sequence { bytes: [0; SEQUENCE_MAX], len: 0 };
        match origin.last_commit_lsn {
            Some(commit) => {
                sequence.push(b"[\"");
                sequence.number(commit.0);
                sequence.push(b"\",\"");
            }
            None => sequence.push(b"[null,\""),
        }
        sequence.number(origin.lsn.0);
        sequence.push(b"\"]");
        sequence
    }

    fn push(&mut self, bytes: &[u8]) {
        let room = self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..bytes.len()));
        debug_assert!(room.is_some(), "two numbers fit");
        if let Some(room) = room {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    /// By hand: this runs for every row, and the formatting machinery is slower than the row.
    fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        for slot in digits.iter_mut().rev() {
            *slot = b'0' + (number % 10) as u8;
            number /= 10;
            start -= 1;
            if number == 0 {
                break;
            }
        }
        self.push(digits.get(start..).unwrap_or_default());
    }

    pub fn text(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// The block's schema, version 1.
pub fn postgres_schema() -> Schema {
    const MARKERS: &str =
        "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental";
    let text = |name: &str| Field::new(name, Schema::string());
    let optional_text = |name: &str| Field::new(name, Schema::string().optional());
    let optional_long = |name: &str| Field::new(name, Schema::int64().optional());
    let snapshot = Schema::string()
        .semantic("io.debezium.data.Enum")
        .parameter("allowed", MARKERS)
        .default(Default::Text("false".to_owned()))
        .optional();
    let fields = vec![
        text("version"),
        text("connector"),
        text("name"),
        Field::new("ts_ms", Schema::int64()),
        Field::new("snapshot", snapshot),
        text("db"),
        optional_text("sequence"),
        optional_long("ts_us"),
        optional_long("ts_ns"),
        text("schema"),
        text("table"),
        optional_long("txId"),
        optional_long("lsn"),
        optional_long("xmin"),
        optional_text("origin"),
        optional_long("origin_lsn"),
    ];
    Schema::new(Kind::Struct(fields)).semantic("io.debezium.connector.postgresql.Source")
}

/// What is the same in every block of a run.
#[derive(Clone, Copy, Debug)]
pub struct Constant<'a> {
    pub version: &'a str,
    pub name: &'a str,
}

/// When it happened, nanoseconds since 1970; of a row read beside the stream, when it is sent.
pub fn time_ns(origin: &PostgresOrigin<'_>, clock: &Clock) -> i64 {
    match origin.snapshot {
        Marker::Incremental => clock.now().nanos(),
        _ => origin.time_us.saturating_mul(1_000),
    }
}

/// version, connector, name, ts_ms, snapshot, db, sequence, ts_us, ts_ns, schema, table, txId, lsn,
/// xmin, origin, origin_lsn.
pub fn postgres<'a>(
    constant: Constant<'a>,
    origin: &PostgresOrigin<'a>,
    sequence: &'a Sequence,
    table: Option<&'a TableId>,
    time_ns: i64,
) -> [Value<'a>; POSTGRES_FIELDS] {
    // A message outside a transaction belongs to no table.
    [
        Value::Text(constant.version),
        Value::Text(POSTGRES),
        Value::Text(constant.name),
        Value::Int(time_ns.div_euclid(1_000_000)),
        Value::Text(origin.snapshot.text()),
        Value::Text(origin.database),
        Value::Text(sequence.text()),
        Value::Int(time_ns.div_euclid(1_000)),
        Value::Int(time_ns),
        Value::Text(table.map_or("", |table| &table.schema)),
        Value::Text(table.map_or("", |table| &table.name)),
        origin.transaction_id.map_or(Value::Null, |id| Value::Int(i64::from(id))),
        // Java has no unsigned 64-bit number: the bits stay the same. A row read beside the stream has no place.
        match origin.snapshot {
            Marker::Incremental => Value::Null,
            _ => Value::Int(origin.lsn.0.cast_signed()),
        },
        origin.xmin.map_or(Value::Null, Value::Int),
        origin.replicated_from.map_or(Value::Null, |(name, _)| Value::Text(name)),
        origin.replicated_from.map_or(Value::Null, |(_, lsn)| Value::Int(lsn.0.cast_signed())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::position::Lsn;

    #[test]
    fn sequences() {
        for (commit, lsn, text) in [
            (None, 616_467_712, r#"[null,"616467712"]"#),
            (Some(1), 2, r#"["1","2"]"#),
            (Some(u64::MAX), u64::MAX, r#"["18446744073709551615","18446744073709551615"]"#),
        ] {
            let origin = PostgresOrigin {
                database: "d",
                transaction_id: None,
                lsn: Lsn(lsn),
                last_commit_lsn: commit.map(Lsn),
                time_us: 0,
                xmin: None,
                replicated_from: None,
                snapshot: Marker::Streamed,
            };
            assert_eq!(Sequence::new(&origin).text(), text);
        }
    }
}
