//! Files and functions stay small enough to be read in one go.

use crate::assert_clean;
use crate::tree::rust;

/// The aim is 200 and 25; past these a thing has lost its shape.
const FILE_LINES: usize = 600;
const FUNCTION_LINES: usize = 70;

/// Tables of data, which have no shape to lose: path and what it holds.
const TABLES: &[(&str, &str)] = &[];

#[test]
fn files_stay_small() {
    let long = rust()
        .into_iter()
        .map(|file| (file.text.lines().count(), file.path))
        .filter(|(lines, path)| *lines > FILE_LINES && TABLES.iter().all(|(table, _)| table != path))
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect::<Vec<_>>();
    assert_clean(&format!("a file has at most {FILE_LINES} lines"), &long);
}

#[test]
fn functions_stay_small() {
    let mut long = Vec::new();
    for file in rust() {
        for function in functions(&file.text).into_iter().filter(|f| f.lines > FUNCTION_LINES) {
            long.push(format!(
                "{}:{}: {} has {} lines",
                file.path, function.at, function.name, function.lines
            ));
        }
    }
    assert_clean(&format!("a function has at most {FUNCTION_LINES} lines"), &long);
}

#[derive(Debug, PartialEq)]
struct Function {
    name: String,
    /// Line number of its signature, from 1.
    at: usize,
    lines: usize,
}

/// Relies on rustfmt: a body ends with a brace that stands as far in as its `fn`.
fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let same = |other: &str| other.len() - other.trim_start().len() == indent;
        let end = lines.iter().skip(at).position(|other| {
            let one_line = same(other) && (other.ends_with('}') || other.ends_with(';'));
            one_line && !other.trim_start().starts_with("where")
        });
        found.push(Function { name: name.to_owned(), at: at + 1, lines: end.map_or(1, |end| end + 1) });
    }
    found
}

fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for word in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(word).unwrap_or(rest);
    }
    rest.strip_prefix("fn ")?.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[test]
fn functions_are_found_with_their_length() {
    let text = "\
fn one() {}

impl Thing {
    pub async fn three(&self) -> u8 {
        if true { 1 } else { 2 }
    }
    fn declared(&self) -> u8;
    pub(crate) fn six(
        &self,
        what: u8,
    ) -> u8 {
        what
    }
}
";
    let found: Vec<(String, usize)> = functions(text).into_iter().map(|f| (f.name, f.lines)).collect();
    let expected = [("one", 1), ("three", 3), ("declared", 1), ("six", 6)];
    assert_eq!(found, expected.map(|(name, lines)| (name.to_owned(), lines)));
}
