//! What holds of any bytes that the server might send: the bodies of this room's fuzz targets.
//! `crate::fuzz` calls them, and makes records of what comes out.

mod message;
mod printed;
mod stream;
mod typed;

pub use message::pgoutput;
pub use stream::{Replay, Streamed, stream};
pub use typed::{default, value};

use super::copy::CopyRow;
use super::cursor::Malformed;
use super::failure::ServerError;
use super::frame::{Frame, FrameBuffer};
use super::wire::data_row;

/// Whole messages come out, in order, however the bytes arrive; the first byte says in which pieces.
pub fn frame(input: &[u8]) {
    let Some((pace, bytes)) = input.split_first() else { return };
    let mut expected = bytes;
    let mut buffer = FrameBuffer::default();
    for piece in bytes.chunks(usize::from(*pace) + 1) {
        let room = buffer.room();
        let (there, _) = room.split_at_mut(piece.len());
        there.copy_from_slice(piece);
        buffer.filled(piece.len());
        loop {
            match buffer.next() {
                Ok(Some(Frame { tag, body })) => {
                    let first = first_frame(&mut expected).expect("a message that is there");
                    assert_eq!(Some((tag, body)), first);
                    read_body(tag, body);
                }
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(first_frame(&mut expected), Err(error));
                    return;
                }
            }
        }
    }
    assert!(buffer.room().len() <= bytes.len() + 1024 * 1024, "a length made the buffer large");
    assert_eq!(first_frame(&mut expected), Ok(None), "a message was kept back");
}

/// The plain way: all bytes are there.
fn first_frame<'a>(bytes: &mut &'a [u8]) -> Result<Option<(u8, &'a [u8])>, Malformed> {
    let [tag, a, b, c, d, rest @ ..] = *bytes else { return Ok(None) };
    let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
    if !(4..=(1 << 30) + 4).contains(&length) {
        return Err(Malformed("message length"));
    }
    let Some((body, tail)) = rest.split_at_checked(length - 4) else { return Ok(None) };
    *bytes = tail;
    Ok(Some((*tag, body)))
}

/// What is read of answers.
fn read_body(tag: u8, body: &[u8]) {
    match tag {
        b'E' => {
            if let Ok(error) = ServerError::parse(body) {
                let said = error.into_error().to_string();
                assert!(said.len() <= body.len() + 64 && !said.contains('\n'), "{said:?}");
            }
        }
        b'D' => {
            let cells = data_row(body).unwrap_or_default();
            let text: usize = cells.iter().flatten().map(String::len).sum();
            assert!(4 * cells.len() <= body.len() && text <= 3 * body.len());
        }
        _ => {}
    }
}

/// A line is read into cells that, printed as the server prints them, are read again. With an odd first
/// byte the rest is not a line but the cells, ended by bytes of all ones; a cell of one zero is null.
pub fn copy(input: &[u8]) {
    let Some((mode, rest)) = input.split_first() else { return };
    let mut row = CopyRow::default();
    if mode % 2 == 1 {
        let null = |cell: &'_ [u8]| cell == [0];
        let cells: Vec<Option<&[u8]>> =
            rest.split(|byte| *byte == 0xFF).map(|cell| (!null(cell)).then_some(cell)).collect();
        row.read(&printed::copied(cells.iter().copied())).expect("a row as it is printed");
        assert_eq!(row.cells().collect::<Vec<_>>(), cells);
    } else if row.read(rest).is_ok() {
        assert!(row.cells().flatten().map(<[u8]>::len).sum::<usize>() <= rest.len());
        assert!(row.len() <= rest.len() + 1 && row.cells().count() == row.len());
        let mut again = CopyRow::default();
        again.read(&printed::copied(row.cells())).expect("a row as it is printed");
        assert!(again.cells().eq(row.cells()));
    }
}
