//! The slot's stream: messages in ([`Reader`] makes changes and boundaries of them), confirmations back.
//!
//! Rules that the rest relies on:
//! - A boundary follows every commit, whether or not a row of it is captured.
//! - Between transactions, a keepalive's end of log is a boundary as well: everything committed
//!   before it was sent before it. So an idle or unrelated load does not hold the slot back.
//! - The server is told a position only after [`Stream::confirm`] named it.
//! - A boundary behind a signal waits until that is followed: else a crash could forget what it asked for.
//! - After a snapshot that was not the slot's own, transactions that it has seen are passed over; as long as
//!   that may be, what it has seen is stored with each position.

use super::catalog::Describes;
use super::failure::ServerError;
use super::incremental::Beside;
use super::reader::{Reader, Start, gauge};
use super::relation::Relations;
use super::wire::{Wire, protocol};
use crate::metrics;
use crate::model::position::{Lsn, PostgresPosition};
use crate::source::Take;
use shared::error::Context;
use shared::{Error, Kind, Result};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Seconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH: Duration = Duration::from_secs(946_684_800);
/// Confirmations are told the server at most this often; the rest waits for the next one.
const CONFIRM_INTERVAL: Duration = Duration::from_millis(200);
/// The server is asked this often for the end of an idle log that a chunk waits for.
const ASK_INTERVAL: Duration = Duration::from_millis(20);
/// How long the server may take to end the stream in good order.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Stream {
    wire: Wire,
    reader: Reader,
    flushes: bool,
    status_interval: Duration,
    last_status: Instant,
    told: Lsn,
}

impl Stream {
    /// `wire` streams already.
    pub fn new(wire: Wire, database: String, start: Start, status_interval: Duration) -> Self {
        let flushes = start.flushes;
        let reader = Reader::new(database, start);
        let told = reader.confirmed;
        Stream { wire, reader, flushes, status_interval, last_status: Instant::now(), told }
    }

    /// Reads once and hands over every whole message. `followed`: no signal waits that came before.
    pub fn poll(
        &mut self,
        wait: Duration,
        followed: bool,
        relations: &mut Relations,
        catalog: &mut dyn Describes,
        take: Take<'_>,
    ) -> Result<bool> {
        self.tell_if_due()?;
        let asks = self.reader.between_messages(followed, relations, catalog, take)?;
        if asks && self.last_status.elapsed() >= ASK_INTERVAL {
            self.send_status(true)?;
        }
        let wait = wait.min(self.status_interval.saturating_sub(self.last_status.elapsed()));
        // The answer that began the stream may have brought messages with it.
        let bytes = if self.wire.has_frame()? { 0 } else { self.wire.read(wait)? };
        let mut handed = false;
        while let Some(frame) = self.wire.next()? {
            handed |= match frame.tag {
                b'd' => self.reader.copy_data(frame.body, relations, catalog, take)?,
                b'E' => return Err(ServerError::parse(frame.body).map_err(protocol)?.into_error()),
                b'c' | b'C' | b'Z' => {
                    return Err(Error::new(Kind::Unreachable, "the server ended the stream"));
                }
                _ => false,
            };
        }
        self.reader.publish(bytes);
        if std::mem::take(&mut self.reader.reply_wanted) {
            self.tell()?;
        }
        Ok(handed)
    }

    /// Reads tables again beside the stream.
    pub fn beside(&mut self) -> Option<&mut Beside> {
        self.reader.beside.as_deref_mut()
    }

    /// The last boundary, if no transaction is being read.
    pub fn between(&self) -> Option<&PostgresPosition> {
        self.reader.between()
    }

    /// Everything at or below is durable.
    pub fn confirm(&mut self, lsn: Lsn) -> Result<()> {
        self.reader.confirmed = self.reader.confirmed.max(lsn);
        if self.last_status.elapsed() >= CONFIRM_INTERVAL { self.tell_if_moved() } else { Ok(()) }
    }

    fn tell_if_moved(&mut self) -> Result<()> {
        if self.reader.confirmed > self.told { self.tell() } else { Ok(()) }
    }

    fn tell_if_due(&mut self) -> Result<()> {
        let elapsed = self.last_status.elapsed();
        if elapsed >= self.status_interval {
            self.tell()
        } else if elapsed >= CONFIRM_INTERVAL {
            self.tell_if_moved()
        } else {
            Ok(())
        }
    }

    /// A standby status update: written is what was read, flushed and applied what is durable.
    fn tell(&mut self) -> Result<()> {
        self.send_status(false)
    }

    /// With `ask` the server answers with how far it has read its log.
    fn send_status(&mut self, ask: bool) -> Result<()> {
        let confirmed = self.reader.confirmed;
        let written = self.reader.received.max(confirmed);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_us = i64::try_from(since_1970.saturating_sub(EPOCH).as_micros()).unwrap_or_default();
        let mut message = Vec::with_capacity(39);
        message.push(b'd');
        message.extend_from_slice(&38u32.to_be_bytes());
        message.push(b'r');
        // Zero leaves the slot where it is.
        let flushed = if self.flushes { confirmed } else { Lsn(0) };
        for lsn in [written, flushed, flushed] {
            message.extend_from_slice(&lsn.0.to_be_bytes());
        }
        message.extend_from_slice(&now_us.to_be_bytes());
        message.push(ask.into());
        self.wire.send(&message).doing(|| "confirm to the server")?;
        self.told = confirmed;
        self.last_status = Instant::now();
        metrics::SOURCE_CONFIRMED_LSN.set(gauge(confirmed));
        Ok(())
    }

    /// The slot's `xmin`, for the records from now on.
    pub fn set_xmin(&mut self, xmin: Option<i64>) {
        self.reader.xmin = xmin;
    }

    pub fn received(&self) -> Lsn {
        self.reader.received
    }

    pub fn server_end(&self) -> Lsn {
        self.reader.server_end
    }

    pub fn confirmed(&self) -> Lsn {
        self.reader.confirmed
    }

    pub fn commit_time_us(&self) -> i64 {
        self.reader.position.commit_time_us
    }

    /// Tells the last confirmation and ends the stream. The server may be gone; then there is
    /// nothing to end.
    pub fn stop(mut self) -> Result<()> {
        self.tell()?;
        self.wire.send(&[b'c', 0, 0, 0, 4])?;
        // What was under way still comes; in the middle of a large transaction that may be much.
        let deadline = Instant::now() + STOP_TIMEOUT;
        while Instant::now() < deadline && self.wire.answer()?.tag != b'Z' {}
        self.wire.close();
        Ok(())
    }
}
