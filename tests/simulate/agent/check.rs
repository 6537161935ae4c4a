//! What must hold at every start and at the end: acknowledged ⊆ stored, stored in order, a batch whole or
//! absent and once, no state without its cursor.

use super::batch::{Change, Row};
use super::client::{Client, Sent};
use super::process::{PARTITIONS, Process, TOPIC};
use super::transactor::{End, Transaction};
use agent::model::value::Value;
use shared::kafka::batch::Head;
use std::collections::{BTreeMap, HashMap};

/// Of the windowed feature.
pub const WINDOW_US: i64 = 30_000_000;
/// What comes from here on is as it was sent; before it stand what the log sets, the checksum and the mark of a
/// transaction.
const AS_SENT: usize = 23;

/// The log as it must be: what was ever found in it, by partition and first offset.
#[derive(Default)]
pub struct Model {
    places: BTreeMap<(i32, i64), usize>,
    /// Per partition, the end that was seen last.
    ends: HashMap<i32, i64>,
}

/// What an owner's features must be: rows, sum, recent rows.
type Features = BTreeMap<i64, (i64, i64, i64)>;

impl Model {
    /// A producer was told so. It may be trimmed before anybody looks at the log.
    pub fn acknowledged(&mut self, at: usize, sent: &mut Sent, offset: i64) {
        let before = self.places.insert((sent.partition, offset), at);
        assert!(before.is_none_or(|before| before == at), "batches {before:?} and {at} at {offset}");
        sent.acknowledged = Some(offset);
    }

    /// Holds the log against what was sent and acknowledged.
    pub fn check_log(
        &mut self,
        process: &Process,
        all: &[Sent],
        clients: &[Client],
        transactions: &[Transaction],
    ) {
        let known: HashMap<&[u8], usize> =
            all.iter().enumerate().map(|(at, sent)| (&sent.bytes[AS_SENT..], at)).collect();
        let reader = process.db.reader().expect("opens");
        for (number, partition) in (0..PARTITIONS).zip(process.log.partitions(TOPIC)) {
            let start = process.log.log_start(partition);
            let cursor = process.processor.cursors.get(&partition).copied().unwrap_or(0);
            assert!(start <= cursor.max(0), "{number}: trimmed to {start}, processed to {cursor}");
            let batches = process.log.read(&reader, partition, start, usize::MAX).expect("reads");
            let mut next = start;
            for batch in &batches {
                assert_eq!(batch.base_offset, next, "{number}: a gap");
                next = batch.last_offset + 1;
                assert!(
                    Head::read(&batch.records).is_ok_and(|head| !head.transactional),
                    "{number}: unsound"
                );
                let at = known.get(&batch.records[AS_SENT..]).copied();
                let at =
                    at.unwrap_or_else(|| panic!("{number}: offset {} was never sent", batch.base_offset));
                let before = self.places.insert((number, batch.base_offset), at);
                assert!(
                    before.is_none_or(|before| before == at),
                    "{number}: another batch at {}",
                    batch.base_offset
                );
            }
            assert_eq!(process.log.end_offset(partition), next, "{number}: the end");
            // What is behind the end was never acknowledged, and its place is free again.
            let gone: Vec<i64> =
                self.places.range((number, next)..(number + 1, 0)).map(|((_, o), _)| *o).collect();
            for offset in gone {
                self.places.remove(&(number, offset));
            }
            self.ends.insert(number, next);
        }
        self.check_sent(all, clients);
        self.check_transactions(transactions);
    }

    /// All or nothing, and what of the two, where that is known.
    fn check_transactions(&self, transactions: &[Transaction]) {
        let stored: HashMap<usize, usize> = self.places.values().fold(HashMap::new(), |mut stored, at| {
            *stored.entry(*at).or_default() += 1;
            stored
        });
        for (number, Transaction { batches, end }) in transactions.iter().enumerate() {
            let counts: Vec<usize> = batches.iter().map(|at| stored.get(at).copied().unwrap_or(0)).collect();
            let (all, none) =
                (counts.iter().all(|count| *count == 1), counts.iter().all(|count| *count == 0));
            let holds = match end {
                End::Known(true) => all,
                End::Open | End::Known(false) | End::Asked(false) => none,
                End::Asked(true) | End::Forgotten => all || none,
            };
            assert!(holds, "transaction {number}, {end:?}: its batches are stored {counts:?} times");
        }
    }

    fn check_sent(&self, all: &[Sent], clients: &[Client]) {
        let mut found: HashMap<usize, Vec<i64>> = HashMap::new();
        for ((_, offset), at) in &self.places {
            found.entry(*at).or_default().push(*offset);
        }
        let mut last: HashMap<usize, i64> = HashMap::new();
        for (at, sent) in all.iter().enumerate() {
            let offsets = found.get(&at).map_or(&[][..], Vec::as_slice);
            if let Some(acknowledged) = sent.acknowledged {
                assert!(offsets.contains(&acknowledged), "batch {at} was acknowledged at {acknowledged}");
            }
            if let Some(client) = sent.client.filter(|client| clients[*client].idempotent) {
                assert!(offsets.len() <= 1, "batch {at} is stored at {offsets:?}");
                if let Some(offset) = offsets.first() {
                    let before = last.insert(client, *offset);
                    assert!(before < Some(*offset), "batch {at} at {offset} is before its predecessor");
                }
            }
        }
    }

    /// Holds the features against the rows below the cursors; `now_us` if windows were looked at then.
    pub fn check_features(&self, process: &Process, all: &[Sent], now_us: Option<i64>) -> Features {
        let mut rows: HashMap<i64, (Row, i64)> = HashMap::new();
        for (number, partition) in (0..PARTITIONS).zip(process.log.partitions(TOPIC)) {
            let cursor = process.processor.cursors.get(&partition).copied().unwrap_or(0);
            for ((_, offset), at) in self.places.range((number, 0)..(number, cursor)) {
                assert!(*offset < cursor);
                for Change { id, row } in &all[*at].changes {
                    match row {
                        Some(row) => rows.insert(*id, (row.clone(), all[*at].committed_us)),
                        None => rows.remove(id),
                    };
                }
            }
        }
        let mut wanted = Features::new();
        for (row, committed_us) in rows.into_values() {
            let owner = wanted.entry(row.owner).or_default();
            owner.0 += 1;
            owner.1 += row.amount;
            owner.2 += i64::from(now_us.is_some_and(|now| committed_us > now - WINDOW_US));
        }
        let mut got = features(process);
        if now_us.is_none() {
            got.values_mut().for_each(|of| of.2 = 0);
        }
        assert_eq!(got, wanted, "the features at {:?}", process.processor.cursors);
        got
    }
}

fn features(process: &Process) -> Features {
    let view = process.processor.engine.shapes().first().expect("one view").id;
    let reader = process.db.reader().expect("opens");
    let transaction = reader.unchecked_transaction().expect("begun");
    let rows = agent::store::all(&transaction, view).expect("reads");
    let rows = rows.into_iter().map(|row| {
        let numbers: Vec<i64> = row.row.values.iter().map(number).collect();
        (numbers[0], (numbers[1], numbers[2], numbers[3]))
    });
    rows.filter(|(_, (count, ..))| *count > 0).collect()
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Null => 0,
        Value::Int(number) => *number,
        // A sum is one; these are small and whole.
        Value::Float(number) => *number as i64,
        other => panic!("{other:?}"),
    }
}
