//! A record's way out: transforms, encoder, sink.

use crate::encode::Encoder;
use crate::model::record::Record;
use crate::offset::Tracker;
use crate::sink::Sink;
use crate::transform::Transforms;
use shared::shutdown::Shutdown;
use shared::{Error, Kind, Result};
use std::time::Duration;

/// How long acknowledgements are waited for before the queue is tried again.
const ROOM_WAIT: Duration = Duration::from_millis(5);

pub(super) struct Way<'p> {
    pub transforms: &'p mut Transforms,
    pub encoder: &'p mut Encoder,
    pub sink: &'p mut dyn Sink,
    pub tracker: &'p mut Tracker,
    pub shutdown: &'p Shutdown,
}

impl Way<'_> {
    /// Into the producer's queue; how many records became of it.
    #[inline]
    pub fn send(&mut self, record: &Record<'_>, unit: u64) -> Result<u64> {
        let Way { transforms, encoder, sink, tracker, shutdown } = self;
        let mut sent = 0;
        transforms.apply(record, &mut |record| {
            let encoded = encoder.encode(record)?;
            tracker.sent(unit, 1)?;
            while !sink.offer(&encoded, unit)? {
                make_room(*sink, tracker, shutdown)?;
            }
            sent += 1;
            Ok(())
        })?;
        Ok(sent)
    }
}

/// The producer's queue is full: serves acknowledgements until there is room, or until we are to stop.
fn make_room(sink: &mut dyn Sink, tracker: &mut Tracker, shutdown: &Shutdown) -> Result<()> {
    if shutdown.requested() {
        return Err(Error::new(Kind::Unreachable, "asked to stop while Kafka takes no records"));
    }
    let mut counted = Ok(());
    sink.poll(ROOM_WAIT, &mut |unit, count| note(&mut counted, tracker.acked(unit, count)))?;
    counted
}

/// Keeps the first failure.
pub(super) fn note(first: &mut Result<()>, next: Result<()>) {
    if first.is_ok() {
        *first = next;
    }
}
