//! `[buffer]`: how much the log may hold, and what topics look like that producers create.

use serde::Deserialize;
use shared::{Error, Kind, Result};
use std::time::Duration;

/// Days of an ordinary shop's changes, on a disk that an edge machine has.
const DEFAULT_MAX_BYTES: u64 = 8 * 1024 * 1024 * 1024;
/// Enough for write-ahead log, trims and forwarding positions when the log may not grow any more.
const DEFAULT_RESERVE_FREE_BYTES: u64 = 256 * 1024 * 1024;
/// One node, one file: more partitions do not make it faster.
const DEFAULT_PARTITIONS: u32 = 1;
/// Each topic costs memory and a place in every commit; a mistyped producer must not fill the file.
const DEFAULT_MAX_TOPICS: u32 = 1_000;
/// Around 200 bytes each.
const DEFAULT_MAX_PRODUCERS: u32 = 10_000;
/// As Kafka's own `producer.id.expiration` leans: longer than any client retries.
const DEFAULT_PRODUCER_RETENTION: Duration = Duration::from_secs(7 * 86_400);

/// A day: enough to read back what went wrong, and to build a changed view with an ordinary window.
const DEFAULT_KEEP: Duration = Duration::from_secs(86_400);

/// As Kafka's own `transaction.max.timeout.ms`.
const DEFAULT_TRANSACTION_MAX_TIMEOUT: Duration = Duration::from_secs(900);
/// Each producer of an edge machine has one; a program that invents a new one at each start must not
/// fill the file.
const DEFAULT_MAX_TRANSACTIONAL_IDS: u32 = 1_000;
/// As Kafka's own `transactional.id.expiration.ms`.
const DEFAULT_TRANSACTIONAL_ID_RETENTION: Duration = Duration::from_secs(7 * 86_400);
/// What goes when there is no room for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Nothing before its time: producers are told to try again, up to the database.
    Refuse,
    /// What is processed, oldest first; for the rest producers are told to try again.
    DropOldestProcessed,
    /// After that also what is not processed, oldest first: for topics of little worth.
    DropOldest,
}

/// Which topics a client may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeleteTopics {
    Never,
    /// Those of which everything is processed and at the centre, as far as either is to be.
    Settled,
    /// Any but those that `[consume]` brings; what was still needed is counted as dropped.
    Always,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BufferConfig {
    /// Bytes of record batches kept; at this size producers are refused with a retriable error.
    pub max_bytes: u64,
    /// How long batches are kept once they are processed, to be read back and to build changed views
    /// from; 0 drops them at once. When the log is nearly full the processed ones go earlier. Topics
    /// that no view or gate reads are kept this long, whatever else.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub keep: Duration,
    /// What goes when the log or the disk is (nearly) full; a `[[topic]]` may say otherwise.
    pub when_full: WhenFull,
    /// Producers are refused as well when the disk has less than this left; 0 does not look.
    pub reserve_free_bytes: u64,
    /// Whether a producer or consumer that names an unknown topic creates it.
    pub auto_create_topics: bool,
    /// Partitions of a topic created that way.
    pub partitions: u32,
    /// Which topics a client may delete.
    pub delete_topics: DeleteTopics,
    pub max_topics: u32,
    /// Idempotent producers remembered, per partition they write to.
    pub max_producers: u32,
    /// How long a silent idempotent producer is remembered.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub producer_retention: Duration,
    /// The longest time limit that a producer may ask for its transactions; open ones take room.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub transaction_max_timeout: Duration,
    /// Transactional ids remembered; then those silent longest are forgotten.
    pub max_transactional_ids: u32,
    /// How long a transactional id that is not used is remembered.
    #[serde(deserialize_with = "shared::time::duration::deserialize")]
    pub transactional_id_retention: Duration,
}

impl Default for BufferConfig {
    fn default() -> Self {
        BufferConfig {
            max_bytes: DEFAULT_MAX_BYTES,
            keep: DEFAULT_KEEP,
            // Kept for convenience only: blocking the source for it would turn that around.
            when_full: WhenFull::DropOldestProcessed,
            reserve_free_bytes: DEFAULT_RESERVE_FREE_BYTES,
            auto_create_topics: true,
            partitions: DEFAULT_PARTITIONS,
            // A slip of the hand must not cost what waits for the link to come back.
            delete_topics: DeleteTopics::Settled,
            max_topics: DEFAULT_MAX_TOPICS,
            max_producers: DEFAULT_MAX_PRODUCERS,
            producer_retention: DEFAULT_PRODUCER_RETENTION,
            transaction_max_timeout: DEFAULT_TRANSACTION_MAX_TIMEOUT,
            max_transactional_ids: DEFAULT_MAX_TRANSACTIONAL_IDS,
            transactional_id_retention: DEFAULT_TRANSACTIONAL_ID_RETENTION,
        }
    }
}

impl BufferConfig {
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &'static str| Err(Error::new(Kind::Config, what));
        if self.max_bytes < 1024 * 1024 {
            return wrong("buffer.max_bytes must be at least 1 MiB (1048576)");
        }
        if !(1..=1_024).contains(&self.partitions) {
            return wrong("buffer.partitions must be from 1 to 1024");
        }
        if !(1..=100_000).contains(&self.max_topics) {
            return wrong("buffer.max_topics must be from 1 to 100000");
        }
        if self.max_producers == 0 {
            return wrong("buffer.max_producers must be at least 1");
        }
        if self.max_transactional_ids == 0 {
            return wrong("buffer.max_transactional_ids must be at least 1");
        }
        if self.transaction_max_timeout.is_zero()
            || self.transaction_max_timeout > Duration::from_secs(86_400)
        {
            return wrong("buffer.transaction_max_timeout must be above zero and at most 24h");
        }
        Ok(())
    }
}
