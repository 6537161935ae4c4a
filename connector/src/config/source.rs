//! `[source]`: the database, its slot and publication, and which tables.

use serde::Deserialize;
use shared::secret::Secret;
use shared::tls::TlsConfig;
use std::path::PathBuf;

/// The default slot and publication are Debezium's, so that a take-over needs no setting.
const DEFAULT_SLOT: &str = "debezium";
const DEFAULT_PUBLICATION: &str = "dbz_publication";

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Host name or address; ignored when `socket_dir` is set.
    #[serde(default = "default_host")]
    pub host: String,
    #[serde(default = "default_port")]
    pub port: u16,
    /// Folder of the server's Unix socket: faster than TCP when the database is on this machine.
    #[serde(default)]
    pub socket_dir: Option<PathBuf>,
    pub database: String,
    pub user: String,
    #[serde(default)]
    pub password: Secret,
    #[serde(default)]
    pub tls_mode: TlsMode,
    #[serde(default)]
    pub tls: TlsConfig,
    #[serde(default = "default_slot")]
    pub slot: String,
    #[serde(default = "default_publication")]
    pub publication: String,
    #[serde(default)]
    pub publication_autocreate: PublicationAutocreate,
    /// Drop the slot when stopping: only for trials, the changes in between are lost.
    #[serde(default)]
    pub drop_slot_on_stop: bool,
    /// Regular expressions on `schema.table`, whole name, letter case ignored; empty means all.
    #[serde(default)]
    pub tables: Vec<String>,
    #[serde(default)]
    pub exclude_tables: Vec<String>,
    /// How often the server is told what is confirmed, beside every time that it moves.
    #[serde(default = "default_status_interval_ms")]
    pub status_interval_ms: u64,
}

/// PostgreSQL's own words (`sslmode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    Disable,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Debezium's `publication.autocreate.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PublicationAutocreate {
    #[default]
    AllTables,
    Filtered,
    NoTables,
    Disabled,
}

fn default_host() -> String {
    "127.0.0.1".to_owned()
}
fn default_port() -> u16 {
    5432
}
fn default_slot() -> String {
    DEFAULT_SLOT.to_owned()
}
fn default_publication() -> String {
    DEFAULT_PUBLICATION.to_owned()
}
/// Well under the server's `wal_sender_timeout` of 60 s.
fn default_status_interval_ms() -> u64 {
    10_000
}
