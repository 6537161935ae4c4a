//! The log as the server sends it: messages of `pgoutput` in frames of the replication protocol.

use super::database::{Commit, Database, Entry, Signal};
use connector::model::change::Op;
use connector::model::position::Lsn;
use connector::model::table::TableId;

/// Types by their numbers.
pub const INT8: u32 = 20;
pub const TEXT: u32 = 25;

/// The relation's number of the table of signals; the others are numbered from 1.
const SIGNALS: u32 = 99;

/// All messages of a commit but those that describe its tables.
pub struct Sent {
    pub begin: Vec<u8>,
    /// Which table each is of.
    pub changes: Vec<(usize, Vec<u8>)>,
    pub end: Vec<u8>,
}

pub fn sent(commit: &Commit) -> Sent {
    let Commit { id, begin, end, changes, .. } = commit;
    let first = [b"B", &end.0.to_be_bytes()[..], &[0; 8], &id.to_be_bytes()].concat();
    let last = [b"C\0", &end.0.to_be_bytes()[..], &end.0.to_be_bytes(), &[0; 8]].concat();
    let changes = changes.iter().map(|entry| (entry.table, frame(entry.lsn, &change(entry)))).collect();
    Sent { begin: frame(*begin, &first), changes, end: frame(*end, &last) }
}

/// A row of the table of signals.
pub fn signal(signal: &Signal) -> Vec<u8> {
    let [id, kind, data] = &signal.row;
    let message = match signal.op {
        Op::Delete => [b"D", &SIGNALS.to_be_bytes()[..], b"K", &tuple(&[Some(id), None, None])].concat(),
        _ => {
            let row = tuple(&[Some(id), Some(kind), Some(data)]);
            [b"I", &SIGNALS.to_be_bytes()[..], b"N", &row].concat()
        }
    };
    frame(signal.lsn, &message)
}

fn change(entry: &Entry) -> Vec<u8> {
    let id = (entry.table as u32 + 1).to_be_bytes();
    let old = entry.before.map(|key| [b"K", &tuple(&[Some(&key.to_string()), None])[..]].concat());
    let new = entry
        .after
        .map(|(key, value)| [b"N", &tuple(&[Some(&key.to_string()), Some(&value.to_string())])[..]].concat());
    let letter = match entry.op {
        Op::Create => b"I",
        Op::Update => b"U",
        _ => b"D",
    };
    [letter, &id[..], &old.unwrap_or_default(), &new.unwrap_or_default()].concat()
}

fn tuple(cells: &[Option<&str>]) -> Vec<u8> {
    let mut out = (cells.len() as u16).to_be_bytes().to_vec();
    for cell in cells {
        match cell {
            None => out.push(b'n'),
            Some(text) => {
                out.push(b't');
                out.extend((text.len() as u32).to_be_bytes());
                out.extend(text.as_bytes());
            }
        }
    }
    out
}

/// What a table looks like.
pub fn relation(database: &Database, table: usize) -> Vec<u8> {
    describe(table as u32 + 1, &database.tables[table].id, &[("id", INT8), ("v", INT8)])
}

/// What the table of signals looks like.
pub fn signal_relation(database: &Database) -> Vec<u8> {
    describe(SIGNALS, &database.signals, &[("id", TEXT), ("type", TEXT), ("data", TEXT)])
}

fn describe(number: u32, id: &TableId, columns: &[(&str, u32)]) -> Vec<u8> {
    let mut message = [b"R", &number.to_be_bytes()[..]].concat();
    message.extend(format!("{}\0{}\0d", id.schema, id.name).into_bytes());
    message.extend((columns.len() as u16).to_be_bytes());
    for (at, (name, oid)) in columns.iter().enumerate() {
        message.push(u8::from(at == 0));
        message.extend(format!("{name}\0").into_bytes());
        message.extend(oid.to_be_bytes());
        message.extend((-1_i32).to_be_bytes());
    }
    frame(Lsn(0), &message)
}

fn frame(lsn: Lsn, message: &[u8]) -> Vec<u8> {
    [b"w", &lsn.0.to_be_bytes()[..], &[0; 16], message].concat()
}

/// So far the server has read its log.
pub fn keepalive(end: Lsn) -> Vec<u8> {
    [b"k", &end.0.to_be_bytes()[..], &[0; 9]].concat()
}
