//! Groups of consumers, on this one node: who is a member is known in memory and told anew after a
//! restart, as clients do by themselves; how far a group has read stands in the file.
//!
//! Bounded: groups, members of one, bytes that members say of themselves, offsets of one.

mod membership;
mod offset;
mod overview;
mod part;
mod store;

#[cfg(test)]
pub(super) use store::Place;
pub(super) use {offset::*, overview::*, part::*};

use crate::buffer::Log;
use crate::config::door::DoorConfig;
use crate::db::{Db, Readers};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;
use membership::{Group, State};
use shared::Result;
use shared::shutdown::Shutdown;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Requests of groups and about them.
pub(super) const APIS: [ApiKey; 9] = [
    ApiKey::JoinGroup,
    ApiKey::SyncGroup,
    ApiKey::Heartbeat,
    ApiKey::LeaveGroup,
    ApiKey::OffsetCommit,
    ApiKey::OffsetFetch,
    ApiKey::ListGroups,
    ApiKey::DescribeGroups,
    ApiKey::DeleteGroups,
];

/// How often silent members are looked for, while there are members.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often groups that committed nothing for long are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(600);
/// What the members of a group may say of themselves, and the leader of them.
const MAX_GROUP_BYTES: usize = 1024 * 1024;
/// Kafka's own limit for a committed offset's remark.
const MAX_REMARK_BYTES: usize = 4_096;
/// Partitions with offsets, in one request.
const MAX_PLACES: usize = 10_000;
const MAX_NAME_BYTES: usize = 255;

pub use store::forget_open as forget_open_transactions;

pub(super) struct Groups {
    groups: Mutex<HashMap<String, Group>>,
    joined: Notify,
    db: Db,
    readers: Readers,
    max_groups: u32,
    max_members: u32,
    retention: Duration,
}

impl Groups {
    /// Takes part in the end of transactions, which may hold offsets.
    pub fn new(log: &Log, config: &DoorConfig) -> Groups {
        log.when_transactions_end(Box::new(store::end));
        Groups {
            groups: Mutex::default(),
            joined: Notify::new(),
            db: log.db().clone(),
            readers: log.db().readers(1),
            max_groups: config.max_groups,
            max_members: config.max_group_members,
            retention: config.group_retention,
        }
    }

    /// Works on a group that is known; groups without members are not.
    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Group) -> T) -> Option<T> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get_mut(name).map(work)
    }

    /// Works on a group, which is made if there is room.
    fn with_new<T>(
        &self,
        name: &str,
        work: impl FnOnce(&mut Group) -> T,
    ) -> std::result::Result<T, ResponseError> {
        if name.is_empty() || name.len() > MAX_NAME_BYTES {
            return Err(ResponseError::InvalidGroupId);
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if !groups.contains_key(name) && groups.len() >= self.max_groups as usize {
            return Err(ResponseError::GroupAuthorizationFailed);
        }
        Ok(work(groups.entry(name.to_owned()).or_default()))
    }

    /// Lets time pass in all groups, until the program stops.
    pub async fn watch(self: Arc<Self>, shutdown: Shutdown) {
        let mut next_expiry = Instant::now();
        loop {
            let members = self.proceed();
            let pause = if members { LOOK_EVERY } else { EXPIRE_EVERY };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.joined.notified(), if !members => {}
                () = shutdown.wait() => return,
            }
            if Instant::now() >= next_expiry {
                next_expiry = Instant::now() + EXPIRE_EVERY;
                if let Err(error) = self.expire().await {
                    tracing::warn!(
                        event = "door_groups_not_expired", %error, remedy = error.hint(),
                        "could not look for groups that are not used any more; it is tried again"
                    );
                }
            }
        }
    }

    /// Whether there are members.
    fn proceed(&self) -> bool {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        groups.values_mut().for_each(|group| group.proceed(now));
        groups.retain(|_, group| group.state != State::Empty);
        !groups.is_empty()
    }

    async fn expire(&self) -> Result<()> {
        let retention_ms = i64::try_from(self.retention.as_millis()).unwrap_or(i64::MAX);
        let before_ms = shared::time::Clock::System.now().millis().saturating_sub(retention_ms);
        if self.readers.run(move |reader| store::any_old(reader, before_ms)).await? {
            self.db.write_async(move |tx| store::expire(tx, before_ms)).await?;
        }
        Ok(())
    }
}
