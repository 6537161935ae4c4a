//! One central partition: where we are in it, what was read and is not stored yet, whether it waits.

use super::schema_id::Schemas;
use crate::buffer::Partition;
use crate::ingest::batch::{Incoming, Writer};
use rdkafka::message::{BorrowedMessage, Headers, Message as _};
use shared::error::{Error, Result};
use shared::retry::Backoff;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_CEILING: Duration = Duration::from_secs(60);

pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub local: Arc<Partition>,
    /// The next offset to read, as stored; `None`: from the beginning.
    pub next_offset: Option<i64>,
    /// The one after the last record in `writer`.
    after: Option<i64>,
    writer: Writer,
    /// Whether its end was reached, for a reader that goes no further.
    pub at_end: bool,
    /// What it waits for, if it does.
    pub stopped: Option<Stopped>,
    subjects: (String, String),
}

/// A partition that is not read because of an error.
pub struct Stopped {
    pub error: String,
    backoff: Backoff,
    retry_at: Instant,
    /// Read again, to see whether it goes on.
    pub trying: bool,
}

/// A batch ready for the log.
pub struct Packed {
    pub at: usize,
    pub batch: Vec<u8>,
    pub records: u64,
    pub next_offset: i64,
}

impl Place {
    pub fn new(topic: &str, partition: i32, local: Arc<Partition>, next_offset: Option<i64>) -> Place {
        Place {
            topic: topic.to_owned(),
            partition,
            local,
            next_offset,
            after: None,
            writer: Writer::default(),
            at_end: false,
            stopped: None,
            subjects: (format!("{topic}-key"), format!("{topic}-value")),
        }
    }

    pub fn is_read(&self) -> bool {
        self.stopped.as_ref().is_none_or(|stopped| stopped.trying)
    }

    /// Takes a record; gives its bytes. Records that were taken before are passed over.
    pub fn take(
        &mut self,
        message: &BorrowedMessage<'_>,
        schemas: &mut Schemas,
        runtime: &Handle,
    ) -> Result<usize> {
        if !self.is_read() || self.after.or(self.next_offset).is_some_and(|next| message.offset() < next) {
            return Ok(0);
        }
        let (key_subject, value_subject) = &self.subjects;
        let mut translate = |subject, bytes| schemas.translate(subject, bytes, runtime);
        let key = message.key().map(|bytes| translate(key_subject, bytes)).transpose()?;
        let value = message.payload().map(|bytes| translate(value_subject, bytes)).transpose()?;
        let headers = message.headers().map(|headers| headers.iter().map(|h| (h.key, h.value)).collect());
        let incoming = Incoming {
            time_ms: message.timestamp().to_millis().unwrap_or(-1),
            key,
            value,
            headers: headers.unwrap_or_default(),
        };
        let bytes = incoming.bytes();
        self.writer.push(&incoming);
        self.after = Some(message.offset().saturating_add(1));
        Ok(bytes)
    }

    /// What was taken, as a batch.
    pub fn pack(&mut self, at: usize) -> Option<Packed> {
        let next_offset = self.after.take()?;
        let records = u64::from(self.writer.count().unsigned_abs());
        Some(Packed { at, batch: self.writer.finish(), records, next_offset })
    }

    /// The batch up to here is durable.
    pub fn stored(&mut self, next_offset: i64) {
        self.next_offset = Some(next_offset);
        // What was taken before the record that it stopped at says nothing about that record.
        if self.stopped.take_if(|stopped| stopped.trying).is_some() {
            tracing::info!(
                event = "consume_partition_works",
                topic = self.topic,
                partition = self.partition,
                "the partition is read again"
            );
        }
    }

    /// Not to be read for a while, said once per episode.
    pub fn stop(&mut self, error: &Error) {
        let stopped = self.stopped.get_or_insert_with(|| {
            tracing::warn!(
                event = "consume_partition_stopped", topic = self.topic, partition = self.partition,
                offset = self.after.or(self.next_offset), %error, remedy = error.hint(),
                "a central partition is not read any further; it is tried again"
            );
            let backoff = Backoff::new(RETRY_FIRST, RETRY_CEILING);
            Stopped { error: String::new(), backoff, retry_at: Instant::now(), trying: false }
        });
        stopped.error = error.to_string();
        stopped.trying = false;
        stopped.retry_at = Instant::now() + stopped.backoff.delay();
    }

    /// True if it is to be read again from now on.
    pub fn retry(&mut self) -> bool {
        match &mut self.stopped {
            Some(stopped) if !stopped.trying && Instant::now() >= stopped.retry_at => {
                stopped.trying = true;
                true
            }
            _ => false,
        }
    }
}
