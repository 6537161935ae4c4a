//! The slot's stream: what is in the log, as the server sends it, to the connector's own reader of it.

use super::beside::{Catalogue, Link};
use super::database::Commit;
use super::message::{keepalive, relation, sent, signal, signal_relation};
use super::world::{Shared, World};
use connector::config::signal::SignalConfig;
use connector::config::source::SourceConfig;
use connector::model::position::{Lsn, PostgresPosition};
use connector::model::request::Request;
use connector::snapshot::visible::Seen;
use connector::source::Take;
use connector::source::postgres::offline::{Offline, Standin};
use shared::Result;
use shared::time::Clock;
use std::collections::{BTreeMap, VecDeque};

pub struct Stream {
    world: Shared,
    offline: Offline<Link>,
    /// The server has sent all messages of the log up to here.
    sent: Lsn,
    /// Messages under way; behind the last one the log is sent up to the given place.
    under_way: VecDeque<Vec<u8>>,
    then: Lsn,
    /// Each table's shape when the server last described it.
    described: BTreeMap<usize, u32>,
    signals_described: bool,
    /// What the reader passes over.
    seen: Option<Seen>,
}

impl Stream {
    pub fn begin(
        source: &SourceConfig,
        signal: &SignalConfig,
        world: &Shared,
        clock: Clock,
        position: PostgresPosition,
    ) -> Result<Stream> {
        let (sent, seen) = (position.lsn, position.progress.clone().and_then(Seen::new));
        let link = Link { world: world.clone(), point: None };
        let standin = Standin { catalog: Box::new(Catalogue(world.clone())), database: link, clock };
        Ok(Stream {
            world: world.clone(),
            offline: Offline::new(source, signal, position, standin)?,
            sent,
            under_way: VecDeque::new(),
            then: sent,
            described: BTreeMap::new(),
            signals_described: false,
            seen,
        })
    }

    /// Follows what was asked, then reads some messages: as many as one read happens to hold.
    pub fn read(&mut self, requests: &mut VecDeque<Request>, take: Take<'_>) -> Result<bool> {
        while self.offline.between().is_some() {
            let Some(request) = requests.pop_front() else { break };
            self.offline.follow(&request)?;
        }
        let asks = self.offline.turn(requests.is_empty(), take)?;
        let messages = self.world.borrow().rng.usize(1..12);
        let mut handed = false;
        for _ in 0..messages {
            let Some(message) = self.next(asks) else { break };
            handed |= self.offline.message(&message, take)?;
            if self.under_way.is_empty() {
                self.sent = self.then;
            }
        }
        Ok(handed)
    }

    /// The next message; if there is none, a keepalive may say that the log goes on.
    fn next(&mut self, asks: bool) -> Option<Vec<u8>> {
        let shared = self.world.clone();
        let mut world = shared.borrow();
        if self.under_way.is_empty() {
            let next = world.database.log.iter().find(|commit| commit.end > self.sent).cloned();
            let Some(commit) = next else {
                let says = asks || world.happens(3);
                self.then = world.database.end;
                return (says && self.then > self.sent).then(|| keepalive(self.then));
            };
            self.then = commit.end;
            self.send(&commit, &mut world);
        }
        self.under_way.pop_front()
    }

    /// Tables are described before their first row, and when they were altered.
    fn send(&mut self, commit: &Commit, world: &mut World) {
        if self.seen.as_ref().is_some_and(|seen| seen.contains(commit.id)) {
            commit.changes.iter().for_each(|entry| world.broker.expect_no(entry));
        }
        let messages = sent(commit);
        self.under_way.push_back(messages.begin);
        for (table, change) in messages.changes {
            let shape = world.database.shape(table);
            if self.described.insert(table, shape) != Some(shape) || world.happens(20) {
                self.under_way.push_back(relation(&world.database, table));
            }
            self.under_way.push_back(change);
        }
        if let Some(row) = &commit.signal {
            if !std::mem::replace(&mut self.signals_described, true) {
                self.under_way.push_back(signal_relation(&world.database));
            }
            self.under_way.push_back(signal(row));
        }
        self.under_way.push_back(messages.end);
    }
}
