//! The replication slot: create, inspect, drop; and the command that starts its stream.

use super::server::Server;
use super::sql::{Sql, identifier, literal};
use super::wire::Wire;
use crate::config::source::SourceConfig;
use crate::model::position::Lsn;
use shared::error::Context;
use shared::{Error, Kind, Result};

/// PostgreSQL 15 changed the options' syntax.
const NEW_SYNTAX_VERSION: i32 = 150_000;
/// Since this version a slot can be kept in step on standbys.
const FAILOVER_VERSION: i32 = 170_000;

/// A slot as the server keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub plugin: Option<String>,
    pub database: Option<String>,
    /// The process that reads it now.
    pub active_pid: Option<i32>,
    /// Everything at or below was confirmed; streaming cannot begin earlier.
    pub confirmed: Lsn,
    /// The server removed log that the slot needs.
    pub lost: bool,
}

/// A slot just made, and the snapshot that fits it exactly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    pub consistent_point: Lsn,
    /// Good until the connection that made it runs its next command.
    pub snapshot_name: String,
}

pub fn inspect(sql: &mut Sql, name: &str) -> Result<Option<Slot>> {
    // `to_jsonb` gives a null for `wal_status`, which PostgreSQL 12 does not have.
    let rows = sql
        .query(
            "SELECT s.plugin::text, s.database::text, s.active_pid, s.confirmed_flush_lsn::text, \
             coalesce(to_jsonb(s) ->> 'wal_status', '') = 'lost' \
             FROM pg_catalog.pg_replication_slots s WHERE s.slot_name::text = $1",
            &[&name],
        )
        .doing(|| format!("inspect slot {name}"))?;
    Ok(rows.first().map(|row| Slot {
        plugin: row.get(0),
        database: row.get(1),
        active_pid: row.get(2),
        confirmed: row.get::<_, Option<&str>>(3).and_then(|lsn| lsn.parse().ok()).unwrap_or_default(),
        lost: row.get(4),
    }))
}

impl Slot {
    /// Whether this connector can go on with the slot.
    pub fn check(&self, config: &SourceConfig) -> Result<()> {
        let name = &config.slot;
        let other_slot = "set source.slot to a name of this connector's own";
        match &self.plugin {
            Some(plugin) if plugin == "pgoutput" => {}
            _ => {
                let plugin = self.plugin.as_deref().unwrap_or("physical");
                return Err(Error::new(
                    Kind::Config,
                    format!("slot {name} is of plug-in {plugin}, not pgoutput"),
                )
                .remedy(other_slot));
            }
        }
        if self.database.as_deref() != Some(&config.database) {
            let database = self.database.as_deref().unwrap_or_default();
            return Err(Error::new(
                Kind::Config,
                format!("slot {name} belongs to database {database}, not {}", config.database),
            )
            .remedy(other_slot));
        }
        if self.lost {
            return Err(Error::new(
                Kind::Lost,
                format!("slot {name} is invalid: the server removed log it needs"),
            )
            .remedy(format!(
                "SELECT pg_drop_replication_slot({}); remove the stored offset, and start again for a new \
                     snapshot; max_slot_wal_keep_size bounds what the server keeps",
                literal(name)
            )));
        }
        Ok(())
    }
}

impl Slot {
    /// Before work that would be in vain: the stream can have one reader only.
    pub fn check_free(&self, name: &str) -> Result<()> {
        match self.active_pid {
            None => Ok(()),
            Some(pid) => {
                Err(Error::new(Kind::Unreachable, format!("slot {name} is being read by process {pid}"))
                    .remedy("stop the other reader of the slot, or set source.slot to another name"))
            }
        }
    }
}

/// Where the slot stands, if a stored position can be resumed with it.
///
/// # Errors
/// `Lost`, if changes after the position are gone.
pub fn resumable(config: &SourceConfig, server: &Server, stored: Lsn, slot: Option<&Slot>) -> Result<Lsn> {
    let name = &config.slot;
    let Some(slot) = slot else {
        let what = format!("slot {name} is gone, but {stored} is stored to resume from");
        return Err(Error::new(Kind::Lost, what).remedy(
            "the changes since then are lost: remove the stored offset and start again for a new snapshot",
        ));
    };
    slot.check(config)?;
    let end = server.log_end();
    if stored > end {
        let what = format!("{stored} is stored to resume from, but the server's log ends at {end}");
        return Err(Error::new(Kind::Lost, what).remedy(
            "this is another server or one restored from a backup: remove the stored offset and start \
             again for a new snapshot",
        ));
    }
    if stored < slot.confirmed && !config.offset_mismatch.skips() {
        // We store before we confirm, so only somebody else can have moved the slot.
        let what = format!("{stored} is stored to resume from, but slot {name} begins at {}", slot.confirmed);
        return Err(Error::new(Kind::Lost, what).remedy(
            "the slot was made anew or moved by somebody else, and the changes between are lost: remove the \
             stored offset and start again for a new snapshot, or set source.offset_mismatch = \"trust_slot\" to go \
             on without them",
        ));
    }
    Ok(slot.confirmed)
}

/// Since this version the plug-in passes logical messages on.
const MESSAGES_VERSION: i32 = 140_000;

/// The slot's `xmin`, if it holds one.
pub fn xmin(sql: &mut Sql, name: &str) -> Result<Option<i64>> {
    let rows = sql
        .query(
            "SELECT xmin::text::bigint FROM pg_catalog.pg_replication_slots WHERE slot_name::text = $1",
            &[&name],
        )
        .doing(|| format!("read the xmin of slot {name}"))?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

/// Makes the slot, on a replication connection.
pub fn create(wire: &mut Wire, config: &SourceConfig, server: &Server) -> Result<Created> {
    let name = identifier(&config.slot);
    let options = options(config, server);
    let rows = wire
        .query(&format!("CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput {options}"))
        .map_err(|error| match error.kind() {
            Kind::Unreachable if server.in_recovery => error.remedy(
                "a standby needs a word of the primary: SELECT pg_log_standby_snapshot() there, then start again",
            ),
            Kind::Unreachable => error.remedy(
                "the server waits for every transaction under way to end: SELECT pid, xact_start, query FROM \
                 pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start",
            ),
            _ => error,
        })
        .doing(|| format!("create slot {}", config.slot))?;
    let fields = rows.first().map(Vec::as_slice).unwrap_or_default();
    match fields {
        [_, Some(point), Some(snapshot), ..] => Ok(Created {
            consistent_point: point
                .parse()
                .map_err(|_| Error::new(Kind::Data, "the slot's point is no LSN"))?,
            snapshot_name: snapshot.clone(),
        }),
        _ => Err(Error::new(Kind::Data, "the server did not describe the slot it made")),
    }
}

/// How the slot is made. As with Debezium, a server that cannot keep it for a failover makes an ordinary one.
fn options(config: &SourceConfig, server: &Server) -> &'static str {
    let failover = config.slot_failover && server.version >= FAILOVER_VERSION && !server.in_recovery;
    if config.slot_failover && !failover {
        tracing::warn!(
            event = "slot_without_failover",
            slot = %config.slot,
            version = server.version,
            standby = server.in_recovery,
            "the slot is made without failover: that needs a primary of PostgreSQL 17"
        );
    }
    match (server.version >= NEW_SYNTAX_VERSION, failover) {
        (false, _) => "EXPORT_SNAPSHOT",
        (true, false) => "(SNAPSHOT 'export')",
        (true, true) => "(SNAPSHOT 'export', FAILOVER true)",
    }
}

/// Moves the slot up to `lsn`, so that nothing before it is decoded again.
pub fn advance(sql: &mut Sql, name: &str, lsn: Lsn) -> Result<()> {
    let doing = || format!("move slot {name} up to {lsn}");
    let statement = "SELECT pg_catalog.pg_replication_slot_advance($1::text::name, $2::text::pg_lsn)";
    sql.query(statement, &[&name, &lsn.to_string()]).doing(doing)?;
    tracing::info!(event = "slot_advanced", slot = name, %lsn, "slot moved up to the stored position");
    Ok(())
}

pub fn drop(sql: &mut Sql, name: &str) -> Result<()> {
    sql.query("SELECT pg_catalog.pg_drop_replication_slot($1::text::name)", &[&name])
        .doing(|| format!("drop slot {name}"))
        .map(|_| ())
}

/// Asks for the slot's stream from `start` on; zero is where the slot stands.
pub fn start(wire: &mut Wire, config: &SourceConfig, server_version: i32, start: Lsn) -> Result<()> {
    let publications = literal(&identifier(&config.publication));
    let messages = if server_version >= MESSAGES_VERSION { ", messages 'true'" } else { "" };
    let further: String = plugin_options(config)?;
    let command = format!(
        "START_REPLICATION SLOT {} LOGICAL {start} (proto_version '1', publication_names {publications}{messages}{further})",
        identifier(&config.slot),
    );
    let begin = |wire: &mut Wire| {
        wire.send_query(&command)?;
        loop {
            let frame = wire.answer()?;
            match frame.tag {
                b'W' => return Ok(()),
                b'E' => {
                    let error = super::failure::ServerError::parse(frame.body);
                    return Err(error.map_err(super::wire::protocol)?.into_error());
                }
                _ => {}
            }
        }
    };
    begin(wire).doing(|| format!("stream from slot {}", config.slot))
}

/// Options that change which changes come, and not how they are said.
const PLUGIN_OPTIONS: [&str; 1] = ["origin"];

fn plugin_options(config: &SourceConfig) -> Result<String> {
    let one = |option: &String| {
        let (name, value) = option.split_once('=').unwrap_or((option, "true"));
        if PLUGIN_OPTIONS.contains(&name.trim()) {
            return Ok(format!(", {} {}", identifier(name.trim()), literal(value.trim())));
        }
        Err(Error::new(
            Kind::Config,
            format!("source.stream_options: {} is not an option to set", name.trim()),
        )
        .remedy(format!("possible: {}; the others are the connector's own", PLUGIN_OPTIONS.join(", "))))
    };
    config.stream_options.iter().map(one).collect()
}
