//! The log as another process reads it, whether or not an agent goes on writing meanwhile.

use super::age::Age;
use super::catalogue::{Catalogue, Partition};
use super::damage::Damage;
use super::{read, trim};
use crate::config::db::OnDamage;
use crate::db::OrDb;
use crate::model::batch::Batch;
use rusqlite::Connection;
use shared::Result;
use shared::time::Clock;
use std::sync::Arc;

/// Topics and partitions as they were when it was opened.
pub struct Beside {
    reader: Connection,
    catalogue: Catalogue,
    damage: Damage,
    age: Age,
}

impl Beside {
    pub fn open(reader: Connection, clock: Clock) -> Result<Beside> {
        let (catalogue, age) = (Catalogue::load(&reader)?, Age::load(&reader, clock)?);
        Ok(Beside { reader, catalogue, damage: Damage::new(OnDamage::Stop), age })
    }

    pub fn reader(&self) -> &Connection {
        &self.reader
    }

    /// The partitions of a topic; none if there is no such topic.
    pub fn partitions(&self, topic: &str) -> Vec<Arc<Partition>> {
        self.catalogue.by_name(topic).map(|topic| topic.partitions.clone()).unwrap_or_default()
    }

    /// As [`super::Log::read`].
    pub fn read(&self, partition: &Partition, from_offset: i64, max_bytes: usize) -> Result<Vec<Batch>> {
        read::batches(&self.reader, &self.damage, partition, from_offset, max_bytes)
    }

    /// The first offset that is kept now.
    pub fn start(&self, partition: &Partition) -> Result<i64> {
        self.reader
            .prepare_cached("SELECT log_start FROM topic_partition WHERE id = ?")
            .and_then(|mut statement| statement.query_row([partition.id.0], |row| row.get(0)))
            .or_db("read where the log begins")
    }

    /// As [`super::Log::trimmed_ms`].
    pub fn trimmed_ms(&self, partition: &Partition) -> Result<i64> {
        match trim::trimmed_ms(&self.reader, partition)? {
            0 => Ok(0),
            log_ms => Ok(self.age.to_wall_ms(log_ms)),
        }
    }
}
