//! What every store goes through.

use crate::edge::{Edge, Features, newest};
use fastrand::Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const USERS: i64 = 60;
/// The target's name in the agents' files.
pub const NAME: &str = "central";
const CHANGES: usize = 400;
/// What changes while the store is away.
const MANY: usize = 4_000;

/// A store as the story needs it.
pub trait Store {
    /// Takes it away from one agent (0 or 1).
    fn cut(&mut self, agent: usize);
    /// Gives it back.
    fn mend(&mut self, agent: usize);
    /// What it has, by user; `None` as a feature is null.
    fn read(&mut self, users: &[i64]) -> BTreeMap<i64, Features>;
    /// Ends it and starts it again on the same data, if it has such.
    fn restart(&mut self) {}
    /// Whether an older value may stay if two agents write an entity at the same moment.
    fn has_gap(&self) -> bool {
        false
    }
    /// What it has to have, if an agent answers this; `None`: nothing.
    fn wanted(&self, answer: &Features) -> Option<Features> {
        Some(answer.clone())
    }
}

/// Two agents with the same entities and one store; in the end it gives the newest of each.
pub fn run(store: &mut dyn Store, one: &mut Edge, two: &mut Edge) {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    println!("SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let users: Vec<i64> = (1..=USERS).collect();

    // Both at once, one of them killed on its way, the store too.
    one.change(&mut rng, 1..USERS + 1, CHANGES);
    two.change(&mut rng, 1..USERS + 1, CHANGES);
    one.restart();
    store.restart();
    one.change(&mut rng, 1..USERS + 1, CHANGES);
    both_settled(one, two);
    if store.has_gap() {
        // Whichever came last, the next value is newer than both.
        users.iter().for_each(|user| one.change(&mut rng, *user..*user + 1, 1));
        one.settled(NAME);
    }
    equal(store, &[one, two], &users, "after kills");

    // Older values that arrive later, and the other way round.
    let (low, high) = (1..USERS / 2, USERS / 2..USERS + 1);
    two.change(&mut rng, high.clone(), CHANGES / 4);
    two.settled(NAME);
    store.cut(0);
    one.change(&mut rng, low.clone(), CHANGES / 4);
    one.change(&mut rng, high, CHANGES / 4);
    one.computed();
    std::thread::sleep(Duration::from_millis(20));
    two.change(&mut rng, low, CHANGES / 4);
    two.settled(NAME);
    assert!(one.target(NAME)["waiting"].as_i64() > Some(0), "{}", one.target(NAME));
    store.mend(0);
    both_settled(one, two);
    equal(store, &[one, two], &users, "after older values came later");

    // Away for long: the queue holds one row per entity, and what comes is the newest.
    store.cut(0);
    one.change(&mut rng, 1..USERS + 1, MANY);
    one.computed();
    let waiting = one.target(NAME);
    assert!(waiting["waiting"].as_i64() <= Some(2 * USERS), "{waiting}");
    one.restart();
    let start = Instant::now();
    store.mend(0);
    both_settled(one, two);
    println!("caught up after {:?}", start.elapsed());
    equal(store, &[one, two], &users, "after it was away");
    for edge in [one, two] {
        assert_eq!(edge.target(NAME)["refused"], 0);
        assert_eq!(edge.program.stop().expect("the agent stops"), 0);
    }
}

fn both_settled(one: &Edge, two: &Edge) {
    one.settled(NAME);
    two.settled(NAME);
}

/// Compares what the store has with the newest of the agents' own answers.
pub fn equal(store: &mut dyn Store, edges: &[&Edge], users: &[i64], when: &str) {
    let wanted = newest(edges, users);
    let found = store.read(users);
    let mut different = Vec::new();
    for (user, answer) in &wanted {
        let Some(wanted) = store.wanted(answer) else {
            if found.contains_key(user) {
                different.push(format!("user {user}: the store has one too many"));
            }
            continue;
        };
        let found = found.get(user).cloned().unwrap_or_default();
        for (name, value) in wanted {
            let theirs = found.get(&name).cloned().unwrap_or_default();
            if theirs != value {
                different.push(format!("user {user} {name}: the store has {theirs}, the agent {value}"));
            }
        }
    }
    assert!(different.is_empty(), "{when}: {} differ\n{}", different.len(), different.join("\n"));
    assert!(wanted.len() > users.len() / 2, "{when}: only {} users are known", wanted.len());
    println!("{when}: {} users equal", wanted.len());
}
