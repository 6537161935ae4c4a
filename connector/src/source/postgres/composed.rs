//! hstore and pgvector's types: texts of several parts → maps and lists, in the arena. Pure.

use super::array::quoted;
use super::cursor::Malformed;
use crate::connect::hash;
use crate::model::value::Value;
use bumpalo::Bump;
use bumpalo::collections::Vec;

const WRONG: Malformed = Malformed("hstore");
const WRONG_VECTOR: Malformed = Malformed("vector");

/// `"a"=>"1", "b"=>NULL`.
///
/// # Errors
/// When the text is no hstore.
pub fn hstore<'a>(text: &'a [u8], arena: &'a Bump) -> Result<Value<'a>, Malformed> {
    let mut entries = Vec::new_in(arena);
    let mut rest = text;
    while let [b'"', content @ ..] = rest {
        let (key, tail) = quoted(content, arena)?;
        let tail = tail.strip_prefix(b"=>").ok_or(WRONG)?;
        let (value, tail) = match tail {
            [b'"', content @ ..] => {
                let (value, tail) = quoted(content, arena)?;
                (Value::Text(utf8(value)?), tail)
            }
            [b'N', b'U', b'L', b'L', tail @ ..] => (Value::Null, tail),
            _ => return Err(WRONG),
        };
        entries.push((Value::Text(utf8(key)?), value));
        rest = match tail {
            [] => tail,
            [b',', b' ', next @ ..] if next.starts_with(b"\"") => next,
            _ => return Err(WRONG),
        };
    }
    if !rest.is_empty() {
        return Err(WRONG);
    }
    // As Debezium's map has them. The server sorts by length, then by bytes, which decides within a bucket.
    let count = entries.len();
    let text = |value: &Value<'a>| if let Value::Text(text) = value { *text } else { "" };
    entries.sort_unstable_by_key(|(key, value)| {
        let key = text(key);
        (hash::bucket(key, count), key.len(), key, text(value))
    });
    Ok(Value::Map(entries.into_bump_slice()))
}

fn utf8(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| WRONG)
}

/// `[1,2.5,3]`; of the half precision that a type may have there is nothing left in the text.
///
/// # Errors
/// When the text is no vector.
pub fn vector<'a>(text: &[u8], half: bool, arena: &'a Bump) -> Result<Value<'a>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| WRONG_VECTOR)?;
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).ok_or(WRONG_VECTOR)?;
    let mut values = Vec::new_in(arena);
    for number in inner.split(',') {
        let wrong = |_| WRONG_VECTOR;
        values.push(match half {
            true => Value::Float32(number.parse().map_err(wrong)?),
            false => Value::Float64(number.parse().map_err(wrong)?),
        });
    }
    Ok(Value::List(values.into_bump_slice()))
}

/// `{1:0.5,3:2}/5` → dimensions, and the elements that are not zero.
///
/// # Errors
/// When the text is no sparse vector.
pub fn sparse_vector<'a>(text: &[u8], arena: &'a Bump) -> Result<Value<'a>, Malformed> {
    let text = std::str::from_utf8(text).map_err(|_| WRONG_VECTOR)?;
    let (elements, dimensions) = text.rsplit_once('/').ok_or(WRONG_VECTOR)?;
    let inner = elements.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).ok_or(WRONG_VECTOR)?;
    let mut entries = Vec::new_in(arena);
    for element in inner.split(',').filter(|element| !element.is_empty()) {
        let (at, number) = element.split_once(':').ok_or(WRONG_VECTOR)?;
        let at = at.parse().map_err(|_| WRONG_VECTOR)?;
        entries.push((Value::Int(at), Value::Float64(number.parse().map_err(|_| WRONG_VECTOR)?)));
    }
    let dimensions = Value::Int(dimensions.parse().map_err(|_| WRONG_VECTOR)?);
    Ok(Value::Struct(arena.alloc_slice_copy(&[dimensions, Value::Map(entries.into_bump_slice())])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_values() {
        let arena = Bump::new();
        let text = Value::Text;
        let map = [(text("a"), text("1")), (text("b"), Value::Null), (text("c d"), text("e\"f"))];
        let source = br#""a"=>"1", "b"=>NULL, "c d"=>"e\"f""#;
        assert_eq!(hstore(source, &arena), Ok(Value::Map(&map)));
        assert_eq!(hstore(b"", &arena), Ok(Value::Map(&[])));
        let (single, double) =
            ([Value::Float32(1.0), Value::Float32(2.5)], [Value::Float64(1.0), Value::Float64(2.5)]);
        assert_eq!(vector(b"[1,2.5]", true, &arena), Ok(Value::List(&single)));
        assert_eq!(vector(b"[1,2.5]", false, &arena), Ok(Value::List(&double)));
        let entries = [(Value::Int(1), Value::Float64(0.5)), (Value::Int(3), Value::Float64(2.0))];
        let sparse = [Value::Int(5), Value::Map(&entries)];
        assert_eq!(sparse_vector(b"{1:0.5,3:2}/5", &arena), Ok(Value::Struct(&sparse)));
        for bad in ["x", "\"a\"", "\"a\"=>", "\"a\"=>\"b\",", "\"a\"=>\"b\" x", "\"a"] {
            assert!(hstore(bad.as_bytes(), &arena).is_err(), "{bad}");
        }
        for bad in ["", "[", "[a]", "1,2"] {
            assert!(vector(bad.as_bytes(), true, &arena).is_err(), "{bad}");
        }
        for bad in ["", "{}", "{1}/2", "{1:x}/2", "{1:1}/x"] {
            assert!(sparse_vector(bad.as_bytes(), &arena).is_err(), "{bad}");
        }
    }
}
