//! An array's text → its elements, in the arena. Pure.
//!
//! `{a,"b,c",NULL,"d\"e"}`; bounds in front (`[0:1]={…}`) are passed over. Of an array of arrays
//! Debezium knows only how many there are: each is NULL.

use super::cursor::Malformed;
use super::value::Decoder;
use crate::model::value::Value;
use bumpalo::Bump;
use bumpalo::collections::Vec;

const WRONG: Malformed = Malformed("array");

/// # Errors
/// When the text is no array, or an element none that the server prints.
pub fn decode<'a>(
    text: &'a [u8],
    element: Decoder,
    delimiter: u8,
    arena: &'a Bump,
) -> Result<Value<'a>, Malformed> {
    let mut rest = body(text)?;
    let mut values = Vec::new_in(arena);
    if let [b'}'] = rest {
        return Ok(Value::List(&[]));
    }
    loop {
        values.push(next(&mut rest, element, delimiter, arena)?);
        match rest.split_first() {
            Some((byte, tail)) if *byte == delimiter => rest = tail,
            Some((b'}', [])) => return Ok(Value::List(values.into_bump_slice())),
            _ => return Err(WRONG),
        }
    }
}

/// What stands behind the outermost brace.
fn body(text: &[u8]) -> Result<&[u8], Malformed> {
    let text = match text {
        [b'[', ..] => {
            let at = text.iter().position(|byte| *byte == b'=').ok_or(WRONG)?;
            text.get(at + 1..).ok_or(WRONG)?
        }
        _ => text,
    };
    text.strip_prefix(b"{").ok_or(WRONG)
}

fn next<'a>(
    rest: &mut &'a [u8],
    element: Decoder,
    delimiter: u8,
    arena: &'a Bump,
) -> Result<Value<'a>, Malformed> {
    match rest.first() {
        Some(b'{') => {
            *rest = behind_nested(rest)?;
            Ok(Value::Null)
        }
        Some(b'"') => {
            let (content, tail) = quoted(rest.get(1..).ok_or(WRONG)?, arena)?;
            *rest = tail;
            element.decode(content, arena)
        }
        _ => {
            let ends = |byte: &u8| *byte == b'}' || *byte == delimiter;
            let end = rest.iter().position(ends).ok_or(WRONG)?;
            let (content, tail) = rest.split_at_checked(end).ok_or(WRONG)?;
            *rest = tail;
            match content {
                b"NULL" => Ok(Value::Null),
                b"" => Err(WRONG),
                content => element.decode(content, arena),
            }
        }
    }
}

/// A quoted element's content, and what stands behind its closing quote.
pub fn quoted<'a>(text: &'a [u8], arena: &'a Bump) -> Result<(&'a [u8], &'a [u8]), Malformed> {
    let end = text.iter().position(|byte| matches!(byte, b'"' | b'\\')).ok_or(WRONG)?;
    let (plain, special) = text.split_at_checked(end).ok_or(WRONG)?;
    if let [b'"', tail @ ..] = special {
        return Ok((plain, tail));
    }
    let mut content = Vec::from_iter_in(plain.iter().copied(), arena);
    let mut rest = special;
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Ok((content.into_bump_slice(), tail)),
            [b'\\', byte, tail @ ..] | [byte, tail @ ..] => {
                content.push(*byte);
                tail
            }
            [] => return Err(WRONG),
        };
    }
}

/// What stands behind an array in an array; quoted braces are none.
fn behind_nested(text: &[u8]) -> Result<&[u8], Malformed> {
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for (at, byte) in text.iter().enumerate() {
        match (byte, quoted) {
            _ if escaped => escaped = false,
            (b'\\', true) => escaped = true,
            (b'"', _) => quoted = !quoted,
            (b'{', false) => depth += 1,
            (b'}', false) => {
                depth = depth.checked_sub(1).ok_or(WRONG)?;
                if depth == 0 {
                    return text.get(at + 1..).ok_or(WRONG);
                }
            }
            _ => {}
        }
    }
    Err(WRONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays() {
        let arena = Bump::new();
        let text = |t| Value::Text(t);
        for (source, want) in [
            ("{}", vec![]),
            (
                "{a,\"b,c\",NULL,\"d\\\"e\",\"\"}",
                vec![text("a"), text("b,c"), Value::Null, text("d\"e"), text("")],
            ),
            ("[0:1]={x,\"NULL\"}", vec![text("x"), text("NULL")]),
            ("{{1,\"}\"},{3,4}}", vec![Value::Null, Value::Null]),
        ] {
            assert_eq!(
                decode(source.as_bytes(), Decoder::Text, b',', &arena),
                Ok(Value::List(&want)),
                "{source}"
            );
        }
        assert!(decode(b"{1:2}", Decoder::Int, b',', &arena).is_err());
        let empty = "010700000000000000";
        let text = format!("{{{empty}:NULL}}");
        let found = decode(text.as_bytes(), Decoder::Geometry, b':', &arena);
        assert!(matches!(found, Ok(Value::List([Value::Struct(_), Value::Null]))), "{found:?}");
        let numbers = [Value::Int(1), Value::Int(-2)];
        assert_eq!(decode(b"{1,-2}", Decoder::Int, b',', &arena), Ok(Value::List(&numbers)));
        for bad in ["", "{", "{a", "{a,}", "{a}}", "a", "{\"a}", "[1:2", "{{1}", "{\"a\\"] {
            assert!(decode(bad.as_bytes(), Decoder::Text, b',', &arena).is_err(), "{bad}");
        }
    }
}
