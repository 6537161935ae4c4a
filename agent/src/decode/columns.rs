//! What a registered schema says of its rows' columns. Pure.

use super::schema::{Form, Meaning, Schema, TypeId};

/// What can be done with a column's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    Number,
    Timestamp,
    /// A list of doubles.
    Vector,
    Text,
    Bool,
    Other,
}

impl ColumnKind {
    /// For messages.
    pub fn name(self) -> &'static str {
        match self {
            ColumnKind::Number => "number",
            ColumnKind::Timestamp => "timestamp",
            ColumnKind::Vector => "list",
            ColumnKind::Text => "text",
            ColumnKind::Bool => "boolean",
            ColumnKind::Other => "value of another kind",
        }
    }
}

/// The columns of an envelope's row, or of a record that is the row itself; the error says why the
/// schema is none of rows.
pub fn columns(text: &str) -> Result<Vec<(String, ColumnKind)>, String> {
    let schema = Schema::parse(text)?;
    let fields = schema.record(schema.root()).ok_or("schema is no record")?;
    let after = fields.iter().find(|(name, _)| name == "after").and_then(|(_, id)| schema.record(*id));
    let row = if fields.iter().any(|(name, _)| name == "op") { after.unwrap_or(fields) } else { fields };
    Ok(row.iter().map(|(name, id)| (name.clone(), kind(&schema, *id))).collect())
}

fn kind(schema: &Schema, id: TypeId) -> ColumnKind {
    let found = schema.get(id);
    match (&found.form, found.meaning) {
        (Form::Union(branches), _) => {
            let there = branches.iter().find(|branch| schema.get(**branch).form != Form::Null);
            there.map_or(ColumnKind::Other, |branch| plain(schema, *branch))
        }
        _ => plain(schema, id),
    }
}

fn plain(schema: &Schema, id: TypeId) -> ColumnKind {
    let found = schema.get(id);
    match (&found.form, found.meaning) {
        (_, Meaning::Days | Meaning::Millis | Meaning::Micros | Meaning::Nanos | Meaning::ZonedText) => {
            ColumnKind::Timestamp
        }
        (_, Meaning::Decimal { .. } | Meaning::VariableScaleDecimal) => ColumnKind::Number,
        (Form::Int | Form::Long | Form::Float | Form::Double, _) => ColumnKind::Number,
        (Form::Text | Form::Enum(_), _) => ColumnKind::Text,
        (Form::Boolean, _) => ColumnKind::Bool,
        (Form::Array(items), _) if super::read::is_vector(schema, *items) => ColumnKind::Vector,
        _ => ColumnKind::Other,
    }
}
