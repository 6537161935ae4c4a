//! `[source]`: the database, its slot and publication, and which tables.

use super::wal_guard::WalGuardConfig;
use serde::Deserialize;
use shared::secret::Secret;
use shared::tls::TlsConfig;
use shared::{Error, Kind, Result};
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
    /// What to do when the stored position is not where the slot stands.
    #[serde(default)]
    pub offset_mismatch: OffsetMismatch,
    /// Who tells the slot what may be forgotten.
    #[serde(default)]
    pub lsn_flush: LsnFlush,
    /// A slot that is made here is kept in step on standbys, so that it outlives a failover (PostgreSQL 17).
    #[serde(default)]
    pub slot_failover: bool,
    /// How long to wait at start for another reader to leave the slot.
    #[serde(default = "default_slot_wait_ms")]
    pub slot_wait_ms: u64,
    /// Options of the output plug-in: `origin=none`.
    #[serde(default)]
    pub stream_options: Vec<String>,
    /// Set at start: `schema.table:FULL`, the table by regular expression.
    #[serde(default)]
    pub replica_identities: Vec<String>,
    /// Regular expressions on `schema.table`, whole name, letter case ignored; empty means all.
    #[serde(default)]
    pub tables: Vec<String>,
    #[serde(default)]
    pub exclude_tables: Vec<String>,
    /// The same on schemas; both they and the lists of tables must let a table pass.
    #[serde(default)]
    pub schemas: Vec<String>,
    #[serde(default)]
    pub exclude_schemas: Vec<String>,
    /// The same on `schema.table.column`. Columns of the key always stay in the key.
    #[serde(default)]
    pub columns: Vec<String>,
    #[serde(default)]
    pub exclude_columns: Vec<String>,
    /// Keys other than the table's own: `schema.table:column,column`, the table by regular expression.
    #[serde(default)]
    pub keys: Vec<String>,
    /// Prefixes of logical messages, by regular expression; empty means all.
    #[serde(default)]
    pub message_prefixes: Vec<String>,
    #[serde(default)]
    pub exclude_message_prefixes: Vec<String>,
    /// Columns of types that nobody knows are sent as the bytes of their text; else left out.
    #[serde(default)]
    pub unknown_types: bool,
    /// A partitioned table's changes come under its own name instead of its partitions'. Set in a
    /// publication that is made here.
    #[serde(default)]
    pub publish_via_partition_root: bool,
    /// What a publication that is made here publishes; empty leaves it to the server, which is all.
    #[serde(default)]
    pub publish: Vec<Publish>,
    /// Run on every connection for SQL once it is open.
    #[serde(default)]
    pub initial_statements: Vec<String>,
    /// Run with each heartbeat, so that an idle database's log moves.
    #[serde(default)]
    pub heartbeat_query: Option<String>,
    /// How often the slot's `xmin` is read into `source.xmin`; 0 never.
    #[serde(default)]
    pub xmin_interval_ms: u64,
    /// How often the server is told what is confirmed, beside every time that it moves.
    #[serde(default = "default_status_interval_ms")]
    pub status_interval_ms: u64,
    #[serde(default)]
    pub wal_guard: WalGuardConfig,
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

/// Debezium's `offset.mismatch.strategy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OffsetMismatch {
    /// Refuse to start if the slot begins after the stored position. Debezium goes on there unseen.
    #[default]
    #[serde(alias = "no_validation")]
    Refuse,
    /// The same, and move a slot that begins before it up to it.
    TrustOffset,
    /// Go on where the slot begins: what lies between is skipped.
    TrustSlot,
    /// Go on at the later of the two, and move the slot up to it.
    TrustGreaterLsn,
}

impl OffsetMismatch {
    /// Whether changes before the slot's begin are given up.
    pub const fn skips(self) -> bool {
        matches!(self, OffsetMismatch::TrustSlot | OffsetMismatch::TrustGreaterLsn)
    }

    /// Whether the slot is moved up to the stored position before the stream begins.
    pub const fn advances(self) -> bool {
        matches!(self, OffsetMismatch::TrustOffset | OffsetMismatch::TrustGreaterLsn)
    }
}

/// Debezium's `lsn.flush.mode`. Its `connector_and_driver` also moves the slot of an idle database; here
/// that is always so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LsnFlush {
    #[default]
    #[serde(alias = "connector_and_driver")]
    Connector,
    /// Somebody else moves the slot; the server keeps its log until then.
    Manual,
}

/// PostgreSQL's words of a publication's `publish` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Publish {
    Insert,
    Update,
    Delete,
    Truncate,
}

impl Publish {
    pub const fn word(self) -> &'static str {
        match self {
            Publish::Insert => "insert",
            Publish::Update => "update",
            Publish::Delete => "delete",
            Publish::Truncate => "truncate",
        }
    }
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

/// A server notices a cut connection at the latest when it next writes to it.
fn default_slot_wait_ms() -> u64 {
    8_000
}

/// PostgreSQL's bound on the length of names.
const LONGEST_NAME_BYTES: usize = 63;

impl SourceConfig {
    /// What cannot work whatever the server says.
    pub fn check(&self) -> Result<()> {
        let slot_fits = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '_');
        if self.slot.is_empty() || self.slot.len() > LONGEST_NAME_BYTES || !self.slot.chars().all(slot_fits) {
            return Err(Error::new(
                Kind::Config,
                format!("source.slot = {:?} is no name for a slot", self.slot),
            )
            .remedy("use lower-case letters, digits and _, at most 63 of them"));
        }
        for (key, name) in
            [("database", &self.database), ("user", &self.user), ("publication", &self.publication)]
        {
            if name.is_empty() || name.len() > LONGEST_NAME_BYTES || name.contains('\0') {
                return Err(Error::new(Kind::Config, format!("source.{key} = {name:?} is no name"))
                    .remedy("PostgreSQL's names have 1 to 63 bytes"));
            }
        }
        if !self.tables.is_empty() && !self.exclude_tables.is_empty() {
            return Err(Error::new(
                Kind::Config,
                "source.tables and source.exclude_tables exclude each other",
            )
            .remedy("name what is captured, or what is not"));
        }
        for (list, include, exclude) in [
            ("schemas", &self.schemas, &self.exclude_schemas),
            ("columns", &self.columns, &self.exclude_columns),
            ("message_prefixes", &self.message_prefixes, &self.exclude_message_prefixes),
        ] {
            if !include.is_empty() && !exclude.is_empty() {
                let what = format!("source.{list} and source.exclude_{list} exclude each other");
                return Err(Error::new(Kind::Config, what).remedy("name what is captured, or what is not"));
            }
        }
        if self.status_interval_ms == 0 {
            return Err(Error::new(Kind::Config, "source.status_interval_ms is 0")
                .remedy("10000 is usual; it must stay well under the server's wal_sender_timeout"));
        }
        self.wal_guard.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_what_cannot_work() {
        for (line, fine) in [
            ("", true),
            ("slot = 'Big'", false),
            ("slot = ''", false),
            ("publication = ''", false),
            ("tables = ['a.b']", true),
            ("tables = ['a.b']\nexclude_tables = ['a.c']", false),
            ("status_interval_ms = 0", false),
        ] {
            let text = format!("database = 'd'\nuser = 'u'\n{line}");
            let overrides = shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
            let config: SourceConfig = shared::config::parse(&text, &overrides).expect("valid");
            assert_eq!(config.check().is_ok(), fine, "{line}");
        }
    }
}
