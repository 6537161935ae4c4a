//! The Kafka protocol server.

use crate::buffer::Log;
use crate::config::door::DoorConfig;
use shared::{Error, Kind, Result};
use std::net::SocketAddr;
use std::sync::Arc;

/// Opens the door; returns the address it listens on.
pub async fn serve(
    config: &DoorConfig,
    log: Arc<Log>,
    shutdown: shared::shutdown::Shutdown,
) -> Result<SocketAddr> {
    let _ = (config, log, shutdown);
    Err(Error::new(Kind::Bug, "not built yet"))
}
