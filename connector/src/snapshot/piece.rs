//! What is read of a table at once, what is left after a crash, and when a piece counts as read. Pure.
//!
//! What is left of a table is read at a later point in time than what was read before. Of that, only rows
//! that changed since are read again, as one of them may have moved there from a page not read yet; and
//! only when they are do the pages read meanwhile count.

use super::chunk::{self, Range};
use crate::model::progress::{Pages, SnapshotProgress, TableProgress};
use crate::model::table::TableId;
use shared::{Error, Kind, Result};

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

/// A table's file on the server's disk.
#[derive(Clone, Copy, Debug)]
pub struct File {
    /// Its pages can be read by themselves.
    pub divisible: bool,
    pub pages: u32,
    /// Another number means that its pages are others.
    pub number: u32,
}

/// Cuts a table into what is left to read of it; `progress` gets its entry.
///
/// # Errors
/// `Lost` if what is stored of the first view cannot be read.
pub fn pieces(
    id: &TableId,
    file: &File,
    chunk_pages: u32,
    progress: &mut SnapshotProgress,
) -> Result<Vec<Piece>> {
    let begun = progress.tables.get(id).filter(|begun| file.divisible && begun.file == file.number);
    let done = match begun.map(|begun| &begun.pages) {
        Some(Pages::Some(done)) if !done.is_empty() => Some(done.clone()),
        _ => None,
    };
    let Some(done) = done else {
        let entry = TableProgress { file: file.number, pages: Pages::default() };
        progress.tables.insert(id.clone(), entry);
        let small = file.pages <= chunk_pages;
        let all = chunk::pieces(file.pages, chunk_pages, &[]);
        return Ok(match file.divisible && !small {
            true => all.into_iter().map(Piece::Pages).collect(),
            false => vec![Piece::Whole],
        });
    };
    let since = progress.view.as_ref().and_then(|view| oldest(&view.seen));
    let since = since.ok_or_else(|| Error::new(Kind::Lost, "the stored snapshot has another form"))?;
    let left = chunk::pieces(file.pages, chunk_pages, &done).into_iter().map(Piece::Pages);
    Ok([Piece::Changed { pages: done, since }].into_iter().chain(left).collect())
}

/// The lower half of the oldest transaction that a snapshot `xmin:xmax:…` found under way.
fn oldest(seen: &str) -> Option<u32> {
    let whole: u64 = seen.split(':').next()?.parse().ok()?;
    u32::try_from(whole & u64::from(u32::MAX)).ok()
}

/// Pieces read of one table.
#[derive(Debug)]
pub struct Notes {
    /// Pages read while [`Piece::Changed`] is not: they count when it is.
    waiting: Option<Vec<Range>>,
}

impl Notes {
    pub fn new(pieces: &[Piece]) -> Notes {
        let changed = pieces.iter().any(|piece| matches!(piece, Piece::Changed { .. }));
        Notes { waiting: changed.then(Vec::new) }
    }

    /// A piece was read, and its rows handed over.
    pub fn add(&mut self, table: Option<&mut TableProgress>, piece: Piece) {
        let Some(table) = table else { return };
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
