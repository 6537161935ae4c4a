//! Order, keys and links of records. Their content is compared with Debezium's in `tests/debezium`.

use super::*;
use crate::model::change::{Marker, PostgresOrigin};
use crate::model::position::Lsn;
use crate::model::table::{Column, ColumnType, Table, TableId};
use crate::model::value::Value;
use shared::error::{Error, Kind};
use std::sync::Arc;

fn table(key: &[usize]) -> Arc<Table> {
    let column =
        |name: &str| Column { name: name.to_owned(), kind: ColumnType::Int32, optional: true, default: None };
    let id = TableId { schema: "public".to_owned(), name: "t".to_owned() };
    Arc::new(Table::new(id, vec![column("id"), column("v")], key.to_vec()))
}

fn events(tombstones: bool, headers: bool) -> Events {
    let config =
        EventConfig { topic_prefix: "p".to_owned(), tombstones, source_version: "v".to_owned(), headers };
    Events::with_run(&config, Clock::manual(0), "run".to_owned())
}

fn change<'a>(table: &'a Arc<Table>, op: Op, before: Option<Row<'a>>, after: Option<Row<'a>>) -> Change<'a> {
    let origin = Origin::Postgres(PostgresOrigin {
        database: "d",
        transaction_id: Some(1),
        lsn: Lsn(0x10),
        last_commit_lsn: None,
        time_us: 1,
        snapshot: Marker::Streamed,
    });
    Change { op, table, before, after, origin }
}

/// Records as `op key link`, a tombstone as `-`.
fn shapes(events: &mut Events, change: &Change<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let take = &mut |record: &Record<'_>| {
        let op = record.value.map_or("-", |envelope| envelope.op.code());
        let id = |row: Row<'_>| match row.first() {
            Some(Value::Int(id)) => id.to_string(),
            other => format!("{other:?}"),
        };
        let link =
            record.link.map(|link| format!(" {}={}", link.header.replace("__debezium.", ""), id(link.key)));
        out.push(format!("{op} {}{}", record.key.map_or("none".to_owned(), id), link.unwrap_or_default()));
        Ok(())
    };
    events.records(change, take).expect("nothing fails");
    out
}

#[test]
fn records_of_each_operation() {
    let (one, two) = ([Value::Int(1), Value::Int(7)], [Value::Int(2), Value::Int(7)]);
    let (keyed, keyless) = (table(&[0]), table(&[]));
    let none: Option<Row<'_>> = None;
    for (tombstones, table, op, before, after, want) in [
        (true, &keyed, Op::Create, none, Some(&one[..]), vec!["c 1"]),
        (true, &keyed, Op::Read, none, Some(&one), vec!["r 1"]),
        (true, &keyed, Op::Update, none, Some(&one), vec!["u 1"]),
        (true, &keyed, Op::Update, Some(&one), Some(&one), vec!["u 1"]),
        (true, &keyed, Op::Delete, Some(&one), none, vec!["d 1", "- 1"]),
        (false, &keyed, Op::Delete, Some(&one), none, vec!["d 1"]),
        (
            true,
            &keyed,
            Op::Update,
            Some(&one),
            Some(&two),
            vec!["d 1 newkey=2", "- 1 newkey=2", "c 2 oldkey=1"],
        ),
        (false, &keyed, Op::Update, Some(&one), Some(&two), vec!["d 1 newkey=2", "c 2 oldkey=1"]),
        (true, &keyless, Op::Update, Some(&one), Some(&two), vec!["u none"]),
        (true, &keyless, Op::Delete, Some(&one), none, vec!["d none", "- none"]),
    ] {
        let change = change(table, op, before, after);
        assert_eq!(shapes(&mut events(tombstones, true), &change), want, "{op:?}");
    }
}

#[test]
fn values_not_sent_are_taken_from_a_whole_row_before() {
    let before = [Value::Int(1), Value::Int(7)];
    let after = [Value::Int(1), Value::Unavailable];
    let table = table(&[0]);
    let mut seen = None;
    let change = change(&table, Op::Update, Some(&before), Some(&after));
    let take = &mut |record: &Record<'_>| {
        seen = record.value.and_then(|envelope| envelope.after).map(|row| format!("{row:?}"));
        Ok(())
    };
    events(true, true).records(&change, take).expect("nothing fails");
    assert_eq!(seen.as_deref(), Some("[Int(1), Int(7)]"));
}

#[test]
fn headers_are_of_the_run_or_absent() {
    let row = [Value::Int(1), Value::Null];
    let table = table(&[0]);
    for (on, want) in
        [(true, "connectorLogicalName=p taskId=0 connectorName=postgresql runId=run"), (false, "")]
    {
        let mut seen = String::new();
        let take = &mut |record: &Record<'_>| {
            let one =
                |h: &ContextHeader| format!("{}={}", h.name.replace("__debezium.context.", ""), h.value);
            seen = record.context.iter().map(one).collect::<Vec<_>>().join(" ");
            Ok(())
        };
        events(true, on).records(&change(&table, Op::Create, None, Some(&row)), take).expect("nothing fails");
        assert_eq!(seen, want);
    }
}

#[test]
fn errors_say_the_position() {
    let row = [Value::Int(1), Value::Null];
    let table = table(&[0]);
    let take = &mut |_: &Record<'_>| Err(Error::new(Kind::Data, "bad"));
    let error = events(true, true).records(&change(&table, Op::Create, None, Some(&row)), take);
    assert_eq!(error.expect_err("fails").to_string(), "at 0/10: bad");
}
