//! The same rows from files: written as lines of JSON in the order of their commits they give the training set
//! that the log gives, which is what was served.

use super::compare::{self, Tally};
use super::shop::{self, TOPIC};
use super::{TICK_US, World, runtime};
use crate::seeds::{each, number};
use agent::config::file::FilesConfig;
use agent::training::{Files, Rows};
use serde_json::Value as Json;
use std::fmt::Write as _;
use std::path::Path;

/// A record's time has milliseconds: nothing may happen between two. Micros to the next one that is no tick.
pub fn to_millisecond(now_us: i64) -> i64 {
    let next = now_us + 1_000 - now_us.rem_euclid(1_000);
    next - now_us + if next % TICK_US == 0 { 1_000 } else { 0 }
}

fn files(folder: &Path, rows: &[Json]) -> Rows {
    let schema = folder.join("row.avsc");
    std::fs::write(&schema, shop::ROW).expect("written");
    let write = |(at, rows): (usize, &[Json])| {
        let path = folder.join(format!("rows-{at}.jsonl"));
        let mut text = String::new();
        rows.iter().for_each(|row| writeln!(text, "{row}").expect("in memory"));
        std::fs::write(&path, text).expect("written");
        path
    };
    let paths = rows.chunks(rows.len() / 2 + 1).enumerate().map(write).collect();
    let settings = FilesConfig {
        key: vec!["id".to_owned()],
        time: Some("committed".to_owned()),
        schema: Some(schema),
        path: "-".into(),
        ..FilesConfig::for_topic(TOPIC)
    };
    Rows::Files(Files { paths, settings })
}

fn simulate(seed: u64, runtime: &tokio::runtime::Runtime, tally: &mut Tally) {
    let mut world = World::new(seed, runtime);
    world.shop.written = Some(Vec::new());
    world.pass(to_millisecond(world.clock.now().micros()));
    for _ in 0..world.rng.u32(50..150) {
        world.step();
    }
    world.ask();
    world.pass(1_000_000);
    let rows = world.shop.written.take().expect("rows");
    if rows.is_empty() {
        return;
    }
    let folder = world.disk.path().parent().expect("a folder").to_owned();
    let (made, out) = world.train_from(true, false, Some(files(&folder, &rows)));
    let made = made.expect("a training set");
    assert_eq!((made.rows, made.incomplete, made.unordered), (world.served.len() as u64, 0, 0));
    compare::equal(&out, &world.served, tally);
    let left = std::fs::read_dir(&folder).expect("a folder").flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().contains(".rows")).count();
    assert_eq!(left, 0, "the log of the files is gone");

    let turned: Vec<Json> = rows.iter().rev().cloned().collect();
    let sorted = rows.iter().all(|row| row["committed"] == rows[0]["committed"]);
    let (refused, _) = world.train_from(true, false, Some(files(&folder, &turned)));
    match refused {
        Ok(_) => assert!(sorted, "rows out of order are not passed over"),
        Err(error) => assert!(error.to_string().contains("stand behind later ones"), "{error}"),
    }
}

#[test]
fn rows_from_files_give_what_was_served() {
    let (runtime, mut tally) = (runtime(), Tally::default());
    let seeds = number("SEEDS", 15);
    each("training::files", 0..seeds, |seed| simulate(seed, &runtime, &mut tally));
    assert!(seeds < 15 || tally.is_telling(), "{tally:?}");
}

#[test]
fn one_seed() {
    let runtime = runtime();
    let seed = number("SEED", 0);
    each("training::files", seed..=seed, |seed| simulate(seed, &runtime, &mut Tally::default()));
}
