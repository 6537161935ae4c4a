//! What is set per subject, and for all that have nothing of their own: level, normalisation, mode.

use super::compatibility::Level;
use crate::db::OrDb;
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use shared::Result;
use std::fmt;
use std::str::FromStr;

/// Whether a subject takes new versions. Importing with given ids is not offered: ids are given out
/// here, and records in the log rely on them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    ReadWrite,
    ReadOnly,
    /// Read-only, whatever a subject says.
    ReadOnlyOverride,
}

const MODES: &[(Mode, &str)] = &[
    (Mode::ReadWrite, "READWRITE"),
    (Mode::ReadOnly, "READONLY"),
    (Mode::ReadOnlyOverride, "READONLY_OVERRIDE"),
];

impl FromStr for Mode {
    type Err = ();
    fn from_str(text: &str) -> std::result::Result<Mode, ()> {
        MODES.iter().find(|(_, name)| name.eq_ignore_ascii_case(text)).map(|(mode, _)| *mode).ok_or(())
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MODES.iter().find(|(mode, _)| mode == self).map_or("READWRITE", |(_, name)| name))
    }
}

/// A subject's configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    pub level: Level,
    pub normalize: Option<bool>,
}

const DEFAULT: Setting = Setting { level: Level::Backward, normalize: None };

/// What is set for exactly this subject; the empty name stands for all that have nothing.
pub(super) fn own(reader: &Connection, subject: &str) -> Result<Option<Setting>> {
    let found: Option<(String, Option<bool>)> = reader
        .prepare_cached("SELECT level, normalize FROM registry_level WHERE subject = ?")
        .and_then(|mut s| s.query_row([subject], |row| Ok((row.get(0)?, row.get(1)?))).optional())
        .or_db("read a compatibility level")?;
    Ok(found.and_then(|(level, normalize)| Some(Setting { level: level.parse().ok()?, normalize })))
}

/// What holds for a subject.
pub(super) fn effective(reader: &Connection, subject: &str) -> Result<Setting> {
    let global = own(reader, "")?.unwrap_or(DEFAULT);
    Ok(match own(reader, subject)? {
        Some(setting) => Setting { normalize: setting.normalize.or(global.normalize), ..setting },
        None => global,
    })
}

/// What is not given stays as it is.
pub(super) fn set(
    transaction: &Transaction<'_>,
    subject: &str,
    level: Option<Level>,
    normalize: Option<bool>,
) -> Result<()> {
    let before = match own(transaction, subject)? {
        Some(own) => own,
        None => Setting { normalize: None, ..effective(transaction, subject)? },
    };
    transaction
        .execute(
            "INSERT INTO registry_level (subject, level, normalize) VALUES (?1, ?2, ?3)
             ON CONFLICT (subject) DO UPDATE SET level = ?2, normalize = ?3",
            params![subject, level.unwrap_or(before.level).to_string(), normalize.or(before.normalize)],
        )
        .map(drop)
        .or_db("store a compatibility level")
}

pub(super) fn clear(transaction: &Transaction<'_>, subject: &str) -> Result<()> {
    transaction
        .execute("DELETE FROM registry_level WHERE subject = ?", [subject])
        .map(drop)
        .or_db("remove a compatibility level")
}

pub(super) fn own_mode(reader: &Connection, subject: &str) -> Result<Option<Mode>> {
    let mode: Option<String> = reader
        .prepare_cached("SELECT mode FROM registry_mode WHERE subject = ?")
        .and_then(|mut s| s.query_row([subject], |row| row.get(0)).optional())
        .or_db("read a mode")?;
    Ok(mode.and_then(|mode| mode.parse().ok()))
}

/// The mode that holds for a subject.
pub(super) fn mode(reader: &Connection, subject: &str) -> Result<Mode> {
    let global = own_mode(reader, "")?.unwrap_or(Mode::ReadWrite);
    if global == Mode::ReadOnlyOverride {
        return Ok(global);
    }
    Ok(own_mode(reader, subject)?.unwrap_or(global))
}

pub(super) fn set_mode(transaction: &Transaction<'_>, subject: &str, mode: Mode) -> Result<()> {
    transaction
        .execute(
            "INSERT INTO registry_mode (subject, mode) VALUES (?1, ?2)
             ON CONFLICT (subject) DO UPDATE SET mode = ?2",
            params![subject, mode.to_string()],
        )
        .map(drop)
        .or_db("store a mode")
}

pub(super) fn clear_mode(transaction: &Transaction<'_>, subject: &str) -> Result<()> {
    transaction
        .execute("DELETE FROM registry_mode WHERE subject = ?", [subject])
        .map(drop)
        .or_db("remove a mode")
}
