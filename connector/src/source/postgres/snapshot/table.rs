//! Tables and their pieces, in the order in which they are read, and the statements that read them.

use crate::model::progress::{Pages, SnapshotProgress, TableProgress};
use crate::model::table::TableId;
use crate::snapshot::chunk::{self, END, Range};
use crate::source::postgres::relation::Relation;
use crate::source::postgres::sql::{identifier, literal};
use crate::source::postgres::wire::Wire;
use shared::error::Context;
use shared::{Error, Kind, Result};
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
    /// Pieces not yet read to their end.
    pub open: usize,
    /// Rows read, and of them those handed over.
    pub rows: u64,
    pub handed: u64,
    /// Pages read while [`Piece::Changed`] is not: they count when it is.
    waiting: Option<Vec<Range>>,
}

/// What one statement reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// All of it at once.
    Whole,
    Pages(Range),
    /// Rows that changed since these pages were read before a crash, at a view that began at this
    /// transaction: one of them may have moved into them from a page that was not read yet.
    Changed {
        pages: Vec<Range>,
        since: u32,
    },
}

/// What the server says about a table's file.
struct File {
    /// Plain, without children, so that its pages are its rows.
    plain: bool,
    pages: u32,
    number: u32,
}

/// Cuts a table into what is left to read of it; nothing if that is nothing. `progress` gets its entry.
pub fn pieces(
    wire: &mut Wire,
    wanted: &Wanted,
    chunk_pages: u32,
    server_version: i32,
    progress: &mut SnapshotProgress,
) -> Result<Vec<Piece>> {
    let view = progress.views.len().saturating_sub(1);
    let file = file(wire, &wanted.id)?;
    let divisible = file.plain && wanted.select.is_none() && server_version >= PAGES_VERSION;
    let begun = progress.tables.get(&wanted.id).filter(|begun| divisible && begun.file == file.number);
    let done = match begun.map(|begun| (&begun.pages, begun.view)) {
        Some((Pages::Some(done), view)) if !done.is_empty() => Some((done.clone(), view)),
        _ => None,
    };
    let Some((done, first_view)) = done else {
        let entry = TableProgress { view, file: file.number, pages: Pages::default() };
        progress.tables.insert(wanted.id.clone(), entry);
        let small = file.pages <= chunk_pages;
        let all = chunk::pieces(file.pages, chunk_pages, &[]);
        return Ok(match divisible && !small {
            true => all.into_iter().map(Piece::Pages).collect(),
            false => vec![Piece::Whole],
        });
    };
    let since = progress.views.get(first_view).and_then(|view| oldest(&view.seen));
    let since = since.ok_or_else(|| Error::new(Kind::Lost, "the stored snapshot has another form"))?;
    let left = chunk::pieces(file.pages, chunk_pages, &done).into_iter().map(Piece::Pages);
    Ok([Piece::Changed { pages: done, since }].into_iter().chain(left).collect())
}

/// The lower half of the oldest transaction that a snapshot `xmin:xmax:…` found under way.
fn oldest(seen: &str) -> Option<u32> {
    let whole: u64 = seen.split(':').next()?.parse().ok()?;
    u32::try_from(whole & u64::from(u32::MAX)).ok()
}

fn file(wire: &mut Wire, id: &TableId) -> Result<File> {
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
        return Ok(File { plain: false, pages: 0, number: 0 });
    };
    Ok(File {
        plain: plain == "t",
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
        let changed = pieces.iter().any(|piece| matches!(piece, Piece::Changed { .. }));
        Reading {
            id: wanted.id,
            relation: Arc::new(relation),
            select: wanted.select,
            open: pieces.len(),
            rows: 0,
            handed: 0,
            waiting: changed.then(Vec::new),
        }
    }

    /// Takes note that a piece was read, and its rows handed over.
    pub fn note(&mut self, progress: &mut SnapshotProgress, piece: Piece) {
        let Some(table) = progress.tables.get_mut(&self.id) else { return };
        match (piece, &mut self.waiting) {
            (Piece::Whole, _) => table.pages = Pages::All,
            (Piece::Pages(range), Some(waiting)) => waiting.push(range),
            (Piece::Pages(range), None) => chunk::add(&mut table.pages, range),
            (Piece::Changed { .. }, waiting) => {
                for range in waiting.take().unwrap_or_default() {
                    chunk::add(&mut table.pages, range);
                }
            }
        }
    }
}
