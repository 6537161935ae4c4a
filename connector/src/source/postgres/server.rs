//! The server as a whole: version, settings, and what our role may do.

use super::sql::{Sql, identifier};
use crate::config::source::SourceConfig;
use crate::model::position::Lsn;
use shared::error::Context;
use shared::{Error, Kind, Result};

/// `pgoutput` and `wal_status`-free catalogues are the same from here on.
const OLDEST_VERSION: i32 = 120_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// As `server_version_num`: 150018.
    pub version: i32,
    pub wal_level: String,
    pub in_recovery: bool,
    /// Superuser, REPLICATION, or a member of the role that a cloud gives it to.
    pub may_replicate: bool,
    pub superuser: bool,
    /// Where the log ends now.
    pub end_lsn: String,
}

pub fn inspect(sql: &mut Sql) -> Result<Server> {
    let rows = sql
        .query(
            "SELECT current_setting('server_version_num')::int, current_setting('wal_level'), pg_is_in_recovery(), \
             r.rolsuper OR r.rolreplication OR EXISTS (SELECT 1 FROM pg_catalog.pg_roles g \
             WHERE g.rolname IN ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin') \
             AND pg_has_role(current_user, g.oid, 'member')), r.rolsuper, \
             CASE WHEN pg_is_in_recovery() THEN coalesce(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
             ELSE pg_current_wal_lsn() END::text \
             FROM pg_catalog.pg_roles r WHERE r.rolname = current_user",
            &[],
        )
        .doing(|| "inspect the server")?;
    let row = rows.first().ok_or_else(|| Error::new(Kind::Bug, "our own role is not in pg_roles"))?;
    Ok(Server {
        version: row.get(0),
        wal_level: row.get(1),
        in_recovery: row.get(2),
        may_replicate: row.get(3),
        superuser: row.get(4),
        end_lsn: row.get::<_, Option<String>>(5).unwrap_or_default(),
    })
}

impl Server {
    /// Where the log ended when the server was asked.
    pub fn log_end(&self) -> Lsn {
        self.end_lsn.parse().unwrap_or(Lsn(u64::MAX))
    }

    pub fn check_version(&self) -> Result<()> {
        if self.version >= OLDEST_VERSION {
            return Ok(());
        }
        Err(Error::new(Kind::Config, format!("the server is of version {}", self.version))
            .remedy("PostgreSQL 12 or newer is needed"))
    }

    pub fn check_wal_level(&self) -> Result<()> {
        if self.wal_level == "logical" {
            return Ok(());
        }
        Err(Error::new(Kind::Rejected, format!("wal_level is {}, not logical", self.wal_level)).remedy(
            "ALTER SYSTEM SET wal_level = 'logical'; then restart the server (on RDS: rds.logical_replication = 1)",
        ))
    }

    pub fn check_replication(&self, config: &SourceConfig) -> Result<()> {
        if self.may_replicate {
            return Ok(());
        }
        Err(Error::new(Kind::Denied, format!("role {} may not replicate", config.user))
            .remedy(replication_remedy(config)))
    }
}

/// The SQL that lets our role read the log.
pub fn replication_remedy(config: &SourceConfig) -> String {
    format!("ALTER ROLE {} REPLICATION", identifier(&config.user))
}
