//! Where the bringing to the centre stands, for the status page and for the log's retention.

use super::choice::Choice;
use super::cursor::Noted;
use crate::buffer;
use crate::model::batch::PartitionId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

#[derive(Clone, Debug, Default)]
pub struct State {
    pub connected: bool,
    /// Whether the schedule lets it send.
    pub open: bool,
    /// Records and bytes of keys and values durable at the centre, since the start.
    pub records: u64,
    pub bytes: u64,
    /// The log's average, to estimate what is still to go.
    pub bytes_per_record: f64,
    /// Records a second, over the last seconds.
    pub rate: f64,
    /// Until all is there at this rate, with what comes in meanwhile; `None`: not in sight.
    pub seconds_to_go: Option<u64>,
    /// Why nothing is sent, if so.
    pub error: Option<String>,
    /// What helps against that.
    pub remedy: Option<String>,
    /// It does not go on before a person has acted and the agent was restarted.
    pub ended: bool,
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Debug)]
pub struct Partition {
    pub local: Arc<buffer::Partition>,
    /// Everything before it is at the centre.
    pub next_offset: i64,
    /// Why this one is not sent.
    pub error: Option<String>,
}

impl State {
    /// Records in the log that are not at the centre yet, at this moment.
    pub fn records_to_go(&self) -> u64 {
        self.partitions.iter().map(|place| to_go(&place.local, place.next_offset)).sum()
    }
}

/// Records of a partition from an offset on, without those that were removed.
pub(super) fn to_go(local: &buffer::Partition, next_offset: i64) -> u64 {
    let from = next_offset.max(local.start());
    u64::try_from(local.end().saturating_sub(from)).unwrap_or(0)
}

/// The sender's hand for others.
pub type Watch = crate::model::watch::Watch<State>;

/// What of the log must stay because it is not at the centre yet.
#[derive(Clone, Debug)]
pub struct Kept {
    choice: Choice,
    below: Arc<Mutex<HashMap<PartitionId, i64>>>,
}

impl Kept {
    pub(super) fn new(choice: Choice, noted: &HashMap<PartitionId, Noted>) -> Kept {
        let kept = Kept { choice, below: Arc::default() };
        kept.replace(noted);
        kept
    }

    /// Everything below is at the centre, and noted so; `None` if the topic is not brought there.
    pub fn below(&self, topic: &str, partition: PartitionId) -> Option<i64> {
        let below = || self.below.lock().unwrap_or_else(PoisonError::into_inner).get(&partition).copied();
        self.choice.takes(topic).then(|| below().unwrap_or(0))
    }

    pub(super) fn replace(&self, noted: &HashMap<PartitionId, Noted>) {
        let below = noted.iter().map(|(partition, noted)| (*partition, noted.next_offset));
        *self.below.lock().unwrap_or_else(PoisonError::into_inner) = below.collect();
    }

    pub(super) fn set(&self, noted: &[(PartitionId, Noted)]) {
        let below = noted.iter().map(|(partition, noted)| (*partition, noted.next_offset));
        self.below.lock().unwrap_or_else(PoisonError::into_inner).extend(below);
    }
}

/// Rates over the last seconds, and what follows from them. Pure.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    at_seconds: f64,
    sent: u64,
    end: u64,
    /// Records a second.
    pub sending: f64,
    arriving: f64,
    begun: bool,
}

/// How much the last second counts.
const WEIGHT: f64 = 0.3;

impl Rates {
    /// So many records were sent, and so many have ever come, at this time.
    pub fn measure(&mut self, at_seconds: f64, sent: u64, end: u64) {
        let passed = at_seconds - self.at_seconds;
        if self.begun && passed < 0.2 {
            return;
        }
        if self.begun {
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / passed;
            self.sending += (rate(sent, self.sent) - self.sending) * WEIGHT;
            self.arriving += (rate(end, self.end) - self.arriving) * WEIGHT;
        }
        (self.at_seconds, self.sent, self.end, self.begun) = (at_seconds, sent, end, true);
    }

    /// `None`: not in sight.
    pub fn seconds_to_go(&self, records: u64) -> Option<u64> {
        let gain = self.sending - self.arriving;
        match records {
            0 => Some(0),
            _ if gain > 1e-3 => Some((records as f64 / gain).ceil() as u64),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_to_catch_up() {
        let mut rates = Rates::default();
        for second in 0..60u64 {
            rates.measure(second as f64, second * 1_000, 500_000 + second * 200);
        }
        assert!((rates.sending - 1_000.0).abs() < 1.0, "{rates:?}");
        let seconds = rates.seconds_to_go(8_000).expect("in sight");
        assert!((9..=11).contains(&seconds), "{seconds}");
        assert_eq!(rates.seconds_to_go(0), Some(0));
        assert_eq!(Rates::default().seconds_to_go(1), None);
    }
}
