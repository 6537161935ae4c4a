//! The stored position and the server's state → where to begin: publication, slot, snapshot or stream.

use super::catalog::Describes;
use super::reader::gauge;
use super::slot::{self, Slot};
use super::snapshot::{Of, Snapshot, Start, Wanted};
use super::wire::Wire;
use super::{Phase, Postgres, connect, identity, publication};
use crate::config::snapshot::TableOrder;
use crate::metrics;
use crate::model::notice::{News, Notice, Reading};
use crate::model::position::{Lsn, Position, PostgresPosition, SnapshotState};
use crate::model::progress::SnapshotProgress;
use crate::model::table::TableId;
use crate::snapshot::mode::{Plan, plan};
use crate::source::postgres::filter::Names;
use shared::{Error, Kind, Result};
use std::time::{Duration, Instant};

const SLOT_PAUSE: Duration = Duration::from_millis(100);

impl Postgres {
    /// Decides from the stored position and the server's state what to do, and prepares
    /// publication, slot and snapshot; then [`Postgres::poll`] delivers.
    ///
    /// # Errors
    /// `Lost` when the stored position cannot be resumed: nothing is skipped silently.
    pub fn start(&mut self, stored: Option<&Position>) -> Result<()> {
        let stored = stored.map(|Position::Postgres(position)| position);
        let tables = self.captured_tables()?;
        publication::ensure(&mut self.catalog.sql, &self.config, &self.server, &tables)?;
        identity::ensure(&mut self.catalog.sql, &self.config, &tables)?;
        let slot = self.free_slot()?;
        match (plan(self.steps, stored), stored) {
            (Plan::Rest, _) => {
                self.phase = Phase::Rest;
                Ok(())
            }
            (Plan::Snapshot, stored) => self.start_snapshot(stored, slot, tables),
            (Plan::StreamFromSlot, _) => self.start_at_slot(slot),
            (Plan::Resume, Some(stored)) => self.resume(stored, slot, tables),
            (Plan::Resume, None) => Err(Error::new(Kind::Bug, "nothing is stored to resume from")),
        }
    }

    /// The slot once nobody reads it: a connection that was cut or killed may hold it a little longer.
    fn free_slot(&mut self) -> Result<Option<Slot>> {
        let until = Instant::now() + Duration::from_millis(self.config.slot_wait_ms);
        loop {
            let slot = slot::inspect(&mut self.catalog.sql, &self.config.slot)?;
            match slot.as_ref().and_then(|slot| slot.active_pid) {
                None => return Ok(slot),
                Some(pid) if Instant::now() >= until => {
                    let what = format!("slot {} is active for process {pid}", self.config.slot);
                    return Err(Error::new(Kind::Unreachable, what).remedy(
                        "stop the other reader of the slot, or set source.slot to another name for this connector",
                    ));
                }
                Some(_) => std::thread::sleep(SLOT_PAUSE),
            }
        }
    }

    fn captured_tables(&mut self) -> Result<Vec<TableId>> {
        let all = self.catalog.tables()?;
        self.filter.check_literals(&all)?;
        for pattern in self.filter.without_match(&all) {
            tracing::warn!(event = "pattern_matches_nothing", pattern, "no table matches the pattern");
        }
        let tables = self.filter.select(all);
        if tables.is_empty() {
            tracing::warn!(event = "nothing_captured", "no table is captured");
        }
        Ok(tables)
    }

    /// Begins the snapshot, or goes on with one that a crash interrupted while its slot is there.
    fn start_snapshot(
        &mut self,
        stored: Option<&PostgresPosition>,
        slot: Option<Slot>,
        tables: Vec<TableId>,
    ) -> Result<()> {
        let running = stored.filter(|stored| stored.snapshot == Some(SnapshotState::Running));
        let (of, position, progress) = match slot {
            Some(slot) => {
                slot.check(&self.config)?;
                slot.check_free(&self.config.slot)?;
                let lsn = stored.map_or(slot.confirmed, |stored| stored.lsn.max(slot.confirmed));
                let progress = running.and_then(|stored| stored.progress.as_deref().cloned());
                tracing::info!(
                    event = "slot_reused",
                    slot = %self.config.slot,
                    confirmed = %slot.confirmed,
                    goes_on = progress.is_some(),
                    "slot exists: reading tables as they are now"
                );
                (
                    Of::Now { asked_at: None },
                    PostgresPosition { lsn, ..PostgresPosition::default() },
                    progress,
                )
            }
            None => {
                let created = self.create_slot()?;
                let lsn = created.consistent_point;
                let of = Of::NewSlot { name: created.snapshot_name };
                (of, PostgresPosition { lsn, ..PostgresPosition::default() }, None)
            }
        };
        let tables = self.wanted(tables)?;
        self.begin_snapshot(of, position, tables, progress.unwrap_or_default())?;
        self.delay(self.snapshot.delay_ms);
        Ok(())
    }

    pub(super) fn begin_snapshot(
        &mut self,
        of: Of,
        position: PostgresPosition,
        tables: Vec<Wanted>,
        progress: SnapshotProgress,
    ) -> Result<()> {
        let server_version = self.server.version;
        let start = Start { of, position, tables, progress, server_version };
        metrics::SOURCE_CONFIRMED_LSN.set(gauge(start.position.lsn));
        let snapshot = Snapshot::begin(&self.config, &self.snapshot, start)?;
        // The slot's snapshot is taken over now; a connection left idle for the length of a large
        // snapshot might be cut, so the stream opens its own.
        if let Some(mut wire) = self.wire.take() {
            wire.close();
        }
        self.phase = Phase::Snapshot(Box::new(snapshot));
        Ok(())
    }

    /// The tables that a snapshot reads, in order, each with its SELECT.
    fn wanted(&mut self, mut tables: Vec<TableId>) -> Result<Vec<Wanted>> {
        let names = Names::of("snapshot.tables", &self.snapshot.tables)?;
        tables.retain(|table| !self.filter.is_signal(table) && names.pass(&table.to_string()));
        if self.snapshot.order != TableOrder::Disabled {
            let rows = self.catalog.row_estimates()?;
            let rows_of = |table: &TableId| rows.get(table).copied().unwrap_or_default();
            tables.sort_by(|a, b| rows_of(a).total_cmp(&rows_of(b)));
            if self.snapshot.order == TableOrder::Descending {
                tables.reverse();
            }
        }
        let select = |table: &TableId| self.snapshot.select.get(&table.to_string()).cloned();
        Ok(tables.into_iter().map(|id| Wanted { select: select(&id), id }).collect())
    }

    fn start_at_slot(&mut self, slot: Option<Slot>) -> Result<()> {
        let lsn = match slot {
            Some(slot) => {
                slot.check(&self.config)?;
                slot.confirmed
            }
            None => self.create_slot()?.consistent_point,
        };
        let position = PostgresPosition { lsn, ..PostgresPosition::default() };
        self.notices.push(Notice { of: Reading::Initial, news: News::Skipped, id: None });
        self.begin_stream(position, lsn)
    }

    /// Goes on at the stored position; if that is lost and the mode says so, by a new snapshot.
    fn resume(&mut self, stored: &PostgresPosition, slot: Option<Slot>, tables: Vec<TableId>) -> Result<()> {
        match self.resumable(stored, slot.as_ref()) {
            Ok(confirmed) => self.go_on(stored.clone(), confirmed),
            Err(error) if error.kind() == Kind::Lost && self.steps.on_lost => {
                tracing::warn!(event = "position_lost", %error, "taking a new snapshot, as snapshot.mode says");
                let slot = match slot {
                    Some(slot) if slot.lost => {
                        slot::drop(&mut self.catalog.sql, &self.config.slot)?;
                        None
                    }
                    slot => slot,
                };
                self.start_snapshot(None, slot, tables)
            }
            Err(error) => Err(error),
        }
    }

    /// Streams, unless tables that were asked for while streaming are not read yet.
    fn go_on(&mut self, stored: PostgresPosition, slot_confirmed: Lsn) -> Result<()> {
        let progress = stored.progress.as_deref().filter(|progress| progress.request.is_some()).cloned();
        let Some(progress) = progress else {
            self.notices.push(Notice { of: Reading::Initial, news: News::Skipped, id: None });
            return self.begin_stream(stored, slot_confirmed);
        };
        let tables = progress.request.iter().flatten();
        let tables = tables.map(|(id, select)| Wanted { id: id.clone(), select: select.clone() }).collect();
        self.begin_snapshot(
            Of::Now { asked_at: None },
            PostgresPosition { progress: None, ..stored },
            tables,
            progress,
        )
    }

    /// Where the slot stands, if the stored position can be resumed with it.
    fn resumable(&mut self, stored: &PostgresPosition, slot: Option<&Slot>) -> Result<Lsn> {
        if stored.lsn > self.server.log_end() {
            // It may have grown since we connected.
            self.server = super::server::inspect(&mut self.catalog.sql)?;
        }
        let confirmed = slot::resumable(&self.config, &self.server, stored.lsn, slot)?;
        if stored.lsn > confirmed && self.config.offset_mismatch.advances() {
            slot::advance(&mut self.catalog.sql, &self.config.slot, stored.lsn)?;
            return Ok(stored.lsn);
        }
        Ok(confirmed)
    }

    fn create_slot(&mut self) -> Result<slot::Created> {
        let mut wire = self.replication_wire()?;
        let created = slot::create(&mut wire, &self.config, &self.server)?;
        self.wire = Some(wire);
        tracing::info!(
            event = "slot_created",
            slot = %self.config.slot,
            lsn = %created.consistent_point,
            "slot created"
        );
        Ok(created)
    }

    pub(super) fn replication_wire(&mut self) -> Result<Wire> {
        match self.wire.take() {
            Some(wire) => Ok(wire),
            None => connect::connect(&self.config, connect::Purpose::Replication),
        }
    }
}
