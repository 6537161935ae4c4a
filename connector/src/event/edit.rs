//! What is done to texts of some columns: masks, digests, truncation. Keys keep what they are.
//! Pure; made texts live in an arena that is emptied with the row.

use crate::config::event::EventConfig;
use crate::config::values::{DecimalMode, ValuesConfig};
use crate::model::schema::Schema;
use crate::model::table::{Column, ColumnType, TableId};
use crate::model::value::{Constant, Value};
use bumpalo::Bump;
use md5::Digest;
use regex::RegexSet;
use shared::error::{Error, Kind as ErrorKind, OrKind, Result};
use std::fmt::Write;
use std::sync::Arc;

/// One change to a column's values.
#[derive(Clone, Debug)]
pub enum Edit {
    /// This, whatever the value, and for NULL too.
    Mask(Arc<str>),
    /// A digest, cut to so many characters.
    Hash {
        digest: Digester,
        salt: Arc<str>,
        serialized: bool,
        length: Option<usize>,
        /// What stands for NULL where none may be: it is hashed as well.
        stand_in: Option<Arc<str>>,
    },
    Truncate(usize),
    /// Money to so many digits behind the point, a half away from zero.
    Round(usize),
}

/// Java's names of algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Digester {
    Md5,
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// Digits of money as the server has it.
const MONEY_DIGITS: u32 = 2;

/// The configured edits, and the columns that they are for.
#[derive(Debug, Default)]
pub struct Edits {
    texts: Vec<(RegexSet, Edit)>,
    money: Option<Edit>,
}

impl Edits {
    /// # Errors
    /// `Config` for an expression or an algorithm that is none.
    pub fn new(config: &EventConfig) -> Result<Edits> {
        let mut edits = Vec::new();
        for mask in &config.mask {
            edits.push((columns(&mask.columns)?, Edit::Mask("*".repeat(mask.length).into())));
        }
        for hash in &config.hash {
            let edit = Edit::Hash {
                digest: Digester::of(&hash.algorithm)?,
                salt: hash.salt.expose().into(),
                serialized: hash.version == 1,
                length: None,
                stand_in: None,
            };
            edits.push((columns(&hash.columns)?, edit));
        }
        for truncation in &config.truncate {
            edits.push((columns(&truncation.columns)?, Edit::Truncate(truncation.length)));
        }
        let ValuesConfig { decimal, money_digits, .. } = config.values;
        let rounded = decimal == DecimalMode::Precise && money_digits < MONEY_DIGITS;
        Ok(Edits { texts: edits, money: rounded.then_some(Edit::Round(money_digits as usize)) })
    }

    /// What is done to a column, if anything; its schema says so even where no value is changed.
    pub fn of(&self, table: &TableId, column: &Column) -> Option<Edit> {
        let name = format!("{table}.{}", column.name);
        let Some((_, edit)) = self.texts.iter().find(|(columns, _)| columns.is_match(&name)) else {
            return self.money.clone().filter(|_| column.kind == ColumnType::Money);
        };
        let declared = column.source_type.length.and_then(|length| usize::try_from(length).ok());
        let length = declared.filter(|length| *length > 0);
        Some(match edit {
            Edit::Hash { digest, salt, serialized, .. } => {
                let stand_in = (!column.optional).then(|| match &column.default {
                    Some(Constant::Text(text)) => text.as_str().into(),
                    _ => "".into(),
                });
                Edit::Hash { digest: *digest, salt: salt.clone(), serialized: *serialized, length, stand_in }
            }
            // No value is longer.
            Edit::Truncate(most) if length.is_some_and(|length| length <= *most) => return None,
            other => other.clone(),
        })
    }
}

/// Whole names, letter case ignored.
pub fn columns(patterns: &[String]) -> Result<RegexSet> {
    let whole = patterns.iter().map(|pattern| format!("(?i)^(?:{pattern})$"));
    RegexSet::new(whole).or_kind(ErrorKind::Config)
}

impl Edit {
    /// Whether values of the column are changed: masks and digests are for characters.
    pub fn concerns(&self, column: &Column) -> bool {
        match self {
            Edit::Mask(_) | Edit::Hash { .. } => column.characters,
            Edit::Truncate(_) | Edit::Round(_) => true,
        }
    }

    /// What the field's schema says of it.
    pub fn mark(&self, schema: Schema) -> Schema {
        match self {
            Edit::Mask(_) | Edit::Hash { .. } => schema.parameter("masked", "true"),
            Edit::Truncate(length) => schema.parameter("truncateLength", length.to_string()),
            Edit::Round(_) => schema,
        }
    }

    pub fn apply<'a>(&'a self, value: Value<'a>, arena: &'a Bump) -> Value<'a> {
        match (self, value) {
            (Edit::Mask(stars), _) => Value::Text(stars),
            (Edit::Hash { digest, salt, serialized, length, stand_in }, value) => {
                let text = match (value, stand_in) {
                    (Value::Text(text), _) => text,
                    (Value::Null, Some(stand_in)) => stand_in,
                    (value, _) => return value,
                };
                let hex = digest.hex(salt.as_bytes(), text, *serialized);
                Value::Text(arena.alloc_str(first(&hex, length.unwrap_or(usize::MAX))))
            }
            (Edit::Truncate(length), Value::Text(text)) => Value::Text(truncated(text, *length, arena)),
            (Edit::Round(digits), Value::Decimal(text)) => Value::Decimal(rounded(text, *digits, arena)),
            (_, value) => value,
        }
    }
}

/// A decimal's text with no more digits behind the point.
fn rounded<'a>(text: &'a str, digits: usize, arena: &'a Bump) -> &'a str {
    let Some((whole, fraction)) = text.split_once('.') else { return text };
    let Some((kept, dropped)) = fraction.split_at_checked(digits) else { return text };
    if dropped.is_empty() {
        return text;
    }
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let up = dropped.starts_with(['5', '6', '7', '8', '9']);
    // Money is eight bytes of cents: its digits fit.
    let places = whole.chars().chain(kept.chars()).filter_map(|digit| digit.to_digit(10));
    let units = places.fold(0, |units: u128, digit| units * 10 + u128::from(digit)) + u128::from(up);
    if digits == 0 {
        return bumpalo::format!(in arena, "{}{}", sign, units).into_bump_str();
    }
    let one = 10_u128.pow(digits as u32);
    bumpalo::format!(in arena, "{}{}.{:03$}", sign, units / one, units % one, digits).into_bump_str()
}

/// So many of Java's characters; never half of a pair.
fn first(text: &str, length: usize) -> &str {
    let mut units = 0;
    let end = text.char_indices().find(|(_, c)| {
        units += c.len_utf16();
        units > length
    });
    end.and_then(|(at, _)| text.get(..at)).unwrap_or(text)
}

/// [`first`]; but of half a pair Java sends a question mark.
fn truncated<'a>(text: &'a str, length: usize, arena: &'a Bump) -> &'a str {
    let kept = first(text, length);
    let units: usize = kept.chars().map(char::len_utf16).sum();
    if units == length || kept.len() == text.len() { kept } else { arena.alloc_str(&format!("{kept}?")) }
}

impl Digester {
    fn of(name: &str) -> Result<Digester> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "MD5" => Digester::Md5,
            "SHA" | "SHA-1" | "SHA1" => Digester::Sha1,
            "SHA-224" => Digester::Sha224,
            "SHA-256" => Digester::Sha256,
            "SHA-384" => Digester::Sha384,
            "SHA-512" => Digester::Sha512,
            _ => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("event.hash: {name:?} is no known algorithm"),
                )
                .remedy("use MD5, SHA-1, SHA-224, SHA-256, SHA-384 or SHA-512"));
            }
        })
    }

    fn hex(self, salt: &[u8], text: &str, serialized: bool) -> String {
        let bytes = if serialized { java_serialized(text) } else { text.as_bytes().to_vec() };
        match self {
            Digester::Md5 => digest::<md5::Md5>(salt, &bytes),
            Digester::Sha1 => digest::<sha1::Sha1>(salt, &bytes),
            Digester::Sha224 => digest::<sha2::Sha224>(salt, &bytes),
            Digester::Sha256 => digest::<sha2::Sha256>(salt, &bytes),
            Digester::Sha384 => digest::<sha2::Sha384>(salt, &bytes),
            Digester::Sha512 => digest::<sha2::Sha512>(salt, &bytes),
        }
    }
}

fn digest<D: Digest>(salt: &[u8], bytes: &[u8]) -> String {
    let sum = D::new().chain_update(salt).chain_update(bytes).finalize();
    sum.iter().fold(String::new(), |mut out, byte| {
        // Writing to a text cannot fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// What Java's `ObjectOutputStream` writes for a string: a header, a tag, a length, and UTF-8 in
/// Java's manner (a zero byte as two, pairs of surrogates one by one).
fn java_serialized(text: &str) -> Vec<u8> {
    let mut content = Vec::with_capacity(text.len());
    for unit in text.encode_utf16() {
        match unit {
            1..=0x7f => content.push(unit as u8),
            0 | 0x80..=0x7ff => content.extend([0xc0 | (unit >> 6) as u8, 0x80 | (unit & 0x3f) as u8]),
            _ => content.extend([
                0xe0 | (unit >> 12) as u8,
                0x80 | (unit >> 6 & 0x3f) as u8,
                0x80 | (unit & 0x3f) as u8,
            ]),
        }
    }
    let mut out = vec![0xac, 0xed, 0, 5];
    match u16::try_from(content.len()) {
        Ok(length) => {
            out.push(0x74);
            out.extend(length.to_be_bytes());
        }
        Err(_) => {
            out.push(0x7c);
            out.extend((content.len() as u64).to_be_bytes());
        }
    }
    out.extend(content);
    out
}

/// Adds the declared type to a schema, as Debezium's propagation does.
pub fn propagate(schema: Schema, column: &Column, comments: bool) -> Schema {
    let declared = &column.source_type;
    let mut schema = schema.parameter("__debezium.source.column.type", &*declared.name);
    if let Some(length) = declared.length {
        schema = schema.parameter("__debezium.source.column.length", length.to_string());
    }
    if let Some(scale) = declared.scale {
        schema = schema.parameter("__debezium.source.column.scale", scale.to_string());
    }
    schema = schema.parameter("__debezium.source.column.name", &*column.name);
    match &column.comment {
        Some(comment) if comments => schema.parameter("__debezium.source.column.comment", comment),
        _ => schema,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::table::SourceType;

    #[test]
    fn texts_are_cut_at_characters() {
        for (text, length, want) in
            [("Sally", 3, "Sal"), ("é漢x", 2, "é漢"), ("a🎉b", 2, "a"), ("ab", 9, "ab"), ("ab", 0, "")]
        {
            assert_eq!(first(text, length), want);
        }
    }

    #[test]
    fn digests_are_java_s() {
        // As another program computes them.
        let sha = Digester::Sha256.hex(b"salt", "value", false);
        assert_eq!(sha, "d430a1da30afe1a9d07b3b36042151ebaf53c4882af1609733c04930de318e33");
        let md5 = Digester::Md5.hex(b"salt", "value", true);
        assert_eq!(md5, "31b44c688a9f5d8b145fd431d5761b70");
        assert_eq!(java_serialized("ab"), [0xac, 0xed, 0, 5, 0x74, 0, 2, b'a', b'b']);
        assert_eq!(
            java_serialized("\0é🎉").get(7..),
            Some(&[0xc0, 0x80, 0xc3, 0xa9, 0xed, 0xa0, 0xbc, 0xed, 0xbe, 0x89][..])
        );
        assert_eq!(java_serialized(&"x".repeat(70_000)).len(), 4 + 1 + 8 + 70_000);
    }

    #[test]
    fn money_is_rounded_and_half_a_pair_is_a_question_mark() {
        let arena = Bump::new();
        for (text, digits, want) in [
            ("2.50", 0, "3"),
            ("-2.50", 0, "-3"),
            ("-3.49", 0, "-3"),
            ("0.50", 0, "1"),
            ("999.95", 1, "1000.0"),
            ("12.34", 2, "12.34"),
            ("-10.04", 1, "-10.0"),
            ("-92233720368547758.08", 1, "-92233720368547758.1"),
            ("7", 0, "7"),
        ] {
            assert_eq!(rounded(text, digits, &arena), want, "{text}");
        }
        for (text, length, want) in [("a😀b", 2, "a?"), ("a😀b", 3, "a😀"), ("ab", 5, "ab"), ("abc", 2, "ab")]
        {
            assert_eq!(truncated(text, length, &arena), want, "{text}");
        }
    }

    #[test]
    fn masks_are_for_characters_and_marks_for_all() {
        let text = "topic_prefix = 'p'\n[[mask]]\ncolumns = ['s.t.(a|b)']\nlength = 3\n[[truncate]]\ncolumns = ['s.t.c']\nlength = 4";
        let overrides = shared::config::Overrides { env_prefix: "NO_SUCH_PREFIX", set: &[] };
        let edits = Edits::new(&shared::config::parse(text, &overrides).expect("valid")).expect("valid");
        let table = TableId { schema: "s".to_owned(), name: "t".to_owned() };
        let column = |name: &str, characters, length| Column {
            characters,
            source_type: SourceType { length: Some(length), ..SourceType::default() },
            ..Column::new(name, ColumnType::Text, true)
        };
        for (column, marked, changed) in [
            (column("a", true, i32::MAX), true, true),
            (column("b", false, i32::MAX), true, false),
            (column("c", false, 9), true, true),
            (column("c", true, 4), false, false),
            (column("d", true, 9), false, false),
        ] {
            let edit = edits.of(&table, &column);
            let found = (edit.is_some(), edit.is_some_and(|edit| edit.concerns(&column)));
            assert_eq!(found, (marked, changed), "{}", column.name);
        }
    }
}
