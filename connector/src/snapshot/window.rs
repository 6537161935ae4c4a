//! A chunk that was read beside the stream, until the stream has come as far as the reading: what it
//! changes meanwhile is newer than what was read, and takes the row out of the window. Pure.

use std::collections::HashMap;

/// Rows by key, in the order in which they were read.
#[derive(Debug)]
pub struct Window<R> {
    rows: Vec<Option<R>>,
    by_key: HashMap<Vec<u8>, usize>,
}

impl<R> Default for Window<R> {
    fn default() -> Self {
        Window { rows: Vec::new(), by_key: HashMap::new() }
    }
}

impl<R> Window<R> {
    /// Rows of the same key (the operator named a column that does not tell them apart) are all kept, and
    /// the stream takes out the last one only.
    pub fn read(&mut self, key: Vec<u8>, row: R) {
        self.by_key.insert(key, self.rows.len());
        self.rows.push(Some(row));
    }

    /// The stream changed the row of this key.
    pub fn changed(&mut self, key: &[u8]) {
        if let Some(row) = self.by_key.remove(key).and_then(|at| self.rows.get_mut(at)) {
            *row = None;
        }
    }

    /// All rows are gone at once.
    pub fn emptied(&mut self) {
        self.by_key.clear();
        self.rows.clear();
    }

    /// Rows that nothing newer is known of.
    pub fn rows(&self) -> impl Iterator<Item = &R> {
        self.rows.iter().flatten()
    }
}

/// A key out of its cells' texts. `None`, for a cell that was not sent, makes it no key.
pub fn key<'a>(cells: impl Iterator<Item = Option<&'a [u8]>>) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    for cell in cells {
        let cell = cell?;
        key.extend_from_slice(&u32::try_from(cell.len()).ok()?.to_be_bytes());
        key.extend_from_slice(cell);
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_wins() {
        let mut window = Window::default();
        let key = |text: &str| key([Some(text.as_bytes())].into_iter()).expect("whole");
        for name in ["a", "b", "c"] {
            window.read(key(name), name);
        }
        window.changed(&key("b"));
        window.changed(&key("b"));
        window.changed(&key("x"));
        assert_eq!(window.rows().copied().collect::<Vec<_>>(), ["a", "c"]);
        window.emptied();
        assert_eq!(window.rows().count(), 0);
    }

    #[test]
    fn keys_of_several_cells_are_apart() {
        let key = |cells: [&'static str; 2]| key(cells.iter().map(|cell| Some(cell.as_bytes())));
        assert_ne!(key(["a", "bc"]), key(["ab", "c"]));
        assert_eq!(super::key([Some(&b"a"[..]), None].into_iter()), None);
    }
}
