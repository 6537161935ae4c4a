//! An expression's text → tokens with their places. Pure; never past the end.

use shared::error::{Error, Kind, Result};

#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    Number(f64),
    Whole(i64),
    Text(String),
    Name(String),
    /// An operator or a bracket.
    Mark(&'static str),
    End,
}

/// Longest first, so that `==` is not taken for two.
const MARKS: [&str; 26] = [
    "===", "!==", "==", "!=", "<=", ">=", "&&", "||", "?.", "<", ">", "+", "-", "*", "/", "%", "!", "(", ")",
    "[", "]", ",", ".", "?", ":", ";",
];

/// Where a text goes wrong, shown by a caret.
pub fn wrong(text: &str, at: usize, what: &str) -> Error {
    let column = text.get(..at).map_or(0, |before| before.chars().count());
    Error::new(
        Kind::Config,
        format!(
            "{what} at character {}: {} ^ {}",
            column + 1,
            text.get(..at).unwrap_or(text),
            text.get(at..).unwrap_or("")
        ),
    )
    .remedy("see the README for what expressions may hold")
}

/// # Errors
/// `Config`, with the place.
pub fn tokens(text: &str) -> Result<Vec<(usize, Token)>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let at = text.len() - rest.len();
        let (token, tail) = match first {
            '\'' | '"' => quoted(text, rest, first)?,
            '0'..='9' => number(text, rest)?,
            c if c.is_alphabetic() || matches!(c, '_' | '$') => {
                let end = rest
                    .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'))
                    .unwrap_or(rest.len());
                let (name, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (Token::Name(name.to_owned()), tail)
            }
            _ => {
                let mark = MARKS.iter().find(|mark| rest.starts_with(**mark));
                let mark = mark.ok_or_else(|| wrong(text, at, "something that is not understood"))?;
                let known = match *mark {
                    "===" => "==",
                    "!==" => "!=",
                    mark => mark,
                };
                (Token::Mark(known), rest.get(mark.len()..).unwrap_or_default())
            }
        };
        tokens.push((at, token));
        rest = tail.trim_start();
    }
    tokens.push((text.len(), Token::End));
    Ok(tokens)
}

fn quoted<'t>(text: &str, rest: &'t str, quote: char) -> Result<(Token, &'t str)> {
    let mut out = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            c if c == quote => {
                return Ok((Token::Text(out), rest.get(at + c.len_utf8()..).unwrap_or_default()));
            }
            '\\' => match characters.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, 't')) => out.push('\t'),
                Some((_, other)) => out.push(other),
                None => break,
            },
            c => out.push(c),
        }
    }
    Err(wrong(text, text.len() - rest.len(), "a text without its end"))
}

fn number<'t>(text: &str, rest: &'t str) -> Result<(Token, &'t str)> {
    let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let tail = rest.get(digits..).unwrap_or_default();
    let fraction = match tail.strip_prefix('.') {
        Some(after) => after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit()).len(),
        None => 0,
    };
    let end = if fraction > 0 { digits + 1 + fraction } else { digits };
    let (digits, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
    let token = match digits.parse::<i64>() {
        Ok(whole) => Token::Whole(whole),
        Err(_) => {
            let number = digits.parse().map_err(|_| wrong(text, text.len() - rest.len(), "no number"))?;
            Token::Number(number)
        }
    };
    // Groovy's and Java's suffix of long numbers.
    Ok((token, tail.strip_prefix(['L', 'l']).unwrap_or(tail)))
}
