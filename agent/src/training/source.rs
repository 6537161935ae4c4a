//! The log's rows in the order in which they came to be known: each partition in its own order, the
//! partitions merged by the time of their commits.
//!
//! A row whose commit is older than that of a row before it in its partition was known no earlier than
//! that one: the log's order wins.

use crate::buffer::{Beside, Partition};
use crate::model::row::Row;
use crate::pipeline::work::Topic;
use crate::registry;
use shared::error::{Error, Kind, Result};
use shared::shutdown::Shutdown;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

/// Bytes that are read of a partition at once; all partitions together take no more than so much.
const MOST_BYTES: usize = 1 << 20;
const LEAST_BYTES: usize = 16 << 10;

/// A row, when it was known, and which topic it is of.
pub struct Known {
    pub topic: usize,
    pub at_us: i64,
    pub row: Row,
}

struct Stream {
    topic: usize,
    partition: Arc<Partition>,
    next_offset: i64,
    end_offset: i64,
    rows: VecDeque<(i64, Row)>,
    reached_us: i64,
}

/// All partitions of some topics, up to where they ended when this was opened.
pub struct Source<'l> {
    log: &'l Beside,
    topics: Vec<Topic>,
    streams: Vec<Stream>,
    /// The next row's time of every stream that has one.
    heap: BinaryHeap<Reverse<(i64, usize)>>,
    read_bytes: usize,
    /// Topics that lack records in the midst.
    pub gaps: Vec<String>,
    /// Rows that stand behind later ones of their partition, as far as it was read.
    unordered: u64,
    pub done: u64,
    pub total: u64,
}

impl<'l> Source<'l> {
    /// # Errors
    /// `Config` if the log has no such topic.
    pub fn open(log: &'l Beside, topics: Vec<Topic>) -> Result<Source<'l>> {
        let mut streams = Vec::new();
        for (at, topic) in topics.iter().enumerate() {
            let partitions = log.partitions(&topic.name);
            if partitions.is_empty() {
                return Err(Error::new(Kind::Config, format!("the log has no topic {}", topic.name))
                    .remedy("db.path must be the file of the agent whose features these are"));
            }
            for partition in partitions {
                let (next_offset, end_offset) = (log.start(&partition)?, partition.end());
                let rows = VecDeque::new();
                streams.push(Stream { topic: at, partition, next_offset, end_offset, rows, reached_us: 0 });
            }
        }
        let length = |stream: &Stream| stream.end_offset.saturating_sub(stream.next_offset).unsigned_abs();
        let total = streams.iter().map(length).sum();
        let read_bytes = (16 * MOST_BYTES / streams.len().max(1)).clamp(LEAST_BYTES, MOST_BYTES);
        let (heap, gaps) = (BinaryHeap::new(), Vec::new());
        let mut source =
            Source { log, topics, streams, heap, read_bytes, gaps, unordered: 0, done: 0, total };
        for at in 0..source.streams.len() {
            source.refill(at)?;
        }
        Ok(source)
    }

    /// When the first row of each of a topic's partitions was known, at the latest; before anything is taken.
    pub fn began_us(&self, topic: &str) -> i64 {
        let is_of = |stream: &&Stream| self.topics.get(stream.topic).is_some_and(|known| known.name == topic);
        let first = |stream: &Stream| stream.rows.front().map(|(at_us, _)| *at_us);
        self.streams.iter().filter(is_of).filter_map(first).max().unwrap_or(0)
    }

    /// When the next row was known.
    pub fn next_us(&self) -> Option<i64> {
        self.heap.peek().map(|Reverse((at_us, _))| *at_us)
    }

    pub fn next(&mut self) -> Result<Option<Known>> {
        let Some(Reverse((_, at))) = self.heap.pop() else { return Ok(None) };
        let Some(stream) = self.streams.get_mut(at) else { return Ok(None) };
        let Some((at_us, row)) = stream.rows.pop_front() else { return Ok(None) };
        let topic = stream.topic;
        match stream.rows.front() {
            Some((next_us, _)) => self.heap.push(Reverse((*next_us, at))),
            None => self.refill(at)?,
        }
        Ok(Some(Known { topic, at_us, row }))
    }

    /// How many rows stand behind later ones; reads all that is left.
    pub fn unordered_to_the_end(&mut self, shutdown: &Shutdown) -> Result<u64> {
        while self.next()?.is_some() {
            super::going_on(shutdown)?;
        }
        Ok(self.unordered)
    }

    /// Reads on until there is a row, or the end.
    fn refill(&mut self, at: usize) -> Result<()> {
        let Some(stream) = self.streams.get_mut(at) else { return Ok(()) };
        let Some(topic) = self.topics.get_mut(stream.topic) else { return Ok(()) };
        while stream.rows.is_empty() && stream.next_offset < stream.end_offset {
            let from = stream.next_offset;
            let batches = self.log.read(&stream.partition, from, self.read_bytes)?;
            if self.log.start(&stream.partition)? > from {
                return Err(Error::new(
                    Kind::Lost,
                    format!("topic {}: the log was trimmed meanwhile", topic.name),
                )
                .remedy("try again; raise buffer.keep if it stays"));
            }
            if batches.first().is_none_or(|batch| batch.base_offset > from)
                && !self.gaps.contains(&topic.name)
            {
                self.gaps.push(topic.name.clone());
            }
            let reader = self.log.reader();
            let schemas = |id| registry::whole_schema(reader, id);
            let Some(work) = topic.judge(batches, from, &schemas)? else {
                stream.next_offset = stream.end_offset;
                break;
            };
            let next_offset = work.next_offset;
            for row in work.rows.into_iter().filter(|row| row.offset < stream.end_offset) {
                self.unordered += u64::from(row.committed_us < stream.reached_us);
                stream.reached_us = stream.reached_us.max(row.committed_us);
                stream.rows.push_back((stream.reached_us, row));
            }
            self.done += next_offset.saturating_sub(from).unsigned_abs();
            stream.next_offset = next_offset;
        }
        if let Some((at_us, _)) = stream.rows.front() {
            self.heap.push(Reverse((*at_us, at)));
        }
        Ok(())
    }
}
