//! Whether an entity's values still wait to be brought to the centre, for who watches how long that takes.

use crate::db::OrDb;
use crate::model::feature::ViewId;
use rusqlite::{Connection, OptionalExtension, params};
use shared::error::Result;

/// Looks into the outbox.
pub fn waits(connection: &Connection, view: ViewId, entity: &[u8]) -> Result<bool> {
    connection
        .prepare_cached("SELECT 1 FROM sync_outbox WHERE view = ?1 AND entity = ?2 LIMIT 1")
        .and_then(|mut statement| statement.query_row(params![view.0, entity], |_| Ok(())).optional())
        .or_db("look into the outbox")
        .map(|found| found.is_some())
}
