//! A place in the source's log, and what is stored to resume from it.

use super::key_cell::KeyCell;
use super::progress::SnapshotProgress;
use std::fmt;
use std::sync::Arc;

/// A PostgreSQL log sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl std::str::FromStr for Lsn {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (high, low) = text.split_once('/').unwrap_or(("0", text));
        Ok(Lsn(u64::from_str_radix(high, 16)? << 32 | u64::from_str_radix(low, 16)?))
    }
}

/// Where to resume. Everything at or below it is done.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    Postgres(PostgresPosition),
}

/// A transaction boundary in PostgreSQL's log, or the point of a finished snapshot.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PostgresPosition {
    /// LSN after the last transaction done: streaming goes on here.
    pub lsn: Lsn,
    /// LSN after the last commit seen; `None` before the first one after a snapshot.
    pub commit_lsn: Option<Lsn>,
    pub transaction_id: Option<u32>,
    /// Commit time (or snapshot time), microseconds since 1970.
    pub commit_time_us: i64,
    /// The initial snapshot that this position belongs to, if streaming has not begun.
    pub snapshot: Option<SnapshotState>,
    /// What a snapshot under way has read, or what the stream must pass over because one read it.
    pub progress: Option<Arc<SnapshotProgress>>,
    /// The incremental snapshot that runs beside the stream; shared, as every boundary carries it.
    pub incremental: Option<Arc<Incremental>>,
}

/// How far an incremental snapshot has come: what is left is read in chunks, upwards by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incremental {
    /// What is still to be read, the one being read first.
    pub collections: Vec<Collection>,
    /// The key of the last row that was sent of the first collection; `None` before the first chunk.
    pub last_key: Option<Vec<KeyCell>>,
    /// The largest key that the first collection had when it was begun: it is read up to here.
    pub maximum_key: Option<Vec<KeyCell>>,
    /// Who asked for it: the signal's id, which notifications name.
    pub correlation_id: Option<String>,
}

/// A table that an incremental snapshot reads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    /// `schema.table`.
    pub id: String,
    /// An SQL condition that its rows must meet.
    pub additional_condition: Option<String>,
    /// The column to read it by, in place of its key.
    pub surrogate_key: Option<String>,
}

impl Collection {
    /// The condition, if there is one.
    pub fn condition(&self) -> Option<&str> {
        self.additional_condition.as_deref().filter(|text| !text.trim().is_empty())
    }
}

/// How far an initial snapshot had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotState {
    Running,
    Completed,
}

impl Position {
    pub fn lsn(&self) -> Lsn {
        match self {
            Position::Postgres(position) => position.lsn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lsn;

    #[test]
    fn lsn_reads_what_it_prints() {
        for (text, number) in [("0/0", 0), ("16/B374D848", 0x16_B374_D848), ("FFFFFFFF/FFFFFFFF", u64::MAX)] {
            assert_eq!(text.parse(), Ok(Lsn(number)));
            assert_eq!(Lsn(number).to_string(), text);
        }
        assert!("x/1".parse::<Lsn>().is_err());
    }
}
