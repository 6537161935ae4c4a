//! One local partition: how far it is, and whether it waits.

use super::cursor::Noted;
use super::flight::{Arrived, Mark};
use super::progress::to_go;
use super::schema_id::Role;
use crate::buffer::Partition;
use shared::avro::wire::SchemaId;
use shared::error::Error;
use shared::retry::Backoff;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_CEILING: Duration = Duration::from_secs(60);
/// A topic that was just asked for is there soon.
const RETRY_QUICK: Duration = Duration::from_millis(100);
/// The brokers had this long to make a topic.
const PATIENCE: Duration = Duration::from_secs(15);

pub struct Place {
    pub local: Arc<Partition>,
    /// The lower, the more important.
    pub rank: usize,
    /// Whether keys, and values, have no schema id in front.
    pub plain: (bool, bool),
    /// Everything before it is durable at the centre, and visible there.
    pub done: Mark,
    /// Everything before it was handed over.
    pub sent: Mark,
    /// Pieces between the two.
    pub under_way: usize,
    /// When the last piece arrived, on the monotonic clock.
    last_arrival: Duration,
    /// What the file says of `done`.
    pub noted: Noted,
    /// So far the centre's group was told by a transaction that it acknowledged.
    pub told: i64,
    /// Partitions of the central topic, once we know how far we are there.
    pub central: Option<u32>,
    pub held: Option<Held>,
    ids: HashMap<(Role, SchemaId), SchemaId>,
    last: [Option<(SchemaId, SchemaId)>; 2],
}

/// Why a partition is not sent.
pub struct Held {
    pub error: String,
    backoff: Backoff,
    /// On the monotonic clock, as is the next.
    retry_at: Duration,
    since: Duration,
    /// It goes on when what stands here has arrived.
    until: i64,
    said: bool,
}

/// How much is said of a partition's being held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Warn,
    /// Somebody else says it.
    Silent,
    /// Only if it lasts.
    Patient,
}

impl Held {
    /// Whether a line of the log names it.
    pub fn is_said(&self) -> bool {
        self.said
    }
}

impl Place {
    pub fn new(local: Arc<Partition>, rank: usize, plain: (bool, bool), noted: Noted) -> Place {
        let start = Mark { next_offset: noted.next_offset, checksum: 0 };
        Place {
            local,
            rank,
            plain,
            done: start,
            sent: start,
            under_way: 0,
            last_arrival: Duration::ZERO,
            noted,
            told: noted.told,
            central: None,
            held: None,
            ids: HashMap::new(),
            last: [None; 2],
        }
    }

    pub fn topic(&self) -> &str {
        &self.local.topic
    }

    /// Whether there is something to send, and it may be sent now.
    pub fn wants(&self, now: Duration) -> bool {
        // What was removed from the log, or deleted with its topic, is not waited for.
        self.sent.next_offset.max(self.local.start()) < self.local.end()
            && self.held.as_ref().is_none_or(|held| now >= held.retry_at)
    }

    /// The topic was deleted and made again: it goes on where it ended.
    pub fn revive(&mut self, local: Arc<Partition>) {
        let start = local.start();
        self.local = local;
        for mark in [&mut self.done, &mut self.sent] {
            if mark.next_offset < start {
                *mark = Mark { next_offset: start, checksum: 0 };
            }
        }
        self.held = None;
    }

    /// Whether something was handed over that is not known to be at the centre.
    pub fn has_moved(&self) -> bool {
        self.central.is_some() && self.sent != self.done
    }

    /// What the file should say.
    pub fn to_note(&self) -> Noted {
        Noted { next_offset: self.done.next_offset.max(self.noted.next_offset), told: self.told }
    }

    /// The centre has lost what it had acknowledged: it goes on from what is there.
    pub fn take_back(&mut self, there: Mark) -> Noted {
        tracing::warn!(
            event = "forward_taken_back", topic = %self.local.topic, partition = self.local.index,
            offset = there.next_offset, acknowledged = self.told,
            remedy = "look into the brokers' logs: was a transaction aborted that hung, a group's offset set back, or \
                      a leader elected that was behind? Records that came through in spite of it come twice",
            "the centre has lost a transaction that it had acknowledged: its records are brought again"
        );
        (self.done, self.told) = (there, there.next_offset);
        self.noted = Noted { next_offset: there.next_offset, told: there.next_offset };
        self.noted
    }

    pub fn records_to_go(&self) -> u64 {
        to_go(&self.local, self.done.next_offset)
    }

    /// Forgets what was handed over and where it stands at the centre.
    pub fn restart(&mut self) {
        self.done.next_offset = self.done.next_offset.max(self.noted.next_offset);
        self.sent = self.done;
        self.under_way = 0;
        self.central = None;
    }

    /// The central id of a local one, if it was needed here before.
    #[inline]
    pub fn id(&mut self, role: Role, local: SchemaId) -> Option<SchemaId> {
        let last = self.last.get_mut(role as usize)?;
        if let Some((known, central)) = last
            && *known == local
        {
            return Some(*central);
        }
        let central = *self.ids.get(&(role, local))?;
        *last = Some((local, central));
        Some(central)
    }

    pub fn set_id(&mut self, role: Role, local: SchemaId, central: SchemaId) {
        self.ids.insert((role, local), central);
    }

    /// Not to be sent for a while; `until`: the offset behind what it stops at. Said once per episode.
    pub fn hold(&mut self, error: &Error, until: i64, tone: Tone, now: Duration) {
        let first = match tone {
            Tone::Patient => RETRY_QUICK,
            Tone::Warn | Tone::Silent => RETRY_FIRST,
        };
        let held = self.held.get_or_insert_with(|| Held {
            error: String::new(),
            backoff: Backoff::new(first, RETRY_CEILING),
            retry_at: now,
            since: now,
            until,
            said: false,
        });
        held.error = error.to_string();
        held.until = held.until.max(until);
        held.retry_at = now + if tone == Tone::Patient { RETRY_QUICK } else { held.backoff.delay() };
        let loud = match tone {
            Tone::Warn => true,
            Tone::Silent => false,
            Tone::Patient => now.saturating_sub(held.since) >= PATIENCE,
        };
        if loud && !std::mem::replace(&mut held.said, true) {
            tracing::warn!(
                event = "forward_partition_stopped", topic = %self.local.topic, partition = self.local.index,
                offset = self.sent.next_offset, %error, remedy = error.hint(),
                "a partition is not brought to the centre any further; it is tried again"
            );
        }
    }

    /// A piece was acknowledged; gives for how long it was the first that had not been.
    pub fn arrived(&mut self, arrived: &Arrived, now: Duration) -> Duration {
        let next_offset = arrived.mark.next_offset;
        self.under_way = self.under_way.saturating_sub(1);
        let first_since = std::mem::replace(&mut self.last_arrival, now).max(arrived.since);
        if let Some(held) = self.held.take_if(|held| next_offset >= held.until)
            && held.said
        {
            tracing::info!(
                event = "forward_partition_works", topic = %self.local.topic, partition = self.local.index,
                "the partition is brought to the centre again"
            );
        }
        now.saturating_sub(first_since)
    }
}
