//! From what the source gives to the bytes of records, through every form in which values are sent.

use crate::config::source::SourceConfig;
use crate::config::{Config, parse};
use crate::encode;
use crate::event::Events;
use crate::model::change::{Change, Event, Marker, Op, Origin, PostgresOrigin};
use crate::model::position::Lsn;
use crate::model::record::{Datum, Header, HeaderValue, Record};
use crate::model::schema::{Field, Form, Kind, Schema};
use crate::model::table::{Column, Table, TableId};
use crate::model::value::{UNIX_EPOCH, Value};
use crate::source::postgres::fuzz as postgres;
use crate::transform::Transforms;
use shared::time::Clock;
use shared::{Kind as ErrorKind, Result};
use std::cell::RefCell;
use std::sync::Arc;

/// Every mode stands in one of these.
const SETTINGS: [&[&str]; 7] = [
    &[],
    &["event.values.decimal='double'", "event.values.time='connect'", "event.values.binary='base64'"],
    &["event.values.decimal='string'", "event.values.time='isostring'", "event.values.binary='hex'"],
    &["event.values.time='nanoseconds'", "event.values.interval='string'", "event.values.hstore='map'"],
    &["event.values.time='microseconds'", "event.values.binary='base64-url-safe'", "event.transactions=true"],
    &[
        "event.values.time='adaptive_time_microseconds'",
        "event.schema_names='avro'",
        "event.field_names='avro_unicode'",
    ],
    &[
        "avro.keep_nulls=true",
        "event.source_type_columns=['.*']",
        "event.skip_unchanged=true",
        "event.skip=[]",
    ],
];
const LEAST: &str = "[source]\ndatabase='d'\nuser='u'\nunknown_types=true\n[event]\ntopic_prefix='p'\n\
    [avro.registry]\nurl=['http://a']\n[sink.kafka]\nbrokers='b'\n";
/// What is kept of the tables seen would fill the memory in time.
const KEPT_RUNS: usize = 512;

/// Configuration, and the records' maker with how often it was used.
struct Maker {
    config: Config,
    events: Option<(Events, usize)>,
}

thread_local! {
    static MAKERS: RefCell<Vec<Maker>> = RefCell::new(SETTINGS.iter().map(|settings| maker(settings)).collect());
}

fn maker(settings: &[&str]) -> Maker {
    let settings: Vec<String> = settings.iter().map(|item| (*item).to_owned()).collect();
    Maker { config: parse(LEAST, &settings).expect("settings of ours"), events: None }
}

/// The maker by the input's first byte, and the rest.
fn with_maker(input: &[u8], run: impl FnOnce(&Config, &mut Events, &[u8])) {
    let Some((number, rest)) = input.split_first() else { return };
    MAKERS.with_borrow_mut(|makers| {
        let number = usize::from(*number) % makers.len();
        let Some(Maker { config, events }) = makers.get_mut(number) else { return };
        let (mut made, runs) = match events.take().filter(|(_, runs)| *runs < KEPT_RUNS) {
            Some((made, runs)) => (made, runs + 1),
            None => (Events::with_run(&config.event, Clock::manual(0), String::new()).expect("valid"), 0),
        };
        run(config, &mut made, rest);
        *events = Some((made, runs));
    });
}

/// Nothing that the database can say is a mistake of the configuration's or of ours.
fn allowed(done: Result<()>) {
    if let Err(error) = done {
        assert!(matches!(error.kind(), ErrorKind::Data | ErrorKind::Rejected), "{error}");
    }
}

/// The bytes of the replication protocol, to records.
pub fn stream(input: &[u8]) {
    with_maker(input, |config, events, rest| {
        let source: &SourceConfig = &config.source;
        allowed(postgres::stream(source, rest, &mut |event| {
            events.records(&event, &mut |record| encode::fuzz::record(record, &config.avro))
        }));
    });
}

/// One column's text, to a record.
pub fn value(input: &[u8]) {
    with_maker(input, |config, events, rest| {
        postgres::value(rest, &mut |column, value| {
            let table = Arc::new(Table::new(id(), vec![column], vec![0]));
            for row in [[value], [Value::Null], [Value::Unavailable]] {
                allowed(events.records(&created(&table, &row), &mut |record| {
                    encode::fuzz::record(record, &config.avro)
                }));
            }
        });
    });
}

/// One column's default, to a schema and to what stands for NULL.
pub fn default(input: &[u8]) {
    with_maker(input, |config, events, rest| {
        postgres::default(rest, &mut |column: Column| {
            let table = Arc::new(Table::new(id(), vec![column], vec![0]));
            allowed(events.records(&created(&table, &[Value::Null]), &mut |record| {
                encode::fuzz::record(record, &config.avro)
            }));
        });
    });
}

fn id() -> TableId {
    TableId { schema: "s".to_owned(), name: "t".to_owned() }
}

fn created<'a>(table: &'a Arc<Table>, row: &'a [Value<'a>]) -> Event<'a> {
    let origin = Origin::Postgres(PostgresOrigin {
        database: "d",
        transaction_id: Some(1),
        lsn: Lsn(2),
        last_commit_lsn: None,
        time_us: 3,
        xmin: None,
        replicated_from: None,
        snapshot: Marker::Streamed,
    });
    Event::Change(Change { op: Op::Create, table, before: None, after: Some(row), origin })
}

/// A configuration's transforms are refused, or take records of all sorts.
pub fn transformed(config: &Config) {
    let mut transforms = match Transforms::new(config) {
        Ok(transforms) => transforms,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::Config, "{error}"),
    };
    with_samples(|samples| {
        for record in samples {
            allowed(transforms.apply(record, &mut |record| encode::fuzz::record(record, &config.avro)));
        }
    });
}

/// An update, a delete with its tombstone, a row without an envelope, and a text.
pub fn with_samples(run: impl FnOnce(&[Record<'_>])) {
    let row = Schema::structure(
        "p.s.t.Value",
        vec![
            Field::new("id", Schema::int64()),
            Field::new("name", Schema::string().optional()),
            Field::new("amount", Schema::new(Kind::Bytes).form(Form::Decimal { scale: 2 })),
            Field::new(
                "at",
                Schema::int64().form(Form::TimestampMillis).semantic("io.debezium.time.Timestamp"),
            ),
            Field::new("type", Schema::string()),
            Field::new("payload", Schema::string().optional()),
        ],
    );
    let key = Arc::new(Schema::structure("p.s.t.Key", vec![Field::new("id", Schema::int64())]));
    let source = vec![Field::new("table", Schema::string()), Field::new("ts_ms", Schema::int64())];
    let envelope = Arc::new(Schema::structure(
        "p.s.t.Envelope",
        vec![
            Field::new("before", row.clone().optional()),
            Field::new("after", row.clone().optional()),
            Field::new("source", Schema::structure("Source", source)),
            Field::new("op", Schema::string()),
            Field::new("ts_ms", Schema::int64().optional()),
        ],
    ));
    let (row, text) = (Arc::new(row), Arc::new(Schema::string()));
    let number = Value::Int(9_007_199_254_740_993);
    let id = [number];
    let values = |name| {
        let [kind, payload] = [Value::Text("Order"), Value::Text("{\"a\": 1}")];
        [number, name, Value::Decimal("12.50"), Value::Timestamp(UNIX_EPOCH + 5_000_000), kind, payload]
    };
    let (before, after) = (values(Value::Null), values(Value::Text("név")));
    let source = [Value::Text("t"), Value::Int(7)];
    let update = [
        Value::Struct(&before),
        Value::Struct(&after),
        Value::Struct(&source),
        Value::Text("u"),
        Value::Int(8),
    ];
    let delete = [Value::Struct(&before), Value::Null, Value::Struct(&source), Value::Text("d"), Value::Null];
    let headers = [Header { name: "h", value: HeaderValue::Text("x") }];
    let datum = |schema, value| Some(Datum { schema, value });
    let plain = Record {
        topic: "p.s.t",
        partition: None,
        key: datum(&key, Value::Struct(&id)),
        value: None,
        headers: &headers,
        timestamp_ms: Some(9),
    };
    run(&[
        Record { value: datum(&envelope, Value::Struct(&update)), ..plain },
        Record { value: datum(&envelope, Value::Struct(&delete)), ..plain },
        plain,
        Record { value: datum(&row, Value::Struct(&after)), ..plain },
        Record { key: None, value: datum(&text, Value::Text("x")), ..plain },
    ]);
}
