//! The Kafka protocol server: what kcat, librdkafka and the Java client need to produce, with
//! idempotence and with transactions, and to read back; with TLS and passwords if it is to be open to
//! others; and groups of consumers, as far as one node needs them. A store-and-forward door, no broker:
//! no replicas.
//!
//! Requests are decoded by own bounded code ([`wire`], one file per API); the protocol crate only
//! encodes answers, and is the oracle of the tests.

mod access;
mod answer;
mod api;
mod connection;
#[allow(clippy::module_inception)]
mod door;
mod request;
mod wire;

mod add_partitions;
mod coordinator;
mod create_topics;
mod delete_topics;
mod describe_configs;
mod end_transaction;
mod fetch;
mod group;
mod list_offsets;
mod metadata;
mod produce;
mod producer_id;
mod versions;

#[cfg(any(test, fuzzing))]
pub mod fuzz;
#[cfg(test)]
mod tests;

pub use group::forget_open_transactions;

use crate::buffer::Log;
use crate::config::door::DoorConfig;
use door::Door;
use shared::error::{Context, OrKind};
use shared::shutdown::Shutdown;
use shared::{Kind, Result};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// How long open connections may take to write their last answers.
const DRAIN: Duration = Duration::from_secs(5);

/// How often transactions that are open for too long are looked for.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// After a failed accept (no file handles left): long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the door and serves until the program is asked to stop; returns the address it listens on.
///
/// # Errors
/// `Config` if the address cannot be listened on.
pub async fn serve(config: &DoorConfig, log: Arc<Log>, shutdown: Shutdown) -> Result<SocketAddr> {
    config.check()?;
    let bound = TcpListener::bind(config.listen).await.or_kind(Kind::Config);
    let listener = bound.doing(|| format!("listen for Kafka clients on {}", config.listen))?;
    let address = listener.local_addr().or_kind(Kind::Bug)?;
    let door = Arc::new(Door::new(log, config.clone(), address, shutdown)?);
    warn_of_strangers(config);
    tracing::info!(
        event = "door_listening", %address,
        advertised = format!("{}:{}", door.advertised_host, door.advertised_port),
        "the Kafka door is open"
    );
    tokio::spawn(expire(Arc::clone(&door)));
    tokio::spawn(Arc::clone(&door.groups).watch(door.shutdown.clone()));
    tokio::spawn(accept(listener, door));
    Ok(address)
}

/// Who reaches the machine reaches the door: not refused, for networks may be closed by other means.
fn warn_of_strangers(config: &DoorConfig) {
    if config.is_open_to_all() {
        tracing::warn!(
            event = "door_open_to_all", listen = %config.listen,
            remedy = "give [[door.user]] and [door.tls], or listen on 127.0.0.1",
            "everybody in the network may write to the Kafka door and read from it"
        );
    }
    if config.shows_passwords() {
        tracing::warn!(
            event = "door_shows_passwords", listen = %config.listen,
            remedy = "give [door.tls], or take PLAIN out of door.sasl_mechanisms",
            "passwords pass the network unencrypted"
        );
    }
}

/// Aborts transactions that are open for too long, until the program stops.
async fn expire(door: Arc<Door>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EXPIRE_EVERY) => {}
            () = door.shutdown.wait() => return,
        }
        if let Err(error) = door.log.expire_transactions().await
            && door.is_new("expire transactions".to_owned())
        {
            tracing::warn!(
                event = "door_expire_failed", %error, remedy = error.hint(),
                "could not look for expired transactions; it is tried again"
            );
        }
    }
}

async fn accept(listener: TcpListener, door: Arc<Door>) {
    let mut clients = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = clients.join_next() => continue,
            () = door.shutdown.wait() => break,
        };
        let (socket, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(event = "door_accept_failed", %error, "could not take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&door.connections).try_acquire_owned() else {
            if door.is_new(format!("{} crowd", peer.ip())) {
                tracing::warn!(
                    event = "door_crowded", %peer, limit = door.config.max_connections,
                    remedy = "raise door.max_connections", "closed a connection: there are too many"
                );
            }
            continue;
        };
        let limit = door.config.max_connections_per_address;
        let Some(own) = door.addresses.place(peer.ip(), limit) else {
            if door.is_new(format!("{} crowds", peer.ip())) {
                tracing::warn!(
                    event = "door_crowded", %peer, limit,
                    remedy = "raise door.max_connections_per_address",
                    "closed a connection: there are too many from its address"
                );
            }
            continue;
        };
        let door = Arc::clone(&door);
        clients.spawn(async move {
            connection::serve(door, socket, peer).await;
            drop((place, own));
        });
    }
    // Acknowledgements under way still leave; who does not finish in time is cut off.
    let drained = async { while clients.join_next().await.is_some() {} };
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        tracing::warn!(event = "door_cut", "some clients did not take their last answers in time");
    }
}
