//! PostgreSQL types → column types and decoders: one table. Pure.
//!
//! A type that is not in the table leaves its column out, as Debezium does with types it does not
//! know, unless unknown types are asked for. To support another type, add its row here and, if its
//! text needs one, a decoder.

use super::default;
use super::value::Decoder;
use crate::model::table::{ColumnType, SourceType};

/// A type as the catalogue knows it, domains already followed to their base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeInfo {
    /// `pg_type.typname` of the declared type.
    pub name: String,
    /// The schema in front of the declared type's name where it must be said.
    pub schema: Option<String>,
    /// `pg_type.typname` of the base type; differs from `name` for a domain only.
    pub base: String,
    /// The modifier that a domain carries; -1 otherwise.
    pub modifier: i32,
    /// An enum's labels in their order.
    pub labels: Option<Vec<String>>,
    /// An array's element type.
    pub element: Option<Box<TypeInfo>>,
    /// What stands between such values in an array; `None` is a comma.
    pub delimiter: Option<u8>,
}

impl TypeInfo {
    /// A type that is its own base.
    pub fn plain(name: &str) -> TypeInfo {
        TypeInfo { name: name.to_owned(), base: name.to_owned(), modifier: -1, ..TypeInfo::default() }
    }

    pub fn is_domain(&self) -> bool {
        self.name != self.base
    }

    /// Whether it is an enum or one of SQL's types for characters, itself or by its domain.
    pub fn is_characters(&self) -> bool {
        const CHARACTERS: [&str; 5] = ["text", "varchar", "bpchar", "char", "name"];
        self.labels.is_some() || CHARACTERS.contains(&self.base.as_str())
    }

    fn delimiter(&self) -> u8 {
        self.delimiter.unwrap_or(b',')
    }

    /// The modifier that counts: a domain's own, or else the column's.
    fn modifier(&self, of_column: i32) -> i32 {
        if self.is_domain() { self.modifier } else { of_column }
    }
}

/// The built-in types that need no look-up. Their numbers never change.
const BUILT_IN: &[(u32, &str)] = &[
    (16, "bool"),
    (17, "bytea"),
    (18, "char"),
    (19, "name"),
    (20, "int8"),
    (21, "int2"),
    (23, "int4"),
    (25, "text"),
    (26, "oid"),
    (114, "json"),
    (142, "xml"),
    (700, "float4"),
    (701, "float8"),
    (1042, "bpchar"),
    (1043, "varchar"),
    (1082, "date"),
    (1083, "time"),
    (1114, "timestamp"),
    (1184, "timestamptz"),
    (1700, "numeric"),
    (2950, "uuid"),
    (3802, "jsonb"),
];

pub fn built_in(oid: u32) -> Option<TypeInfo> {
    let at = BUILT_IN.binary_search_by_key(&oid, |(oid, _)| *oid).ok()?;
    let (_, name) = BUILT_IN.get(at)?;
    Some(TypeInfo::plain(name))
}

/// What a column of the type becomes; `None` leaves it out. `modifier` is the column's `atttypmod`.
pub fn column_type(info: &TypeInfo, modifier: i32) -> Option<(ColumnType, Decoder)> {
    let modifier = info.modifier(modifier);
    if let Some(labels) = &info.labels {
        return Some((ColumnType::Enum { labels: labels.clone() }, Decoder::Text));
    }
    if let Some(element) = &info.element {
        return array_type(element, modifier);
    }
    Some(match info.base.as_str() {
        "bool" => (ColumnType::Bool, Decoder::Bool),
        "int2" => (ColumnType::Int16, Decoder::Int),
        "int4" => (ColumnType::Int32, Decoder::Int),
        "int8" | "oid" => (ColumnType::Int64, Decoder::Int),
        "float4" => (ColumnType::Float32, Decoder::Float32),
        "float8" => (ColumnType::Float64, Decoder::Float64),
        "numeric" => (decimal(modifier), decimal_decoder(modifier)),
        "text" | "varchar" | "bpchar" | "char" | "name" | "citext" => (ColumnType::Text, Decoder::Text),
        "json" | "jsonb" => (ColumnType::Json, Decoder::Text),
        "xml" => (ColumnType::Xml, Decoder::Text),
        "uuid" => (ColumnType::Uuid, Decoder::Text),
        "bytea" => (ColumnType::Bytes, Decoder::Bytea),
        "date" => (ColumnType::Date, Decoder::Date),
        "time" => (ColumnType::Time { precision: fraction(modifier).unwrap_or(6) }, Decoder::Time),
        "timestamp" => {
            (ColumnType::Timestamp { precision: fraction(modifier).unwrap_or(6) }, Decoder::Timestamp)
        }
        "timestamptz" => (ColumnType::TimestampTz { precision: fraction(modifier) }, Decoder::TimestampTz),
        "timetz" => (ColumnType::TimeTz, Decoder::TimeTz),
        "interval" => (ColumnType::Interval, Decoder::Interval),
        "bit" | "varbit" if modifier == 1 => (ColumnType::Bool, Decoder::Bit),
        "bit" | "varbit" => {
            (ColumnType::Bits { length: if modifier > 0 { modifier } else { i32::MAX } }, Decoder::Bits)
        }
        "money" => (ColumnType::Money, Decoder::Money),
        "tsvector" => (ColumnType::Tsvector, Decoder::Text),
        "ltree" => (ColumnType::Ltree, Decoder::Text),
        "hstore" => (ColumnType::Hstore, Decoder::Hstore),
        "point" => (ColumnType::Point, Decoder::Point),
        "geometry" => (ColumnType::Geometry, Decoder::Geometry),
        "geography" => (ColumnType::Geography, Decoder::Geometry),
        "vector" => (ColumnType::Vector, Decoder::Vector),
        "halfvec" => (ColumnType::HalfVector, Decoder::HalfVector),
        "sparsevec" => (ColumnType::SparseVector, Decoder::SparseVector),
        name if PLAIN_TEXT.contains(&name) => (ColumnType::Text, Decoder::Text),
        _ => return None,
    })
}

/// Types that are shown as their text: networks, ranges, the numbers of books and goods.
const PLAIN_TEXT: [&str; 18] = [
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "isbn",
    "isbn13",
    "ismn",
    "ismn13",
    "issn",
    "issn13",
    "ean13",
    "upc",
];

/// Elements of which Debezium reads arrays.
const ELEMENTS: [&str; 32] = [
    "bool",
    "bytea",
    "bpchar",
    "char",
    "citext",
    "date",
    "float4",
    "float8",
    "hstore",
    "int2",
    "int4",
    "int8",
    "json",
    "jsonb",
    "numeric",
    "oid",
    "text",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "uuid",
    "varchar",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "ltree",
    "geometry",
    "geography",
    "vector",
    "tsvector",
];

fn array_type(element: &TypeInfo, modifier: i32) -> Option<(ColumnType, Decoder)> {
    // Debezium does not know arrays of domains.
    let (kind, decoder) = column_type(element, modifier).filter(|_| !element.is_domain())?;
    match kind {
        // Debezium describes it by its element, and reads none.
        ColumnType::Bits { .. } if element.base == "bit" => Some((kind, Decoder::Absent)),
        _ if ELEMENTS.contains(&element.base.as_str())
            || element.labels.is_some()
            || element.base.ends_with("range") =>
        {
            Some((ColumnType::Array(Box::new(kind)), decoder.of_array(element.delimiter())))
        }
        _ => None,
    }
}

/// A column of a type that nobody knows: the text's bytes, in arrays of each element. Arrays of types that
/// are known by themselves are left out all the same.
pub fn unknown_type(info: &TypeInfo) -> Option<(ColumnType, Decoder)> {
    const FIGURES: [&str; 6] = ["line", "lseg", "box", "path", "polygon", "circle"];
    let raw = |info: &TypeInfo| match FIGURES.contains(&info.base.as_str()) {
        true => Decoder::RawFigure,
        false => Decoder::Raw,
    };
    if let Some(element) = &info.element {
        let known = !element.is_domain() && column_type(element, -1).is_some();
        let bytes = ColumnType::Array(Box::new(ColumnType::Unknown));
        return (!known).then(|| (bytes, raw(element).of_array(element.delimiter())));
    }
    Some((ColumnType::Unknown, raw(info)))
}

/// No length of its own.
const UNBOUNDED: i32 = i32::MAX;
/// Digits that `numeric` may have before its point.
const NUMERIC_DIGITS: i32 = 131_089;

/// The type as it is declared, with length and scale as the Java driver tells them. It calls
/// things otherwise in a snapshot than in the stream, and so does Debezium.
pub fn source_type(info: &TypeInfo, modifier: i32, streamed: bool, serial: bool) -> SourceType {
    let modifier = info.modifier(modifier);
    if let Some(element) = &info.element {
        let of_element = source_type(element, modifier, streamed, false);
        return SourceType { name: declared_name(info, streamed, serial), ..of_element };
    }
    let digits = |least: i32| {
        let fraction = match modifier {
            -1 => 7,
            0 => 0,
            1 => 3,
            digits => digits.saturating_add(1),
        };
        fraction.saturating_add(least)
    };
    let counted = if modifier >= 0 { modifier } else { 6 };
    let (length, scale) = match info.base.as_str() {
        "bool" => (1, Some(0)),
        "int2" => (5, Some(0)),
        "int4" | "oid" => (10, Some(0)),
        "int8" => (19, Some(0)),
        "float4" => (8, Some(8)),
        "float8" => (17, Some(17)),
        "numeric" => match modifier.checked_sub(4).filter(|packed| *packed >= 0) {
            Some(packed) => (packed >> 16, Some(packed & 0xFFFF)),
            None if streamed => (NUMERIC_DIGITS, Some(0)),
            None => (0, None),
        },
        "char" => (1, Some(0)),
        "bpchar" | "varchar" if modifier >= 4 => (modifier - 4, Some(0)),
        "bit" | "varbit" if modifier > 0 => (modifier, Some(0)),
        "bit" => (1, Some(0)),
        "date" => (13, Some(0)),
        "time" => (digits(8), Some(counted)),
        "timetz" => (digits(14), Some(counted)),
        "timestamp" => (digits(22), Some(counted)),
        "timestamptz" => (digits(28), Some(counted)),
        "interval" => (49, Some(if modifier < 0 { 6 } else { modifier & 0xFFFF })),
        _ => (UNBOUNDED, Some(0)),
    };
    SourceType { name: declared_name(info, streamed, serial), length: Some(length), scale }
}

fn declared_name(info: &TypeInfo, streamed: bool, serial: bool) -> String {
    let name = match (&info.schema, info.base.as_str()) {
        (_, "int2") if serial && !streamed => "smallserial".to_owned(),
        (_, "int4") if serial && !streamed => "serial".to_owned(),
        (_, "int8") if serial && !streamed => "bigserial".to_owned(),
        (Some(schema), _) if !streamed => format!("\"{schema}\".\"{}\"", info.name),
        _ => info.name.clone(),
    };
    name.to_uppercase()
}

/// `numeric(p, s)` is kept as `(p << 16 | s) + 4`. A negative scale shows as 2048 less its size:
/// Debezium registers it so (`numeric(3,-2)` has scale 2046), and ids depend on that.
fn decimal(modifier: i32) -> ColumnType {
    match modifier.checked_sub(4) {
        Some(packed) if packed >= 0 => ColumnType::Decimal {
            precision: u32::try_from(packed >> 16).unwrap_or_default(),
            scale: packed & 0xFFFF,
        },
        _ => ColumnType::VariableDecimal,
    }
}

/// PostgreSQL's largest scale; what looks larger is negative.
const LARGEST_SCALE: usize = 1_000;

fn decimal_decoder(modifier: i32) -> Decoder {
    let scale = default::scale_of(modifier).filter(|scale| *scale > LARGEST_SCALE);
    scale.and_then(|scale| u16::try_from(scale).ok()).map_or(Decoder::Decimal, Decoder::Padded)
}

fn fraction(modifier: i32) -> Option<u8> {
    u8::try_from(modifier).ok().filter(|digits| *digits <= 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_by_number_and_modifier() {
        for (oid, modifier, want) in [
            (23, -1, Some(ColumnType::Int32)),
            (1700, -1, Some(ColumnType::VariableDecimal)),
            (1700, (12 << 16 | 2) + 4, Some(ColumnType::Decimal { precision: 12, scale: 2 })),
            (1700, (3 << 16 | 2046) + 4, Some(ColumnType::Decimal { precision: 3, scale: 2046 })),
            (1114, -1, Some(ColumnType::Timestamp { precision: 6 })),
            (1114, 3, Some(ColumnType::Timestamp { precision: 3 })),
            (1184, -1, Some(ColumnType::TimestampTz { precision: None })),
            (1184, 0, Some(ColumnType::TimestampTz { precision: Some(0) })),
            (1043, 24, Some(ColumnType::Text)),
            (600, -1, None),
        ] {
            let found = built_in(oid).and_then(|info| column_type(&info, modifier)).map(|(kind, _)| kind);
            assert_eq!(found, want, "{oid} {modifier}");
        }
    }

    #[test]
    fn a_domain_has_its_own_modifier() {
        let amount = TypeInfo {
            name: "amount".into(),
            base: "numeric".into(),
            modifier: (12 << 16 | 3) + 4,
            ..TypeInfo::default()
        };
        assert_eq!(
            column_type(&amount, -1).map(|(kind, _)| kind),
            Some(ColumnType::Decimal { precision: 12, scale: 3 })
        );
    }

    #[test]
    fn arrays_enums_and_what_is_left_out() {
        let of = |element: TypeInfo| TypeInfo { element: Some(Box::new(element)), ..TypeInfo::plain("_x") };
        let mood = TypeInfo { labels: Some(vec!["sad".into()]), ..TypeInfo::plain("mood") };
        let labels = || ColumnType::Enum { labels: vec!["sad".into()] };
        for (info, modifier, want) in [
            (mood.clone(), -1, Some(labels())),
            (of(mood), -1, Some(ColumnType::Array(Box::new(labels())))),
            (of(TypeInfo::plain("int4")), -1, Some(ColumnType::Array(Box::new(ColumnType::Int32)))),
            (of(TypeInfo::plain("int4range")), -1, Some(ColumnType::Array(Box::new(ColumnType::Text)))),
            (of(TypeInfo::plain("bit")), 3, Some(ColumnType::Bits { length: 3 })),
            (of(TypeInfo::plain("money")), -1, None),
            (of(TypeInfo::plain("interval")), -1, None),
            (TypeInfo::plain("bit"), 1, Some(ColumnType::Bool)),
            (TypeInfo::plain("varbit"), -1, Some(ColumnType::Bits { length: i32::MAX })),
            (TypeInfo::plain("circle"), -1, None),
        ] {
            assert_eq!(column_type(&info, modifier).map(|(kind, _)| kind), want, "{info:?}");
        }
    }

    #[test]
    fn declared_types_as_the_driver_tells_them() {
        let mood = TypeInfo { schema: Some("inventory".into()), ..TypeInfo::plain("mood") };
        for (info, modifier, streamed, want) in [
            (TypeInfo::plain("numeric"), -1, true, ("NUMERIC", 131_089, Some(0))),
            (TypeInfo::plain("numeric"), -1, false, ("NUMERIC", 0, None)),
            (TypeInfo::plain("numeric"), (5 << 16 | 2) + 4, true, ("NUMERIC", 5, Some(2))),
            (TypeInfo::plain("varchar"), 16, true, ("VARCHAR", 12, Some(0))),
            (TypeInfo::plain("timestamp"), 1, true, ("TIMESTAMP", 25, Some(1))),
            (TypeInfo::plain("timestamptz"), 3, true, ("TIMESTAMPTZ", 32, Some(3))),
            (TypeInfo::plain("interval"), 6 << 16 | 0xFFFF, true, ("INTERVAL", 49, Some(65_535))),
            (mood.clone(), -1, true, ("MOOD", i32::MAX, Some(0))),
            (mood, -1, false, ("\"INVENTORY\".\"MOOD\"", i32::MAX, Some(0))),
        ] {
            let (name, length, scale) = want;
            let want = SourceType { name: name.to_owned(), length: Some(length), scale };
            assert_eq!(source_type(&info, modifier, streamed, false), want);
        }
    }

    #[test]
    fn the_table_of_built_in_types_is_sorted() {
        assert!(BUILT_IN.is_sorted_by_key(|(oid, _)| *oid));
    }
}
