//! What somebody asks for while the source runs: followed between two transactions.

use super::catalog::Describes;
use super::snapshot::{Of, Wanted};
use super::{Phase, Postgres, filter};
use crate::model::position::PostgresPosition;
use crate::model::progress::SnapshotProgress;
use crate::model::request::{Action, Request, Tables};
use crate::model::table::TableId;
use shared::{Error, Kind, Result};

impl Postgres {
    pub(super) fn follow_requests(&mut self) -> Result<()> {
        while !self.requests.is_empty() {
            let Phase::Stream(stream) = &self.phase else { return Ok(()) };
            let Some(position) = stream.between().cloned() else { return Ok(()) };
            let Some(request) = self.requests.pop_front() else { return Ok(()) };
            match self.follow(request, position) {
                Err(error) if !error.retryable() => {
                    tracing::warn!(event = "signal_refused", %error, remedy = error.hint(), "a signal is passed over");
                }
                done => done?,
            }
        }
        Ok(())
    }

    fn follow(&mut self, request: Request, position: PostgresPosition) -> Result<()> {
        let Request { id, action, at } = request;
        if let Action::Log(message) = &action {
            let place = at.map_or(position.lsn, |at| at.lsn);
            let message = message.replacen("{}", &place.to_string(), 1);
            tracing::info!(event = "signal_log", id, message, "asked to write this");
            return Ok(());
        }
        if let Action::Blocking(tables) = &action {
            let wanted = self.blocking(tables)?;
            let at = at.map(|at| PostgresPosition {
                lsn: at.lsn,
                commit_lsn: at.last_commit_lsn,
                transaction_id: at.transaction_id,
                ..position.clone()
            });
            return self.begin_blocking(wanted, position, at);
        }
        let captured = match &action {
            Action::Incremental(_) => self.filter.select(self.catalog.tables()?),
            _ => Vec::new(),
        };
        let Phase::Stream(stream) = &mut self.phase else { return Ok(()) };
        let Some(beside) = stream.beside() else { return Ok(()) };
        beside.follow(&id, &action, &captured)
    }

    /// The tables that are captured and asked for.
    fn blocking(&mut self, tables: &Tables) -> Result<Vec<Wanted>> {
        let captured = self.filter.select(self.catalog.tables()?);
        let names = filter::expand(&tables.patterns, &captured)?;
        let known =
            |name: &String| captured.iter().find(|table: &&TableId| table.to_string() == *name).cloned();
        let select = |name: &str| {
            let fits = |(pattern, _): &&(String, String)| filter::fits(pattern, name);
            tables.filters.iter().find(fits).map(|(_, select)| select.clone())
        };
        let wanted: Vec<Wanted> =
            names.iter().filter_map(known).map(|id| Wanted { select: select(&id.to_string()), id }).collect();
        if wanted.is_empty() {
            return Err(Error::new(Kind::Config, format!("no captured table fits {:?}", tables.patterns))
                .remedy("data-collections are regular expressions on schema.table"));
        }
        Ok(wanted)
    }

    /// The stream ends here, and goes on here when the tables are read. `at`: where it was asked.
    fn begin_blocking(
        &mut self,
        tables: Vec<Wanted>,
        position: PostgresPosition,
        at: Option<PostgresPosition>,
    ) -> Result<()> {
        if let Phase::Stream(stream) = std::mem::replace(&mut self.phase, Phase::Ready) {
            stream.stop()?;
        }
        let request = tables.iter().map(|wanted| (wanted.id.clone(), wanted.select.clone())).collect();
        let progress = SnapshotProgress { request: Some(request), ..SnapshotProgress::default() };
        self.begin_snapshot(Of::Now { asked_at: at }, position, tables, progress)
    }
}
