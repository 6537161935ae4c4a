//! One partition's next batches → rows with their verdicts, and what was refused.

use crate::config::gate::GateConfig;
use crate::decode::{self, Decoded, Decoder, Schemas};
use crate::feature::View;
use crate::gate::quarantine::Refused;
use crate::gate::{self, Rules};
use crate::metrics;
use crate::model::batch::{Batch, PartitionId};
use crate::model::row::Row;
use crate::model::verdict::{Reason, Verdict};
use shared::error::Result;

/// A topic that gates or features read.
pub struct Topic {
    pub name: String,
    decoder: Decoder,
    rules: Rules,
    unpacked_bytes: usize,
}

/// What one partition has for a transaction.
pub struct Work {
    pub topic: String,
    pub partition: PartitionId,
    pub rows: Vec<Row>,
    pub refused: Vec<Refused>,
    pub next_offset: i64,
    batches: Vec<Batch>,
    unpacked_bytes: usize,
}

/// What a partition has for a transaction, as it was read.
pub struct Part {
    pub work: Work,
    /// There is more behind it.
    pub goes_on: bool,
    /// What it has is taken in the order of commits together with other topics' rows.
    pub in_order: bool,
}

/// Cuts off what was committed later than something that was not read yet, where the order counts. The
/// partition that is the furthest behind is taken whole, so that there is progress.
pub fn in_order(parts: Vec<Part>) -> Vec<Work> {
    let known = |part: &Part| part.work.rows.iter().map(|row| row.committed_us).max().unwrap_or(i64::MIN);
    let limits = parts.iter().filter(|part| part.in_order && part.goes_on).map(known);
    let horizon_us = limits.min().unwrap_or(i64::MAX);
    let cut = |part: Part| match part.in_order && known(&part) > horizon_us {
        true => part.work.before(horizon_us),
        false => part.work,
    };
    parts.into_iter().map(cut).collect()
}

/// The topics that views and gates name, each with every column they need of it; first those that are looked
/// up, so that rows which refer to them find what they refer to.
pub fn topics(views: &[View], gates: &[GateConfig], unpacked_bytes: usize) -> Vec<Topic> {
    let mut names: Vec<&str> = views.iter().flat_map(View::topics).collect();
    names.extend(gates.iter().map(|gate| gate.topic.as_str()));
    names.sort_unstable();
    names.dedup();
    let looked_up = |name: &str| views.iter().flat_map(|view| &view.lookups).any(|one| one.topic == name);
    names.sort_by_key(|name| !looked_up(name));
    let topic = |name: &str| {
        let of_views = views.iter().flat_map(|view| view.needed(name));
        let mut columns: Vec<String> = of_views.chain(gate::needed(gates, name)).map(str::to_owned).collect();
        columns.sort_unstable();
        columns.dedup();
        let rules = Rules::compile(gates, name, &columns);
        Topic { name: name.to_owned(), decoder: Decoder::new(columns, unpacked_bytes), rules, unpacked_bytes }
    };
    names.into_iter().map(topic).collect()
}

impl Topic {
    pub fn columns(&self) -> &[String] {
        self.decoder.columns()
    }

    /// Decodes and judges the records at or after `from_offset`.
    pub fn judge(
        &mut self,
        batches: Vec<Batch>,
        from_offset: i64,
        schemas: &Schemas<'_>,
    ) -> Result<Option<Work>> {
        let Some(last) = batches.last() else { return Ok(None) };
        let mut work = Work {
            topic: self.name.clone(),
            partition: last.partition,
            rows: Vec::new(),
            refused: Vec::new(),
            next_offset: last.last_offset.saturating_add(1),
            batches: Vec::new(),
            unpacked_bytes: self.unpacked_bytes,
        };
        let rules = &self.rules;
        for batch in &batches {
            self.decoder.decode(batch.base_offset, &batch.records, schemas, |decoded, key, value| {
                metrics::DECODE_RECORDS.inc();
                match decoded {
                    Decoded::Skipped => {}
                    Decoded::Row(row) if row.offset < from_offset => {}
                    Decoded::Refused(refused) if refused.offset < from_offset => {}
                    Decoded::Refused(refused) => work.refuse(refused.offset, refused.reason, key, value),
                    Decoded::Row(row) => match rules.judge(&row) {
                        Verdict::Pass => work.rows.push(row),
                        Verdict::Quarantine(reason) => work.refuse(row.offset, reason, key, value),
                    },
                }
            })?;
        }
        metrics::GATE_PASSED.inc_by(work.rows.len() as u64);
        work.batches = batches;
        Ok(Some(work))
    }
}

impl Work {
    /// Without what is at or behind an offset.
    pub fn until(mut self, end_offset: i64) -> Work {
        self.rows.truncate(self.rows.partition_point(|row| row.offset < end_offset));
        self.refused.retain(|refused| refused.offset < end_offset);
        self.next_offset = self.next_offset.min(end_offset);
        self
    }

    /// Without the first row that was known at this time or later, and what is behind it.
    fn before(self, horizon_us: i64) -> Work {
        let first = self.rows.iter().find(|row| row.committed_us >= horizon_us).map(|row| row.offset);
        match first {
            Some(offset) => self.until(offset),
            None => self,
        }
    }

    fn refuse(&mut self, offset: i64, reason: Reason, key: Option<&[u8]>, value: Option<&[u8]>) {
        let key = key.map(<[u8]>::to_vec);
        let value = value.map(<[u8]>::to_vec);
        let (topic, partition) = (self.topic.clone(), self.partition);
        self.refused.push(Refused { topic, partition, offset, reason, key, value });
    }

    /// A row that a view could not take, with the record's bytes, which are read once more: this is rare.
    pub fn refused_later(&self, offset: i64, reason: Reason) -> Refused {
        let batch = self.batches.iter().find(|b| (b.base_offset..=b.last_offset).contains(&offset));
        let found = batch.and_then(|b| decode::find(b.base_offset, &b.records, offset, self.unpacked_bytes));
        let (key, value) = found.unwrap_or_default();
        Refused { topic: self.topic.clone(), partition: self.partition, offset, reason, key, value }
    }
}
