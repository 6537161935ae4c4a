//! The `pgoutput` plug-in's messages, protocol version 1, text tuples: bytes → message. Pure.
//!
//! Nothing is copied: tuples stay bytes until a row's decoder walks them.

use super::cursor::{Cursor, Malformed};
use crate::model::position::Lsn;

/// Microseconds from 1970-01-01 to PostgreSQL's epoch, 2000-01-01.
const EPOCH_US: i64 = 946_684_800_000_000;

#[derive(Clone, Copy, Debug)]
pub enum Message<'a> {
    Begin(Begin),
    Commit(Commit),
    Relation(Relation<'a>),
    Insert {
        relation: u32,
        new: Tuple<'a>,
    },
    Update {
        relation: u32,
        old: Option<Old<'a>>,
        new: Tuple<'a>,
    },
    Delete {
        relation: u32,
        old: Old<'a>,
    },
    Truncate(Truncate<'a>),
    /// Written by an application, not by a table's change.
    Logical(Logical<'a>),
    /// The transaction was replicated from elsewhere.
    Origin {
        name: &'a str,
        lsn: Lsn,
    },
    /// A type's name: the catalogue knows it.
    Type,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the transaction's commit record.
    pub final_lsn: Lsn,
    /// Microseconds since 1970.
    pub commit_time_us: i64,
    pub transaction_id: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// LSN after the commit record.
    pub end_lsn: Lsn,
    pub commit_time_us: i64,
}

#[derive(Clone, Copy, Debug)]
pub struct Relation<'a> {
    pub id: u32,
    pub schema: &'a str,
    pub name: &'a str,
    columns: u16,
    bytes: &'a [u8],
}

/// A column as a relation message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelationColumn<'a> {
    pub name: &'a str,
    pub type_oid: u32,
    /// `atttypmod`; -1 when the type has none.
    pub modifier: i32,
}

/// The row before: its key's columns (the others null), or all of it with replica identity FULL.
#[derive(Clone, Copy, Debug)]
pub struct Old<'a> {
    pub whole: bool,
    pub tuple: Tuple<'a>,
}

/// A row's cells, still as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Tuple<'a> {
    columns: u16,
    bytes: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell<'a> {
    Null,
    /// Stored out of line and not changed: not sent.
    Unchanged,
    Text(&'a [u8]),
}

/// Tables that were emptied at once: their relations' numbers, still as bytes.
#[derive(Clone, Copy, Debug)]
pub struct Truncate<'a>(&'a [u8]);

impl Truncate<'_> {
    pub fn relations(&self) -> impl Iterator<Item = u32> + use<'_> {
        let (numbers, _) = self.0.as_chunks::<4>();
        numbers.iter().map(|bytes| u32::from_be_bytes(*bytes))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logical<'a> {
    pub transactional: bool,
    pub prefix: &'a str,
    pub content: &'a [u8],
}

impl<'a> Message<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut cursor = Cursor(bytes);
        Ok(match cursor.u8("message kind")? {
            b'B' => Message::Begin(Begin {
                final_lsn: Lsn(cursor.u64("begin")?),
                commit_time_us: cursor.i64("begin")?.saturating_add(EPOCH_US),
                transaction_id: cursor.u32("begin")?,
            }),
            b'C' => {
                cursor.take(1 + 8, "commit")?;
                Message::Commit(Commit {
                    end_lsn: Lsn(cursor.u64("commit")?),
                    commit_time_us: cursor.i64("commit")?.saturating_add(EPOCH_US),
                })
            }
            b'R' => Message::Relation(Relation::parse(cursor)?),
            b'I' => {
                let relation = cursor.u32("insert")?;
                match cursor.u8("insert")? {
                    b'N' => Message::Insert { relation, new: Tuple::parse(&mut cursor)? },
                    _ => return Err(Malformed("insert")),
                }
            }
            b'U' => {
                let relation = cursor.u32("update")?;
                let mut kind = cursor.u8("update")?;
                let mut old = None;
                if kind != b'N' {
                    old = Some(Old::parse(kind, &mut cursor)?);
                    kind = cursor.u8("update")?;
                }
                match kind {
                    b'N' => Message::Update { relation, old, new: Tuple::parse(&mut cursor)? },
                    _ => return Err(Malformed("update")),
                }
            }
            b'D' => {
                let relation = cursor.u32("delete")?;
                let kind = cursor.u8("delete")?;
                Message::Delete { relation, old: Old::parse(kind, &mut cursor)? }
            }
            b'T' => {
                let count = cursor.u32("truncate")?;
                cursor.take(1, "truncate")?;
                let length = usize::try_from(count).ok().and_then(|count| count.checked_mul(4));
                Message::Truncate(Truncate(cursor.take(length.ok_or(Malformed("truncate"))?, "truncate")?))
            }
            b'M' => {
                let transactional = cursor.u8("logical message")? & 1 == 1;
                cursor.take(8, "logical message")?;
                let prefix = cursor.text("logical message's prefix")?;
                let length = cursor.u32("logical message")?;
                let length = usize::try_from(length).map_err(|_| Malformed("logical message"))?;
                let content = cursor.take(length, "logical message")?;
                Message::Logical(Logical { transactional, prefix, content })
            }
            b'O' => {
                let lsn = Lsn(cursor.u64("origin")?);
                Message::Origin { name: cursor.text("origin's name")?, lsn }
            }
            b'Y' => Message::Type,
            _ => return Err(Malformed("message kind")),
        })
    }
}

impl<'a> Relation<'a> {
    fn parse(mut cursor: Cursor<'a>) -> Result<Self, Malformed> {
        let id = cursor.u32("relation")?;
        let schema = cursor.text("relation's schema")?;
        let name = cursor.text("relation's name")?;
        cursor.take(1, "replica identity")?;
        let columns = cursor.u16("relation's columns")?;
        // pg_catalog is sent as an empty name.
        let schema = if schema.is_empty() { "pg_catalog" } else { schema };
        Ok(Relation { id, schema, name, columns, bytes: cursor.0 })
    }

    pub fn columns(&self) -> impl Iterator<Item = Result<RelationColumn<'a>, Malformed>> + use<'a> {
        let mut cursor = Cursor(self.bytes);
        (0..self.columns).map(move |_| {
            cursor.take(1, "relation's column")?;
            Ok(RelationColumn {
                name: cursor.text("column's name")?,
                type_oid: cursor.u32("column's type")?,
                modifier: cursor.i32("column's type modifier")?,
            })
        })
    }
}

impl<'a> Old<'a> {
    fn parse(kind: u8, cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        match kind {
            b'K' | b'O' => Ok(Old { whole: kind == b'O', tuple: Tuple::parse(cursor)? }),
            _ => Err(Malformed("old tuple")),
        }
    }
}

impl<'a> Tuple<'a> {
    /// Takes one tuple off the cursor; a walk over its lengths finds where it ends.
    fn parse(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let columns = cursor.u16("tuple")?;
        let start = cursor.0;
        for _ in 0..columns {
            read_cell(cursor)?;
        }
        let length = start.len().saturating_sub(cursor.0.len());
        let bytes = start.get(..length).ok_or(Malformed("tuple"))?;
        Ok(Tuple { columns, bytes })
    }

    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    pub fn cells(&self) -> impl Iterator<Item = Result<Cell<'a>, Malformed>> + use<'a> {
        let mut cursor = Cursor(self.bytes);
        (0..self.columns).map(move |_| read_cell(&mut cursor))
    }
}

#[inline]
fn read_cell<'a>(cursor: &mut Cursor<'a>) -> Result<Cell<'a>, Malformed> {
    match cursor.u8("cell")? {
        b'n' => Ok(Cell::Null),
        b'u' => Ok(Cell::Unchanged),
        b't' => {
            let length = usize::try_from(cursor.u32("cell")?).map_err(|_| Malformed("cell"))?;
            cursor.take(length, "cell").map(Cell::Text)
        }
        _ => Err(Malformed("cell kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(tuple: Tuple<'_>) -> Vec<Cell<'_>> {
        tuple.cells().collect::<Result<_, _>>().expect("the tuple was walked before")
    }

    #[test]
    fn an_update_with_the_old_row_gives_both() {
        let mut bytes = b"U\0\0\0\x07O\0\x02t\0\0\0\x011n".to_vec();
        bytes.extend_from_slice(b"N\0\x02t\0\0\0\x012u");
        let Ok(Message::Update { relation: 7, old: Some(old), new }) = Message::parse(&bytes) else {
            panic!("not an update")
        };
        assert!(old.whole);
        assert_eq!(cells(old.tuple), [Cell::Text(b"1"), Cell::Null]);
        assert_eq!(cells(new), [Cell::Text(b"2"), Cell::Unchanged]);
    }

    #[test]
    fn a_relation_lists_its_columns() {
        let mut bytes = b"R\0\0\0\x09public\0orders\0d\0\x01".to_vec();
        bytes.extend_from_slice(b"\x01id\0\0\0\0\x17\xff\xff\xff\xff");
        let Ok(Message::Relation(relation)) = Message::parse(&bytes) else { panic!("not a relation") };
        assert_eq!((relation.id, relation.schema, relation.name), (9, "public", "orders"));
        let columns: Result<Vec<_>, _> = relation.columns().collect();
        assert_eq!(columns, Ok(vec![RelationColumn { name: "id", type_oid: 23, modifier: -1 }]));
    }

    /// Every cut and every flipped byte of valid messages is an answer, never a panic.
    #[test]
    fn damaged_messages_are_refused_or_read_within_bounds() {
        let messages: [&[u8]; 5] = [
            b"B\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\x03",
            b"C\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x03",
            b"R\0\0\0\x09public\0orders\0d\0\x01\x01id\0\0\0\0\x17\xff\xff\xff\xff",
            b"U\0\0\0\x07K\0\x01t\0\0\0\x011N\0\x01t\0\0\0\x012",
            b"D\0\0\0\x07O\0\x01t\0\0\0\x011",
        ];
        for message in messages {
            assert!(Message::parse(message).is_ok());
            for cut in 0..message.len() {
                walk(&message[..cut]);
            }
            for at in 0..message.len() {
                for bit in 0..8 {
                    let mut damaged = message.to_vec();
                    damaged[at] ^= 1 << bit;
                    walk(&damaged);
                }
            }
        }
    }

    fn walk(bytes: &[u8]) {
        match Message::parse(bytes) {
            Ok(Message::Relation(relation)) => assert!(relation.columns().count() <= 65_535),
            Ok(Message::Insert { new, .. } | Message::Update { new, .. }) => {
                assert!(new.cells().all(|cell| cell.is_ok()));
            }
            _ => {}
        }
    }
}
