//! `db.synchronous = "normal"` and a power cut: what was acknowledged may be lost back to the last checkpoint, in
//! whole commits, and what is left agrees with itself.

use super::check::Model;
use super::client::{Client, Sent};
use super::disk::{Image, unsynced};
use super::process::{PARTITIONS, Process, Settings, TOPIC};
use super::{BEGAN_NS, world};
use crate::seeds::{each, number};
use agent::buffer::Outcome;
use fastrand::Rng;
use shared::time::Clock;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Ends of the log and cursors, by partition: of one moment between two commits.
type State = Vec<(i64, i64)>;

fn state(process: &Process) -> State {
    let one = |partition| {
        let cursor = process.processor.cursors.get(&partition).copied().unwrap_or(0);
        (process.log.end_offset(partition), cursor)
    };
    process.log.partitions(TOPIC).into_iter().map(one).collect()
}

/// Batches that were acknowledged and are gone after the cut.
fn simulate(seed: u64, empty: &Image, runtime: &Runtime) -> i64 {
    let mut rng = Rng::with_seed(seed);
    let clock = Clock::manual(BEGAN_NS);
    let checkpoint_bytes = [65_536, 262_144, 1 << 20][rng.usize(0..3)];
    let settings = Settings { checkpoint_bytes, cache_bytes: 1 << 20, batch_bytes: 65_536, normal: true };
    let mut process = Process::start(empty, settings, &clock, runtime);
    let mut clients: Vec<Client> = (0..2).map(|n| Client::new(n, PARTITIONS, &mut rng)).collect();
    let mut all: Vec<Sent> = Vec::new();
    let mut durable = process.disk.image();
    // From the last checkpoint on; a group's batches are in one commit.
    let mut states = vec![state(&process)];
    for _ in 0..rng.u32(1..60) {
        clock.sleep(Duration::from_micros(rng.u64(1_000..500_000)));
        if rng.u32(0..3) > 0 {
            let (now_us, schemas) = (clock.now().micros(), process.schemas);
            let sent: Vec<usize> = clients
                .iter_mut()
                .flat_map(|client| client.send(&mut all, schemas, now_us, &mut rng))
                .collect();
            let batches: Vec<&Sent> = sent.iter().map(|at| &all[*at]).collect();
            let (outcomes, _) = process.append(&batches, None, runtime);
            let stored = |outcome| matches!(outcome, Ok(Outcome::Stored { .. }));
            assert!(outcomes.into_iter().all(stored));
            clients.iter_mut().for_each(|client| client.waiting.clear());
        } else {
            process.processor.round().expect("processed");
        }
        let now = process.disk.image();
        if !now.same_file(&durable) {
            durable = now;
            states.clear();
        }
        states.push(state(&process));
    }
    let image = unsynced(&durable, &process.disk.image(), &mut rng);
    drop(process);
    let mut process = Process::start(&image, settings, &clock, runtime);
    let found = state(&process);
    assert!(states.contains(&found), "{found:?} was never so since the last checkpoint: {states:?}");
    let reader = process.db.reader().expect("opens");
    let verdict: String =
        reader.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("it is examined");
    assert_eq!(verdict, "ok");
    drop(reader);
    let mut model = Model::default();
    model.check_log(&process, &all, &clients, &[]);
    model.check_features(&process, &all, None);
    // And it goes on.
    while process.processor.round().expect("processed") {}
    process.processor.tick().expect("looked at");
    model.check_log(&process, &all, &clients, &[]);
    model.check_features(&process, &all, Some(clock.now().micros()));
    let last = states.last().expect("there is one");
    last.iter().zip(&found).map(|((end, _), (left, _))| end - left).sum()
}

#[test]
fn a_power_cut_costs_whole_commits_since_the_last_checkpoint_and_no_more() {
    let (runtime, empty) = world();
    let (mut with_loss, mut runs) = (0, 0);
    each("normal", 0..number("SEEDS", 200), |seed| {
        with_loss += u32::from(simulate(seed, &empty, &runtime) > 0);
        runs += 1;
    });
    assert!(runs < 50 || with_loss > runs / 10, "the cuts cut nothing: {with_loss} of {runs}");
}

#[test]
fn one_seed() {
    let (runtime, empty) = world();
    let seed = number("SEED", 0);
    each("normal", seed..=seed, |seed| {
        simulate(seed, &empty, &runtime);
    });
}
