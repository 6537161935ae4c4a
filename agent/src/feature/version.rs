//! A view's versions in the file: a changed definition is built beside the one that is served.
//!
//! ```text
//! building ── built ──> live ── another definition ──> former ── its successor is served ──> gone
//! ```
//! A former version has values but no rows: they stand still, as everything does while views are built.
//! Going back to a definition is a change like any other.

use super::Opened;
use super::definition::{self, View};
use super::state::{self, Known, Stage};
use crate::config::feature::ViewConfig;
use crate::model::feature::{ViewId, ViewShape};
use rusqlite::Transaction;
use shared::error::Result;

/// Finds or makes the version of a view's present definition among the known ones of its name; says in
/// `opened` what is to be built, what is served until then, and what is gone.
pub fn place(
    tx: &Transaction<'_>,
    view: &View,
    known: Vec<Known>,
    now_us: i64,
    opened: &mut Opened,
) -> Result<(ViewId, i64)> {
    let next = known.iter().map(|one| one.version).max().unwrap_or(0) + 1;
    let (mut live, mut building, mut former) = (None, None, None);
    // The newest comes last.
    for one in known {
        let place = match one.stage {
            Stage::Live if one.definition == view.definition => &mut live,
            Stage::Building => &mut building,
            Stage::Live | Stage::Former => &mut former,
        };
        if let Some(older) = place.replace(one) {
            forget(tx, older.id, opened)?;
        }
    }
    let found = match (live, building) {
        (Some(live), building) => {
            if let Some(unfinished) = building {
                forget(tx, unfinished.id, opened)?;
            }
            (live.id, live.version)
        }
        (None, Some(unfinished)) => {
            state::clear(tx, unfinished.id)?;
            opened.stale.push(unfinished.id);
            (unfinished.id, unfinished.version)
        }
        (None, None) => {
            let id = state::add_view(tx, &view.name, next, now_us)?;
            opened.stale.push(id);
            (id, next)
        }
    };
    let Some(former) = former else { return Ok(found) };
    state::retire(tx, former.id)?;
    match shape_of(&former) {
        Some(shape) => opened.former.push(shape),
        // Another program wrote it.
        None => forget(tx, former.id, opened)?,
    }
    Ok(found)
}

fn forget(tx: &Transaction<'_>, view: ViewId, opened: &mut Opened) -> Result<()> {
    state::forget_view(tx, view)?;
    opened.gone.push(view);
    Ok(())
}

fn shape_of(known: &Known) -> Option<ViewShape> {
    let config: ViewConfig = serde_json::from_str(&known.definition).ok()?;
    let view = definition::compile(&[config]).ok()?.pop()?;
    Some(shape(known.id, known.version, &view))
}

/// What others need to know of a view.
pub fn shape(id: ViewId, version: i64, view: &View) -> ViewShape {
    ViewShape {
        id,
        name: view.name.clone(),
        version,
        entity: view.entity.clone(),
        features: view.features.iter().map(|f| f.name.clone()).collect(),
        ttl_us: view.ttl_us,
    }
}
