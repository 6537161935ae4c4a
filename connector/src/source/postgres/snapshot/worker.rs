//! One connection that reads pieces of tables. It holds back the row read last, because that row's
//! marker depends on what follows.

use crate::snapshot::piece::Piece;
use crate::source::postgres::copy::CopyRow;
use crate::source::postgres::failure::ServerError;
use crate::source::postgres::wire::{Wire, protocol};
use shared::{Error, Kind, Result};

pub struct Worker {
    pub wire: Wire,
    /// What is being read: the table's place in the snapshot, and which part of it.
    pub current: Option<(usize, Piece)>,
    pub held: Held,
    /// Rows were handed over of a piece that does not count as read yet.
    pub given: bool,
    /// The row read last is the first of its piece, and waits for a boundary before it is held.
    pub waits: bool,
    next_row: CopyRow,
}

/// The row that waits, and what counts as read once it is handed over.
#[derive(Default)]
pub struct Held {
    /// The table that it is of; `None` if no row waits.
    pub table: Option<usize>,
    pub row: CopyRow,
    pub ended: Vec<(usize, Piece)>,
}

/// What a worker found in what it read.
pub enum Found {
    /// Nothing whole any more.
    Nothing,
    /// A row, in [`Worker::hold`]'s hands now.
    Row,
    /// The end of the piece.
    End,
}

impl Worker {
    pub fn new(wire: Wire) -> Self {
        Worker {
            wire,
            current: None,
            held: Held::default(),
            given: false,
            waits: false,
            next_row: CopyRow::default(),
        }
    }

    /// Asks for a piece.
    pub fn ask(&mut self, table: usize, piece: Piece, statement: &str) -> Result<()> {
        self.wire.send_query(statement)?;
        self.current = Some((table, piece));
        Ok(())
    }

    /// Looks at the next message that was read. A row stays aside until [`Worker::hold`].
    pub fn next(&mut self) -> Result<Found> {
        while let Some(frame) = self.wire.next()? {
            match frame.tag {
                b'd' => {
                    self.next_row.read(frame.body).map_err(protocol)?;
                    return Ok(Found::Row);
                }
                b'E' => return Err(ServerError::parse(frame.body).map_err(protocol)?.into_error()),
                b'Z' => return Ok(Found::End),
                _ => {}
            }
        }
        Ok(Found::Nothing)
    }

    /// The row just read is now the one that waits. Gives its table.
    pub fn hold(&mut self) -> Result<usize> {
        let (table, _) = self.current.as_ref().ok_or_else(stray)?;
        self.held.table = Some(*table);
        std::mem::swap(&mut self.held.row, &mut self.next_row);
        Ok(*table)
    }

    /// Whether it has rows to receive.
    pub fn reads(&self) -> bool {
        self.current.is_some() && !self.waits
    }

    /// Whether it reads again what changed: other pieces count only once that does.
    pub fn rereads(&self) -> bool {
        let pieces = self.held.ended.iter().chain(&self.current);
        pieces.into_iter().any(|(_, piece)| matches!(piece, Piece::Changed { .. }))
    }
}

fn stray() -> Error {
    Error::new(Kind::Data, "a row came between two tables")
}
