//! What must hold at the end of a run, whatever happened in it.

use super::record::{Record, topic, wanted};
use super::world::World;
use connector::model::position::Lsn;
use std::collections::{BTreeMap, BTreeSet};

impl World {
    /// All is read, and the connector has stopped.
    pub fn check_end(&self, exactly_once: bool) {
        for table in 0..self.database.tables.len() {
            let topic = topic(&self.database, table);
            let records: Vec<&Record> =
                self.broker.read(&topic).filter_map(|stored| stored.record.as_ref()).collect();
            self.check_sum(table, &records);
            self.check_each(table, &records, exactly_once);
            check_order(&records, exactly_once);
            self.check_asked(table, &records, exactly_once);
        }
    }

    /// Snapshot rows plus changes add up to the table; and each row was there whole once, since an update
    /// may be without the values that it left as they were. (Not if all rows are read beside the stream: a row
    /// that is updated meanwhile is not read.)
    fn check_sum(&self, table: usize, records: &[&Record]) {
        let (mut content, mut whole) = (BTreeMap::new(), BTreeSet::new());
        for record in records {
            match record.value {
                Some(value) => content.insert(record.key, value),
                None => content.remove(&record.key),
            };
            match record.op.as_str() {
                "r" | "c" => drop(whole.insert(record.key)),
                "d" => drop(whole.remove(&record.key)),
                _ => {}
            }
        }
        assert_eq!(content, self.database.content(table), "the topic adds up to another table");
        assert!(
            self.asked.fills || content.keys().all(|key| whole.contains(key)),
            "a row was never whole: {content:?} {whole:?}"
        );
    }

    /// Each change comes, unless a snapshot has it; exactly once, once.
    fn check_each(&self, table: usize, records: &[&Record], exactly_once: bool) {
        let mut count: BTreeMap<&Record, u32> = BTreeMap::new();
        for record in records.iter().filter(|record| record.op != "r") {
            *count.entry(record).or_default() += 1;
        }
        let entries = self.database.log.iter().filter(|commit| commit.end > self.database.slot_made_at);
        for entry in entries.flat_map(|commit| &commit.changes).filter(|entry| entry.table == table) {
            for record in wanted(&self.database, entry) {
                let times = count.remove(&record).unwrap_or(0);
                let hidden = self.broker.hidden.contains(&entry.lsn);
                assert!(times > 0 || hidden, "{record:?} is lost");
                assert!(times <= 1 || !exactly_once, "{record:?} comes {times} times");
            }
        }
        assert!(count.is_empty(), "nobody made these changes: {count:?}");
    }
}

/// A key's changes come in the order of the log; at least once, what comes again was there before.
fn check_order(records: &[&Record], exactly_once: bool) {
    let mut newest: BTreeMap<i64, Lsn> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for record in records.iter().filter(|record| record.op != "r") {
        let again = !seen.insert(*record);
        let last = newest.entry(record.key).or_default();
        let in_order = record.lsn > *last || again && !exactly_once;
        assert!(in_order, "{record:?} comes after a change of its key at {last}");
        *last = record.lsn.max(*last);
    }
}
