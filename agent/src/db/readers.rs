//! A few connections for reading, shared by many: opening one costs more than most reads.

use super::open;
use crate::config::db::DbConfig;
use rusqlite::Connection;
use shared::{Error, Kind, Result};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// A bounded pool; cheap to clone.
#[derive(Clone)]
pub struct Readers {
    config: Arc<DbConfig>,
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(config: Arc<DbConfig>, limit: usize) -> Self {
        Readers { config, idle: Arc::default(), turns: Arc::new(Semaphore::new(limit)) }
    }

    /// Runs `read` on a connection, on a thread that may block, when one is free. Reads must be
    /// short: while one lasts, the write-ahead log cannot be reset.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let stopped = || Error::new(Kind::Bug, "the pool of readers is closed");
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| stopped())?;
        let pool = self.clone();
        let task = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            pool.run_now(read)
        });
        task.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// [`Readers::run`] for threads that may block; takes no turn, keeps the connection for others.
    pub fn run_now<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::reader(&self.config)?,
        };
        let answer = read(&connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.turns.available_permits().max(1) {
            idle.push(connection);
        }
        answer
    }
}
