//! Edge → centre: each store takes from the outbox at its own pace; an absent one holds up no other.
//!
//! ```text
//! sync_outbox ──┬─ cursor, carrier ─> Target: Redis            a row is stored, found to be older than
//! newest value  ├─ cursor, carrier ─> Target: PostgreSQL       what is there, or refused (kept in
//! per entity    └─ cursor, carrier ─> Target: Kafka, …         sync_refused, and out of the way)
//! ```
//! Sending twice changes nothing: only newer values are let in, where the store can tell.

pub mod carrier;
pub mod feast;
pub mod feast_push;
mod halves;
mod http;
pub mod kafka;
pub mod outbox;
pub mod postgres;
pub mod redis;
pub mod refused;
mod row;
pub mod vector;
pub mod waits;

pub use carrier::{Carrier, State};
pub use row::{Row, View, Views};

use crate::config::sync::{SyncConfig, Target as Settings, Targets};
use crate::db::Db;
use shared::error::{Context, Error, Kind, Result};
use shared::time::Clock;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// A carrier's hand for others: shows where it stands.
pub type Watch = crate::model::watch::Watch<State>;

/// What a target's calls give; boxed, so that targets of several kinds can be held alike.
pub type Answering<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// What a store did with a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    Stored,
    /// What is there is as new or newer.
    Older,
    /// It will never take it; its words, or ours.
    Refused(String),
    /// Not now: its words. It may be another row's time (one node of several is away).
    Again(String),
}

/// A central store.
pub trait Target: Send {
    /// Connects and asks for an answer: what `check` does.
    fn ping(&mut self) -> Answering<'_, ()>;

    /// Brings the rows, no two of which are of one view and entity; an answer for each, in order.
    ///
    /// # Errors
    /// The store's state: nothing is known of any row, and all are sent again.
    fn send<'a>(&'a mut self, rows: &'a [Row]) -> Answering<'a, Vec<Answer>>;
}

/// Sets up the client of a store; reaches nothing yet.
///
/// # Errors
/// `Config`, if the settings do not fit each other or the views.
pub fn target(config: &SyncConfig, views: &Views) -> Result<Box<dyn Target>> {
    let views: Vec<Arc<View>> = views.iter().filter(|view| wants(config, view)).cloned().collect();
    Ok(match &config.target {
        Settings::Redis(settings) => Box::new(redis::Redis::new(settings)?),
        Settings::Postgres(settings) => Box::new(postgres::Postgres::new(settings)?),
        Settings::FeastPush(settings) => Box::new(feast_push::FeastPush::new(settings)?),
        Settings::Kafka(settings) => Box::new(kafka::Kafka::new(settings, &views)?),
        Settings::Vector(settings) => Box::new(vector::Vector::new(settings, &views)?),
    })
}

/// Whether a view goes to this store.
pub fn wants(config: &SyncConfig, view: &View) -> bool {
    config.common.views.is_empty() || config.common.views.contains(&view.shape.name)
}

/// Names in `views` that no view has.
fn unknown_view<'a>(config: &'a SyncConfig, views: &Views) -> Option<&'a String> {
    config.common.views.iter().find(|name| views.iter().all(|view| view.shape.name != **name))
}

/// All carriers' hand: wakes them, shows them, has refused rows tried again.
#[derive(Clone)]
pub struct Hand {
    db: Db,
    news: watch::Sender<u64>,
    shown: Arc<[Shown]>,
}

/// A store, and where its carrier stands.
#[derive(Clone)]
pub struct Shown {
    pub name: String,
    pub kind: String,
    pub address: String,
    pub watch: Watch,
}

impl Hand {
    pub fn new(db: &Db, targets: &Targets) -> Hand {
        let shown = |(name, config): (&String, &SyncConfig)| Shown {
            name: name.clone(),
            kind: config.common.kind.clone(),
            address: config.address(),
            watch: Watch::default(),
        };
        Hand { db: db.clone(), news: watch::Sender::new(0), shown: targets.iter().map(shown).collect() }
    }

    pub fn shown(&self) -> &[Shown] {
        &self.shown
    }

    /// Whoever adds to the outbox says so here; nobody listens without targets.
    pub fn news(&self) -> Option<watch::Sender<u64>> {
        (!self.shown.is_empty()).then(|| self.news.clone())
    }

    /// Has what stores refused tried again; gives how many rows.
    ///
    /// # Errors
    /// `Rejected`, if there is no such target.
    pub async fn retry(&self, target: Option<String>) -> Result<usize> {
        if let Some(name) = &target
            && self.shown.iter().all(|shown| shown.name != *name)
        {
            return Err(Error::new(Kind::Rejected, format!("no target is called {name}")));
        }
        let count = self.db.write_async(move |tx| refused::retry(tx, target.as_deref())).await?;
        self.news.send_modify(|count| *count += 1);
        Ok(count)
    }

    /// The carriers of all targets.
    pub fn carriers(&self, targets: &Targets, views: &Views, clock: &Clock) -> Result<Vec<Carrier>> {
        let named = |shown: &Shown| targets.get(&shown.name).map(|config| (shown.clone(), config));
        let carrier = |(shown, config): (Shown, &SyncConfig)| {
            let doing = format!("set up [sync.{}]", shown.name);
            if let Some(name) = unknown_view(config, views) {
                return Err(
                    Error::new(Kind::Config, format!("no feature view is called {name}")).doing(doing)
                );
            }
            let target = target(config, views).doing(|| doing)?;
            Ok(Carrier::new(&self.db, target, config, views, shown, (self.news.subscribe(), clock.clone())))
        };
        self.shown.iter().filter_map(named).map(carrier).collect()
    }
}
