//! What holds of any stored offset and of any stream of Java objects.

use super::{FileOffsets, format::position};
use super::{format, java, key};
use crate::model::key_cell::KeyCell;
use crate::model::position::{Lsn, Position, PostgresPosition, SnapshotState};
use shared::Kind;
use std::path::Path;

/// What is read is stored so that it is read again; what is not read is `Lost` (or another's). Beside
/// that the input's numbers make a position, which is given back, and its text is read as an LSN.
pub fn offset(input: &[u8]) {
    match position(input) {
        Ok(found) => assert_eq!(given_back(&found), found),
        Err(error) => assert_eq!(error.kind(), Kind::Lost, "{error}"),
    }
    let key = format::key("orders", "shop");
    assert!(!format::is_key(input, &key) || format::is_key(key.as_bytes(), &key));
    if let Err(error) = FileOffsets::new(Path::new("offsets"), "orders", "shop").parse(input) {
        assert!(matches!(error.kind(), Kind::Lost | Kind::Config), "{error}");
    }
    if let Some(made) = made(input) {
        assert_eq!(given_back(&made), made);
    }
    if let Ok(lsn) = String::from_utf8_lossy(input).parse::<Lsn>() {
        assert_eq!(lsn.to_string().parse(), Ok(lsn));
    }
    let name = String::from_utf8_lossy(input);
    assert!(format::is_key(format::key(&name, "shop").as_bytes(), &format::key(&name, "shop")));
}

/// A stream of Java objects is read or refused. A key that is read is stored so that it is read again, and
/// its cells have texts.
pub fn java_object(input: &[u8]) {
    if let Ok(node) = java::read(input) {
        java::write(&node);
    }
    let hexadecimal: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
    let Ok(found) = key::cells(&hexadecimal) else { return };
    // By their texts, as no number equals a NaN.
    let again = key::cells(&key::stored(found.as_deref())).expect("what was stored is read");
    assert_eq!(format!("{again:?}"), format!("{found:?}"));
    for cell in found.iter().flatten() {
        let null = matches!(cell, KeyCell::Null | KeyCell::Other { text: None, .. });
        assert_eq!(cell.text().is_none(), null, "{cell:?}");
    }
}

fn given_back(stored: &Position) -> Position {
    position(format::value(stored).to_string().as_bytes()).expect("what was stored is read")
}

/// A boundary is never before the commit before it, and in a snapshot there is none.
fn made(input: &[u8]) -> Option<Position> {
    let (flags, rest) = input.split_first()?;
    let (numbers, _) = rest.as_chunks::<8>();
    let number = |at: usize| numbers.get(at).map(|bytes| u64::from_le_bytes(*bytes));
    let (one, other) = (number(0)?, number(1)?);
    let state = |bit: u8| if flags & bit == 0 { SnapshotState::Running } else { SnapshotState::Completed };
    Some(Position::Postgres(PostgresPosition {
        lsn: Lsn(one.max(other)),
        commit_lsn: (flags & 5 == 4).then_some(Lsn(one.min(other))),
        transaction_id: (flags & 2 == 0).then_some(one as u32),
        commit_time_us: number(2)?.cast_signed(),
        snapshot: (flags & 4 == 0).then(|| state(8)),
        progress: None,
        incremental: None,
    }))
}
