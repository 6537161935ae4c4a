//! A table being read, and the statements that read its pieces.

use crate::model::progress::SnapshotProgress;
use crate::model::table::TableId;
use crate::snapshot::chunk::{END, Range};
use crate::snapshot::piece::{File, Notes, Piece};
use crate::source::postgres::relation::Relation;
use crate::source::postgres::sql::{identifier, literal};
use crate::source::postgres::wire::Wire;
use shared::Result;
use shared::error::Context;
use std::sync::Arc;

/// Servers before this one read a whole table for each piece of it.
const PAGES_VERSION: i32 = 140_000;

/// A table to read.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub id: TableId,
    /// The SELECT that gives its rows, if not simply all.
    pub select: Option<String>,
}

/// A table being read.
#[derive(Debug)]
pub struct Reading {
    pub id: TableId,
    pub relation: Arc<Relation>,
    pub select: Option<String>,
    /// Its pieces, and those not yet read to their end.
    pub pieces: usize,
    pub open: usize,
    /// Rows read, and of them those handed over.
    pub rows: u64,
    pub handed: u64,
    notes: Notes,
}

/// What the server says about a table's file, whose pages are its rows if it is a plain one that is read
/// whole.
pub fn file(wire: &mut Wire, wanted: &Wanted, server_version: i32) -> Result<File> {
    let Wanted { id, select } = wanted;
    let name = literal(&name(id));
    let rows = wire
        .query(&format!(
            "SELECT c.relkind = 'r' AND NOT c.relhassubclass AND a.amname IS NOT DISTINCT FROM 'heap', \
             coalesce(pg_catalog.pg_relation_size(c.oid), 0) / current_setting('block_size')::bigint, \
             coalesce(pg_catalog.pg_relation_filenode(c.oid), 0) \
             FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam \
             WHERE c.oid = pg_catalog.to_regclass({name})"
        ))
        .doing(|| format!("look at table {id}"))?;
    let Some([Some(plain), Some(pages), Some(number)]) = rows.first().map(Vec::as_slice) else {
        return Ok(File { divisible: false, pages: 0, number: 0 });
    };
    Ok(File {
        divisible: plain == "t" && select.is_none() && server_version >= PAGES_VERSION,
        pages: pages.parse().unwrap_or(END - 1),
        number: number.parse().unwrap_or_default(),
    })
}

/// The name as SQL.
pub fn name(id: &TableId) -> String {
    format!("{}.{}", identifier(&id.schema), identifier(&id.name))
}

/// The statement that reads a piece.
pub fn statement(reading: &Reading, piece: &Piece) -> String {
    let columns: Vec<String> =
        reading.relation.table.columns.iter().map(|column| identifier(&column.name)).collect();
    let name = name(&reading.id);
    let from = match (piece, &reading.select) {
        (Piece::Whole, Some(select)) => format!("({}) AS given", select.trim().trim_end_matches(';')),
        (Piece::Whole, None) => name,
        (Piece::Pages(range), _) => format!("ONLY {name} WHERE {}", within(*range)),
        (Piece::Changed { pages, since }, _) => {
            let pages: Vec<String> = pages.iter().map(|range| format!("({})", within(*range))).collect();
            format!("ONLY {name} WHERE age(xmin) <= age('{since}'::xid) AND ({})", pages.join(" OR "))
        }
    };
    format!("COPY (SELECT {} FROM {from}) TO STDOUT", columns.join(", "))
}

fn within((from, to): Range) -> String {
    match to {
        END => format!("ctid >= '({from},0)'"),
        to => format!("ctid >= '({from},0)' AND ctid < '({to},0)'"),
    }
}

impl Reading {
    pub fn new(wanted: Wanted, relation: Relation, pieces: &[Piece]) -> Self {
        Reading {
            id: wanted.id,
            relation: Arc::new(relation),
            select: wanted.select,
            pieces: pieces.len(),
            open: pieces.len(),
            rows: 0,
            handed: 0,
            notes: Notes::new(pieces),
        }
    }

    /// Takes note that a piece was read, and its rows handed over.
    pub fn note(&mut self, progress: &mut SnapshotProgress, piece: Piece) {
        self.notes.add(progress.tables.get_mut(&self.id), piece);
    }
}
