//! Order, keys and links of records. Their content is compared with Debezium's in `tests/debezium`.

use super::*;
use crate::model::change::{Marker, PostgresOrigin};
use crate::model::position::Lsn;
use crate::model::table::{Column, ColumnType, Table, TableId};
use crate::model::value::Value;
use shared::error::{Error, Kind};
use std::sync::Arc;

fn table(key: &[usize]) -> Arc<Table> {
    let column = |name: &str| Column::new(name, ColumnType::Int32, true);
    let id = TableId { schema: "public".to_owned(), name: "t".to_owned() };
    Arc::new(Table::new(id, vec![column("id"), column("v")], key.to_vec()))
}

fn events(settings: &str) -> Events {
    let text = format!("topic_prefix = \"p\"\nsource_version = \"v\"\n{settings}");
    let overrides = shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
    let config: EventConfig = shared::config::parse(&text, &overrides).expect("valid");
    Events::with_run(&config, Clock::manual(0), "run".to_owned()).expect("valid")
}

fn change<'a>(table: &'a Arc<Table>, op: Op, before: Option<Row<'a>>, after: Option<Row<'a>>) -> Change<'a> {
    let origin = Origin::Postgres(PostgresOrigin {
        database: "d",
        transaction_id: Some(1),
        lsn: Lsn(0x10),
        last_commit_lsn: None,
        time_us: 1,
        xmin: None,
        replicated_from: None,
        snapshot: Marker::Streamed,
    });
    Change { op, table, before, after, origin }
}

/// The text, the number, or the first value.
fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Text(text) => (*text).to_owned(),
        Value::Int(number) => number.to_string(),
        Value::Null => "-".to_owned(),
        Value::Struct(values) => values.iter().map(shown).collect::<Vec<_>>().join(","),
        Value::List(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(" ")),
        other => format!("{other:?}"),
    }
}

/// An envelope's field.
fn field<'a>(record: &Record<'a>, name: &str) -> Option<Value<'a>> {
    let datum = record.value?;
    let Value::Struct(values) = datum.value else { return None };
    values.get(datum.schema.field(name)?.0).copied()
}

/// Records as `op key link`, a tombstone as `-`.
fn shapes(events: &mut Events, change: &Change<'_>) -> Vec<String> {
    let mut out = Vec::new();
    let take = &mut |record: &Record<'_>| {
        let op = field(record, "op").as_ref().map_or("-".to_owned(), shown);
        let key = record.key.map_or("none".to_owned(), |key| shown(&key.value));
        let link = record.headers.iter().find_map(|header| match header.value {
            HeaderValue::Datum(datum) => Some((header.name, shown(&datum.value))),
            HeaderValue::Text(_) => None,
        });
        let link = link.map(|(name, key)| format!(" {}={key}", name.replace("__debezium.", "")));
        out.push(format!("{op} {key}{}", link.unwrap_or_default()));
        Ok(())
    };
    events.records(&Event::Change(*change), take).expect("nothing fails");
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
        assert_eq!(shapes(&mut events(&format!("tombstones = {tombstones}")), &change), want, "{op:?}");
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
        seen = field(record, "after").as_ref().map(shown);
        Ok(())
    };
    events("").records(&Event::Change(change), take).expect("nothing fails");
    assert_eq!(seen.as_deref(), Some("1,7"));
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
            let one = |header: &Header<'_>| match header.value {
                HeaderValue::Text(text) => {
                    format!("{}={text}", header.name.replace("__debezium.context.", ""))
                }
                HeaderValue::Datum(_) => header.name.to_owned(),
            };
            seen = record.headers.iter().map(one).collect::<Vec<_>>().join(" ");
            Ok(())
        };
        events(&format!("headers = {on}"))
            .records(&Event::Change(change(&table, Op::Create, None, Some(&row))), take)
            .expect("nothing fails");
        assert_eq!(seen, want);
    }
}

#[test]
fn errors_say_the_position() {
    let row = [Value::Int(1), Value::Null];
    let table = table(&[0]);
    let take = &mut |_: &Record<'_>| Err(Error::new(Kind::Data, "bad"));
    let error = events("").records(&Event::Change(change(&table, Op::Create, None, Some(&row))), take);
    assert_eq!(error.expect_err("fails").to_string(), "at 0/10: bad");
}

#[test]
fn transactions_are_counted() {
    let (one, table) = ([Value::Int(1), Value::Null], table(&[0]));
    let mut events = events("transactions = true");
    let mut out = Vec::new();
    let transaction = |lsn| Transaction { id: 7, lsn: Lsn(lsn), time_us: 5_000 };
    let insert = change(&table, Op::Create, None, Some(&one));
    for event in [
        Event::Begin(transaction(15)),
        Event::Change(insert),
        Event::End(transaction(17)),
        Event::Change(insert),
    ] {
        let take = &mut |record: &Record<'_>| {
            let block = field(record, "transaction").or(record.value.map(|datum| datum.value));
            out.push(format!("{} {}", record.topic, block.as_ref().map(shown).unwrap_or_default()));
            Ok(())
        };
        events.records(&event, take).expect("nothing fails");
    }
    assert_eq!(
        out,
        [
            "p.transaction BEGIN,7:15,-,-,5",
            "p.public.t 7:16,1,1",
            "p.transaction END,7:17,1,[public.t,1],5",
            "p.public.t -",
        ]
    );
}

#[test]
fn what_is_skipped_makes_no_record() {
    let (one, two) = ([Value::Int(1), Value::Int(7)], [Value::Int(1), Value::Int(8)]);
    let table = table(&[0]);
    for (settings, before, count) in [
        ("", None, 1),
        ("skip = [\"update\"]", None, 0),
        ("skip_unchanged = true", None, 1),
        ("skip_unchanged = true", Some(&one[..]), 0),
        ("skip_unchanged = true", Some(&two[..]), 1),
    ] {
        let update = change(&table, Op::Update, before, Some(&one));
        assert_eq!(shapes(&mut events(settings), &update).len(), count, "{settings}");
    }
    let truncate =
        Event::Truncate(Truncate { table: &table, origin: change(&table, Op::Read, None, None).origin });
    for (settings, count) in [("", 0), ("skip = []", 1)] {
        let mut seen = 0;
        let take = &mut |record: &Record<'_>| {
            seen += usize::from(record.key.is_none() && field(record, "op") == Some(Value::Text("t")));
            Ok(())
        };
        events(settings).records(&truncate, take).expect("nothing fails");
        assert_eq!(seen, count, "{settings}");
    }
}
