//! Batches whose bytes are no longer what was stored: found by whoever reads them, said once each,
//! told to the reader of their partition, and moved aside if the operator wants that.

use super::catalogue::Partition;
use super::tail::{SharedTail, lock};
use super::trim;
use crate::config::db::OnDamage;
use crate::db::{Db, OrDb};
use crate::metrics;
use crate::model::batch::PartitionId;
use rusqlite::{OptionalExtension, Transaction, params};
use shared::error::Context;
use shared::kafka::batch;
use shared::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// More are not listed; they are found again when those are gone.
const LISTED: usize = 1_000;

/// A batch that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    pub topic: Arc<str>,
    pub index: i32,
    pub offset: i64,
    pub why: &'static str,
    /// It could not be moved aside either.
    pub stuck: bool,
}

/// Those found and still in the log.
pub(super) struct Damage {
    policy: OnDamage,
    found: Mutex<BTreeMap<(PartitionId, i64), Damaged>>,
}

/// What is wrong with a stored batch, if anything.
pub(super) fn flaw(base_offset: i64, last_offset: i64, records: &[u8]) -> Option<&'static str> {
    let first = records.first_chunk().copied().map(i64::from_be_bytes);
    match batch::intact_last_delta(records) {
        None => Some("its checksum does not fit"),
        Some(_) if first != Some(base_offset) => Some("it stands at another place than it says"),
        Some(delta) if base_offset.checked_add(i64::from(delta)) != Some(last_offset) => {
            Some("its last offset does not fit")
        }
        Some(_) => None,
    }
}

/// SQLite cannot read the pages.
pub(super) const PAGES: &str = "its pages in the file are damaged";

impl Damage {
    pub fn new(policy: OnDamage) -> Damage {
        Damage { policy, found: Mutex::default() }
    }

    fn found(&self) -> MutexGuard<'_, BTreeMap<(PartitionId, i64), Damaged>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn list(&self) -> Vec<Damaged> {
        self.found().values().cloned().collect()
    }

    /// Notes a batch, says so if it is new, and gives the error for the reader.
    pub fn note(&self, partition: &Partition, offset: i64, why: &'static str) -> Error {
        let error = self.error(partition, offset, why);
        let mut found = self.found();
        let key = (partition.id, offset);
        if found.len() < LISTED && !found.contains_key(&key) {
            tracing::error!(event = "buffer_batch_damaged", %error, remedy = error.hint(), "a batch is damaged");
            let (topic, index) = (Arc::clone(&partition.topic), partition.index);
            found.insert(key, Damaged { topic, index, offset, why, stuck: false });
            metrics::BUFFER_DAMAGED.set(i64::try_from(found.len()).unwrap_or(i64::MAX));
        }
        error
    }

    fn error(&self, partition: &Partition, offset: i64, why: &'static str) -> Error {
        let place = format!("topic {}, partition {}, offset {offset}", partition.topic, partition.index);
        let what = format!("the batch at {place} is damaged: {why}");
        let error = Error::new(Kind::Data, what);
        match self.policy {
            OnDamage::Stop => error.remedy(
                "readers wait here; db.on_damage = \"set_aside\" moves the batch aside and goes on behind it",
            ),
            OnDamage::SetAside => {
                error.remedy("it is moved aside (table buffer_damaged), reading goes on behind it")
            }
        }
    }

    fn forget(&self, key: (PartitionId, i64)) {
        let mut found = self.found();
        found.remove(&key);
        metrics::BUFFER_DAMAGED.set(i64::try_from(found.len()).unwrap_or(i64::MAX));
    }

    /// Its topic was deleted.
    pub fn forget_partition(&self, id: PartitionId) {
        let mut found = self.found();
        found.retain(|(partition, _), _| *partition != id);
        metrics::BUFFER_DAMAGED.set(i64::try_from(found.len()).unwrap_or(i64::MAX));
    }

    fn stuck(&self, key: (PartitionId, i64)) {
        if let Some(damaged) = self.found().get_mut(&key) {
            damaged.stuck = true;
        }
    }

    /// Moves what was found aside, if the operator wants that; says how many. Blocks.
    pub fn set_aside(
        &self,
        db: &Db,
        tail: &SharedTail,
        partition: impl Fn(PartitionId) -> Option<Arc<Partition>>,
    ) -> Result<usize> {
        if self.policy == OnDamage::Stop {
            return Ok(0);
        }
        let waiting: Vec<_> = self.found().iter().map(|(key, found)| (*key, found.clone())).collect();
        let mut moved = 0;
        for ((id, offset), damaged) in waiting.into_iter().filter(|(_, damaged)| !damaged.stuck) {
            let Some(partition) = partition(id) else { continue };
            match move_one(db, &partition, offset, damaged.why) {
                Ok(aside) => {
                    lock(tail).set_aside(&partition, aside.bytes);
                    self.forget((id, offset));
                    tell(&partition, offset, &aside);
                    moved += 1;
                }
                Err(error) if error.kind() == Kind::Lost => {
                    self.stuck((id, offset));
                    tracing::error!(
                        event = "buffer_batch_stuck", %error, topic = &*partition.topic, offset,
                        remedy = "stop the agent and run `tidegate-agent recover`",
                        "a damaged batch could not be moved aside"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Ok(moved)
    }
}

struct Aside {
    bytes: u64,
    last_offset: i64,
}

fn tell(partition: &Partition, offset: i64, aside: &Aside) {
    metrics::BUFFER_SET_ASIDE.inc();
    tracing::error!(
        event = "buffer_batch_set_aside",
        topic = &*partition.topic,
        partition = partition.index,
        offset,
        last_offset = aside.last_offset,
        bytes = aside.bytes,
        remedy = "these records are missing for readers; table buffer_damaged has what is left of them",
        "a damaged batch was moved aside"
    );
}

fn move_one(db: &Db, partition: &Arc<Partition>, offset: i64, why: &'static str) -> Result<Aside> {
    let target = Arc::clone(partition);
    db.write(move |transaction| take_out(transaction, &target, offset, why))
        .doing(|| format!("move aside a batch of topic {}", partition.topic))
}

fn take_out(transaction: &Transaction<'_>, partition: &Partition, offset: i64, why: &str) -> Result<Aside> {
    const DOING: &str = "move a batch aside";
    // The note first: after it the last offset is known without the batch.
    trim::note(transaction, partition)?;
    let place = partition.place(offset);
    let aside: Option<(i64, i64)> = transaction
        .query_row("SELECT bytes, last_offset FROM log_batch WHERE place = ?", [place], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()
        .or_db(DOING)?;
    // Trimmed meanwhile, or its row cannot be found: nothing to move.
    let Some((bytes, last_offset)) = aside else { return Ok(Aside { bytes: 0, last_offset: offset }) };
    transaction
        .execute(
            "INSERT OR REPLACE INTO buffer_damaged (place, last_offset, why, bytes, records)
             SELECT place, last_offset, ?2, bytes, records FROM log_batch WHERE place = ?1",
            params![place, why],
        )
        .and_then(|_| transaction.execute("DELETE FROM log_batch WHERE place = ?", [place]))
        .and_then(|_| {
            let text = "UPDATE topic_partition SET bytes = max(bytes - ?2, 0) WHERE id = ?1";
            transaction.execute(text, params![partition.id.0, bytes])
        })
        .or_db(DOING)?;
    Ok(Aside { bytes: u64::try_from(bytes).unwrap_or(0), last_offset })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::batch::tests::sample;
    use shared::kafka::batch::patch;

    #[test]
    fn flaws() {
        type Change = fn(&mut Vec<u8>);
        let cases: &[(&str, Change, bool)] = &[
            ("as stored", |_| {}, false),
            ("a bit of a record", |b| b[70] ^= 1, true),
            ("a bit of the checksum", |b| b[18] ^= 1, true),
            ("cut", |b| b.truncate(80), true),
            ("empty", |b| b.clear(), true),
            ("another place", |b| patch(b, 8, 0), true),
            ("another magic", |b| b[16] = 1, true),
        ];
        for (name, change, want) in cases {
            let mut records = sample(None, 3, 40);
            patch(&mut records, 7, 0);
            change(&mut records);
            assert_eq!(flaw(7, 9, &records).is_some(), *want, "{name}");
        }
        let mut records = sample(None, 3, 40);
        patch(&mut records, 7, 0);
        assert!(flaw(7, 10, &records).is_some(), "a last offset that was changed");
    }
}
