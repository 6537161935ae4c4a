//! Several stores on one outbox.

use super::*;
use crate::model::feature::FeatureRow;
use crate::model::value::Value;

fn stored(entity: u8, value: i64) -> StoredRow {
    let row =
        FeatureRow { view: ViewId(1), entity: vec![entity], values: vec![Value::Int(value)], differs: false };
    StoredRow { row, as_of: AsOf(value) }
}

fn open() -> Connection {
    let mut connection = Connection::open_in_memory().expect("in memory");
    crate::db::migrate(&mut connection).expect("the layout");
    connection
}

fn wanted(names: &[&str]) -> Vec<(String, String)> {
    names.iter().map(|name| ((*name).to_owned(), format!("redis {name}"))).collect()
}

/// What waits for a store: entity and value's time.
fn waits(connection: &Connection, name: &str) -> Vec<(u8, i64)> {
    let after = confirmed(connection, name).expect("known");
    let taken = take(connection, after, 100, 1 << 20).expect("reads");
    taken.iter().map(|waiting| (waiting.entity[0], waiting.as_of.0)).collect()
}

fn all(connection: &Connection) -> i64 {
    connection.query_row("SELECT count(*) FROM sync_outbox", [], |row| row.get(0)).expect("reads")
}

#[test]
fn each_store_goes_on_from_its_own_place_and_gets_only_the_newest() {
    let mut connection = open();
    let tx = connection.transaction().expect("begins");
    assert_eq!(settle(&tx, &wanted(&["a", "b"])).expect("settles"), [0, 1]);
    for (name, identity) in wanted(&["a", "b"]) {
        begin(&tx, &name, &identity).expect("noted");
    }
    put(&tx, &[stored(1, 10), stored(2, 20), stored(1, 11)]).expect("queued");
    assert_eq!(waits(&tx, "a"), [(2, 20), (1, 11)]);
    let taken = take(&tx, confirmed(&tx, "a").expect("known"), 100, 1 << 20).expect("reads");
    put(&tx, &[stored(2, 21)]).expect("queued while a sends");
    confirm(&tx, "a", taken.last().expect("two").sequence).expect("confirmed");
    assert_eq!(waits(&tx, "a"), [(2, 21)], "what came meanwhile is not confirmed");
    assert_eq!(waits(&tx, "b"), [(1, 11), (2, 21)], "b has nothing yet");
    assert_eq!(size(&tx, "b").expect("reads"), (2, Some(AsOf(11))));
    confirm(&tx, "a", 4).expect("confirmed");
    assert_eq!(all(&tx), 2, "b still needs them");
    confirm(&tx, "b", 3).expect("confirmed");
    assert_eq!((all(&tx), waits(&tx, "b")), (1, vec![(2, 21)]));
    confirm(&tx, "b", 4).expect("confirmed");
    assert_eq!(all(&tx), 0);
    // A store that is gone holds nothing up.
    put(&tx, &[stored(3, 30)]).expect("queued");
    assert!(settle(&tx, &wanted(&["a"])).expect("settles").is_empty());
    confirm(&tx, "a", 5).expect("confirmed");
    assert_eq!(all(&tx), 0);
}

#[test]
fn a_new_store_gets_everything_and_the_others_nothing_twice() {
    let mut connection = open();
    let tx = connection.transaction().expect("begins");
    begin(&tx, "a", "redis a").expect("noted");
    put(&tx, &[stored(1, 10), stored(2, 20), stored(3, 30)]).expect("queued");
    confirm(&tx, "a", 2).expect("confirmed");
    assert_eq!(settle(&tx, &wanted(&["a", "b"])).expect("settles"), [1]);
    fill(&tx, &[stored(1, 10), stored(2, 20), stored(3, 30)]).expect("filled");
    begin(&tx, "b", "redis b").expect("noted");
    assert_eq!(waits(&tx, "a"), [(3, 30)]);
    assert_eq!(waits(&tx, "b").len(), 3);
    // Half sent, and a third one comes.
    let first = take(&tx, confirmed(&tx, "b").expect("known"), 1, 1 << 20).expect("reads");
    confirm(&tx, "b", first[0].sequence).expect("confirmed");
    assert_eq!(settle(&tx, &wanted(&["a", "b", "c"])).expect("settles"), [2]);
    fill(&tx, &[stored(1, 10), stored(2, 20), stored(3, 30)]).expect("filled");
    begin(&tx, "c", "redis c").expect("noted");
    assert_eq!((waits(&tx, "a").len(), waits(&tx, "b").len(), waits(&tx, "c").len()), (1, 2, 3));
    // Another store under a known name is a new one.
    let moved = vec![("a".to_owned(), "redis elsewhere".to_owned())];
    assert_eq!(settle(&tx, &moved).expect("settles"), [0]);
    assert!(settle(&tx, &[]).expect("settles").is_empty());
    assert_eq!(all(&tx), 0, "without a store nothing is kept");
}

#[test]
fn a_batch_is_bounded_by_rows_and_bytes() {
    let mut connection = open();
    let tx = connection.transaction().expect("begins");
    begin(&tx, "a", "redis a").expect("noted");
    put(&tx, &(0..10).map(|n| stored(n, i64::from(n))).collect::<Vec<_>>()).expect("queued");
    assert_eq!(take(&tx, -1, 4, 1 << 20).expect("reads").len(), 4);
    let row = take(&tx, -1, 1, 1).expect("one at least");
    let bytes = row[0].packed.len() + row[0].entity.len();
    assert_eq!(take(&tx, -1, 100, 3 * bytes).expect("reads").len(), 3);
}

#[test]
fn what_a_store_refused_is_kept_once_and_comes_back_when_asked() {
    let mut connection = open();
    let tx = connection.transaction().expect("begins");
    begin(&tx, "a", "redis a").expect("noted");
    put(&tx, &[stored(1, 10), stored(2, 20)]).expect("queued");
    let taken = take(&tx, -1, 10, 1 << 20).expect("reads");
    for row in &taken {
        refused::put(&tx, "a", row, "ß".repeat(900).as_str(), 5).expect("kept");
    }
    refused::put(&tx, "a", &taken[1], "too large", 6).expect("kept");
    confirm(&tx, "a", taken[1].sequence).expect("confirmed");
    assert_eq!((refused::count(&tx, "a").expect("reads"), all(&tx)), (2, 0));
    let listed = refused::list(&tx, Some("a"), 1).expect("reads");
    assert_eq!((listed[0].reason.as_str(), listed[0].entity.as_slice()), ("too large", &[2u8][..]));
    assert_eq!(refused::list(&tx, Some("b"), 9).expect("reads"), []);
    // A newer value of 2 is on its way: the old one does not take its place.
    put(&tx, &[stored(2, 21)]).expect("queued");
    assert_eq!(refused::retry(&tx, Some("a")).expect("put back"), 2);
    assert_eq!(waits(&tx, "a"), [(2, 21), (1, 10)]);
    // What another store still waits for lies behind this one's cursor.
    begin(&tx, "away", "redis away").expect("noted");
    let last = take(&tx, confirmed(&tx, "a").expect("known"), 10, 1 << 20).expect("reads");
    confirm(&tx, "a", last[1].sequence).expect("confirmed");
    refused::put(&tx, "a", &last[1], "no", 8).expect("kept");
    assert_eq!(waits(&tx, "a"), []);
    assert_eq!(refused::retry(&tx, Some("a")).expect("put back"), 1);
    assert_eq!(waits(&tx, "a"), [(1, 10)]);
    refused::put(&tx, "a", &taken[0], "again", 7).expect("kept");
    refused::settled(&tx, "a", ViewId(1), &taken[0].entity).expect("settled");
    assert_eq!(refused::count(&tx, "a").expect("reads"), 0);
}
