//! What a row costs on its way from the socket's bytes to a message's: nanoseconds and allocations.
//!
//! `cargo dev bench row` prints the nanoseconds, of a release build; that a row costs no allocation is
//! a test.

use crate::config::{Config, parse};
use crate::encode::Encoder;
use crate::event::Events;
use crate::model::change::Event;
use crate::source::postgres::fuzz::Replay;
use axum::routing::post;
use shared::registry::Registry;
use shared::time::Clock;
use std::time::Instant;

/// Rows before the first that is counted: tables are described, plans compiled, buffers grown.
const WARM: u64 = 300;

/// A table, as its columns' types and one row's texts.
struct Sample {
    name: &'static str,
    /// How many are measured at least.
    rows: u64,
    columns: Vec<(String, u32, i32, String)>,
}

fn column(name: &str, oid: u32, modifier: i32, text: &str) -> (String, u32, i32, String) {
    (name.to_owned(), oid, modifier, text.to_owned())
}

/// The table of the backlog's bench, one with 200 columns, and one with a value of a megabyte.
fn samples() -> Vec<Sample> {
    const TEXT: u32 = 25;
    let orders = vec![
        column("k_id", 20, -1, "123456"),
        column("n_customer", 20, -1, "4711"),
        column("n_reference", TEXT, -1, "order-123456"),
        column("n_amount", 1700, (12 << 16 | 2) + 4, "123.45"),
        column("n_quantity", 23, -1, "17"),
        column("weight", 701, -1, "30864.25"),
        column("n_created", 1114, -1, "2026-01-02 10:17:36"),
        column("remark", TEXT, -1, "note 123456"),
        column("channel", TEXT, -1, "web"),
        column("n_paid", 16, -1, "t"),
        column("extra", 114, -1, r#"{"source": "app", "version": 3}"#),
        column("shipped", 1114, -1, "2026-02-01 00:00:00"),
    ];
    let wide = (0..200).map(|at| match at {
        0 => column("k_id", 20, -1, "1"),
        at if at % 2 == 0 => column(&format!("a{at}"), 23, -1, "123456"),
        at => column(&format!("b{at}"), TEXT, -1, "some text of it"),
    });
    let large = vec![column("k_id", 20, -1, "1"), column("body", TEXT, -1, &"x".repeat(1 << 20))];
    vec![
        Sample { name: "12 columns", rows: 500, columns: orders },
        Sample { name: "200 columns", rows: 50, columns: wide.collect() },
        Sample { name: "1 MB", rows: 10, columns: large },
    ]
}

impl Sample {
    /// `w`, three positions, then the message.
    fn frame(message: &[u8]) -> Vec<u8> {
        [b"w\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0".as_slice(), message].concat()
    }

    fn relation(&self) -> Vec<u8> {
        let mut out = b"R\0\0\0\x07public\0sample\0d".to_vec();
        out.extend(u16::try_from(self.columns.len()).expect("few").to_be_bytes());
        for (name, oid, modifier, _) in &self.columns {
            out.push(0);
            out.extend([name.as_bytes(), b"\0"].concat());
            out.extend(oid.to_be_bytes());
            out.extend(modifier.to_be_bytes());
        }
        out
    }

    fn insert(&self) -> Vec<u8> {
        let mut out = b"I\0\0\0\x07N".to_vec();
        out.extend(u16::try_from(self.columns.len()).expect("few").to_be_bytes());
        for (_, _, _, text) in &self.columns {
            out.push(b't');
            out.extend(u32::try_from(text.len()).expect("short").to_be_bytes());
            out.extend(text.as_bytes());
        }
        Sample::frame(&out)
    }
}

/// How far a row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Decode,
    Event,
    Encode,
}

struct World {
    config: Config,
    registry: Registry,
    runtime: tokio::runtime::Runtime,
}

/// A registry that gives every schema the same id: none is looked at here.
fn world() -> World {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let answer = || async { r#"{"id":1}"# };
    let router = axum::Router::new().route("/subjects/{subject}/versions", post(answer));
    runtime.spawn(async move { axum::serve(listener, router).await });
    let text = format!(
        "[source]\ndatabase='d'\nuser='u'\n[event]\ntopic_prefix='p'\n\
         [avro.registry]\nurl=['{url}']\n[sink.kafka]\nbrokers='b:1'\n"
    );
    let config = parse(&text, &[]).expect("valid");
    let registry = Registry::new(config.avro.registry.clone().expect("set")).expect("a client");
    World { config, registry, runtime }
}

/// Nanoseconds and allocations of a row, up to a stage.
fn cost(world: &World, sample: &Sample, stage: Stage, rows: u64) -> (f64, u64) {
    let World { config, registry, runtime } = world;
    let mut replay = Replay::new(&config.source).expect("valid");
    let mut events = Events::new(&config.event, Clock::System).expect("valid");
    let mut encoder =
        Encoder::new(config, Some(registry.clone()), runtime.handle().clone()).expect("an encoder");
    let relation = sample.relation();
    replay.describe(&relation).expect("a table");
    let begin = Sample::frame(b"B\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\x09");
    replay.frame(&begin, &mut |_| Ok(())).expect("a beginning");
    let insert = sample.insert();
    let mut bytes = 0;
    let mut run = |count: u64| {
        for _ in 0..count {
            let mut take = |event: Event<'_>| {
                if stage == Stage::Decode {
                    return Ok(());
                }
                events.records(&event, &mut |record| {
                    if stage == Stage::Encode {
                        bytes += encoder.encode(record, &mut |_| {})?.size();
                    }
                    Ok(())
                })
            };
            replay.frame(&insert, &mut take).expect("a row");
        }
    };
    run(WARM);
    let start = Instant::now();
    let spent = allocation_counter::measure(|| run(rows));
    let nanoseconds = start.elapsed().as_nanos() as f64 / rows as f64;
    assert!(bytes > 0 || stage != Stage::Encode, "nothing was written");
    (nanoseconds, spent.count_total)
}

/// How many times more rows than a test needs are measured, if somebody wants to know the time.
fn patience() -> u64 {
    std::env::var("TIDEGATE_ROW_COST").ok().and_then(|text| text.parse().ok()).unwrap_or(1)
}

/// What it prints is only of worth in a release build.
#[test]
#[expect(clippy::print_stdout, reason = "a measurement's answer")]
fn a_row_costs_no_allocation() {
    let (world, patience) = (world(), patience());
    for sample in samples() {
        for stage in [Stage::Decode, Stage::Event, Stage::Encode] {
            let rows = sample.rows * patience;
            let runs = [(); 3].map(|()| cost(&world, &sample, stage, rows));
            let best = runs.iter().map(|(nanoseconds, _)| *nanoseconds).fold(f64::INFINITY, f64::min);
            let allocations: u64 = runs.iter().map(|(_, allocations)| allocations).sum();
            let (name, stage) = (sample.name, format!("{stage:?}").to_lowercase());
            println!(
                "{name:<12} up to {stage:<7} {best:>10.0} ns/row, {allocations} allocations in {rows} rows"
            );
            assert_eq!(allocations, 0, "{name} to {stage}");
        }
    }
}
