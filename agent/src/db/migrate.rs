//! Numbered migrations, forward only; the file's `user_version` is the number of those applied.

use super::OrDb;
use rusqlite::Connection;
use shared::error::Context;
use shared::{Error, Kind, Result};

/// In order of application; each file is named by the room that owns its tables. Never edit one
/// that was released: add another.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_buffer", include_str!("migrations/0001_buffer.sql")),
    ("0002_registry", include_str!("migrations/0002_registry.sql")),
    ("0010_feature", include_str!("migrations/0010_feature.sql")),
    ("0011_gate", include_str!("migrations/0011_gate.sql")),
    ("0012_store", include_str!("migrations/0012_store.sql")),
    ("0013_sync", include_str!("migrations/0013_sync.sql")),
    ("0014_pipeline", include_str!("migrations/0014_pipeline.sql")),
    ("0015_buffer_trimmed", include_str!("migrations/0015_buffer_trimmed.sql")),
    ("0016_pipeline_short_view", include_str!("migrations/0016_pipeline_short_view.sql")),
    ("0017_ingest_consume", include_str!("migrations/0017_ingest_consume.sql")),
    ("0018_buffer_transaction", include_str!("migrations/0018_buffer_transaction.sql")),
    ("0019_ingest_group", include_str!("migrations/0019_ingest_group.sql")),
    ("0020_forward", include_str!("migrations/0020_forward.sql")),
    ("0021_buffer_keep", include_str!("migrations/0021_buffer_keep.sql")),
    ("0022_registry_more", include_str!("migrations/0022_registry_more.sql")),
    ("0023_ingest_ways", include_str!("migrations/0023_ingest_ways.sql")),
    ("0030_feature_engine", include_str!("migrations/0030_feature_engine.sql")),
    ("0031_buffer_delete", include_str!("migrations/0031_buffer_delete.sql")),
    ("0035_feature_keys", include_str!("migrations/0035_feature_keys.sql")),
    ("0036_feature_version", include_str!("migrations/0036_feature_version.sql")),
    ("0040_sync_targets", include_str!("migrations/0040_sync_targets.sql")),
    ("0041_store_block", include_str!("migrations/0041_store_block.sql")),
    ("0042_feature_lookup", include_str!("migrations/0042_feature_lookup.sql")),
    ("0043_forward_told", include_str!("migrations/0043_forward_told.sql")),
];

/// How many migrations the file has seen.
///
/// # Errors
/// `Config` if a newer version of the program wrote the file.
pub fn applied(connection: &Connection) -> Result<usize> {
    let applied: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .or_db("read the layout's version")?;
    let applied = applied as usize;
    if applied > MIGRATIONS.len() {
        let what = format!("layout {applied} is newer than this program knows ({})", MIGRATIONS.len());
        return Err(Error::new(Kind::Config, what)
            .remedy("run the version of the agent that wrote it, or a newer one"));
    }
    Ok(applied)
}

/// Brings the file to the newest layout.
pub fn migrate(connection: &mut Connection) -> Result<()> {
    let applied = applied(connection)?;
    for (version, (name, text)) in (1u32..).zip(MIGRATIONS).skip(applied) {
        apply(connection, version, text).doing(|| format!("apply migration {name}"))?;
        tracing::info!(event = "db_migrated", migration = name, "brought the file to a newer layout");
    }
    Ok(())
}

/// All tables in a file that is new, without a word.
pub fn lay(connection: &mut Connection) -> Result<()> {
    for (version, (name, text)) in (1u32..).zip(MIGRATIONS) {
        apply(connection, version, text).doing(|| format!("apply migration {name}"))?;
    }
    Ok(())
}

fn apply(connection: &mut Connection, version: u32, text: &str) -> Result<()> {
    let transaction = connection.transaction().or_db("begin")?;
    transaction.execute_batch(text).or_db("change the layout")?;
    transaction.pragma_update(None, "user_version", version).or_db("note the layout's version")?;
    transaction.commit().or_db("commit")
}
