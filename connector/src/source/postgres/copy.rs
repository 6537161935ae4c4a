//! One row of `COPY … TO STDOUT` in text form → cells, in a buffer that is used again. Pure.
//!
//! Cells are separated by tabs; `\N` is null; backslash escapes stand for the characters that the
//! format needs for itself.

use super::cursor::Malformed;

/// A row's cells, unescaped, one behind the other.
#[derive(Debug, Default)]
pub struct CopyRow {
    bytes: Vec<u8>,
    /// Where each cell ends in `bytes`, and whether it is null.
    cells: Vec<(usize, bool)>,
}

impl CopyRow {
    /// Replaces the row by another one; keeps the allocations.
    pub fn read(&mut self, line: &[u8]) -> Result<(), Malformed> {
        self.bytes.clear();
        self.cells.clear();
        let mut rest = line.strip_suffix(b"\n").unwrap_or(line);
        while let Some(at) = rest.iter().position(|byte| matches!(byte, b'\t' | b'\\')) {
            let (plain, special) = rest.split_at(at);
            self.bytes.extend_from_slice(plain);
            rest = match special {
                [b'\t', tail @ ..] => {
                    self.cells.push((self.bytes.len(), false));
                    tail
                }
                [b'\\', b'N', tail @ ..] => {
                    self.null(plain, tail)?;
                    match tail {
                        [b'\t', tail @ ..] => tail,
                        _ => return Ok(()),
                    }
                }
                [b'\\', escaped, tail @ ..] => {
                    self.bytes.push(unescape(*escaped));
                    tail
                }
                _ => return Err(Malformed("copied row")),
            };
        }
        self.bytes.extend_from_slice(rest);
        self.cells.push((self.bytes.len(), false));
        Ok(())
    }

    /// `\N` is null only as a whole cell.
    fn null(&mut self, before: &[u8], after: &[u8]) -> Result<(), Malformed> {
        let starts = self.bytes.len() == self.cells.last().map_or(0, |(end, _)| *end);
        if before.is_empty() && starts && matches!(after, [] | [b'\t', ..]) {
            self.cells.push((self.bytes.len(), true));
            Ok(())
        } else {
            Err(Malformed("copied row"))
        }
    }

    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// The cells in order; `None` is null.
    pub fn cells<'a>(&'a self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut start = 0;
        self.cells.iter().map(move |(end, null)| {
            let cell = self.bytes.get(start..*end).unwrap_or_default();
            start = *end;
            (!null).then_some(cell)
        })
    }
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows() {
        let mut row = CopyRow::default();
        for (line, want) in [
            ("1\ta\n", vec![Some("1"), Some("a")]),
            ("\\N\t\t\\N\n", vec![None, Some(""), None]),
            ("\n", vec![Some("")]),
            ("a\\tb\\nc\\\\d\t\\\\xdead\n", vec![Some("a\tb\nc\\d"), Some("\\xdead")]),
            ("\\\\N\n", vec![Some("\\N")]),
            ("x\t\\N\n", vec![Some("x"), None]),
        ] {
            row.read(line.as_bytes()).expect("a valid row");
            let got: Vec<Option<String>> =
                row.cells().map(|c| c.map(|c| String::from_utf8_lossy(c).into_owned())).collect();
            let want: Vec<Option<String>> = want.into_iter().map(|c| c.map(str::to_owned)).collect();
            assert_eq!(got, want, "{line:?}");
        }
    }

    #[test]
    fn a_lonely_backslash_or_null_inside_a_cell_is_refused() {
        let mut row = CopyRow::default();
        for line in ["a\\", "a\\N\n", "\\Na\n"] {
            assert!(row.read(line.as_bytes()).is_err(), "{line:?}");
        }
    }
}
