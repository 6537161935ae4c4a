//! PostgreSQL types → column types and decoders: one table. Pure.
//!
//! A type that is not in the table leaves its column out, as Debezium does with types it does not
//! know. To support another type, add its row here and, if its text needs one, a decoder.

use super::value::Decoder;
use crate::model::table::ColumnType;

/// A type as the catalogue knows it, domains already followed to their base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeInfo {
    /// `pg_type.typname` of the declared type.
    pub name: String,
    /// `pg_type.typname` of the base type; differs from `name` for a domain only.
    pub base: String,
    /// The modifier that a domain carries; -1 otherwise.
    pub modifier: i32,
}

impl TypeInfo {
    pub fn is_domain(&self) -> bool {
        self.name != self.base
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
    Some(TypeInfo { name: (*name).to_owned(), base: (*name).to_owned(), modifier: -1 })
}

/// What a column of the type becomes; `None` leaves it out. `modifier` is the column's `atttypmod`.
pub fn column_type(info: &TypeInfo, modifier: i32) -> Option<(ColumnType, Decoder)> {
    let modifier = if info.is_domain() { info.modifier } else { modifier };
    Some(match info.base.as_str() {
        "bool" => (ColumnType::Bool, Decoder::Bool),
        "int2" => (ColumnType::Int16, Decoder::Int),
        "int4" => (ColumnType::Int32, Decoder::Int),
        "int8" | "oid" => (ColumnType::Int64, Decoder::Int),
        "float4" => (ColumnType::Float32, Decoder::Float32),
        "float8" => (ColumnType::Float64, Decoder::Float64),
        "numeric" => (decimal(modifier), Decoder::Decimal),
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
        _ => return None,
    })
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
        let amount = TypeInfo { name: "amount".into(), base: "numeric".into(), modifier: (12 << 16 | 3) + 4 };
        assert_eq!(
            column_type(&amount, -1).map(|(kind, _)| kind),
            Some(ColumnType::Decimal { precision: 12, scale: 3 })
        );
    }

    #[test]
    fn the_table_of_built_in_types_is_sorted() {
        assert!(BUILT_IN.is_sorted_by_key(|(oid, _)| *oid));
    }
}
