//! A Debezium envelope's schema and the columns asked for → a plan that takes those and skips the rest.
//!
//! A record without envelope (pushed, read from a file, or unwrapped on its way) is the row itself, and
//! counts as written: with a key it takes the place of the row that had the key.

use super::read::{Cursor, Misfit};
use super::schema::{Form, Schema, TypeId};
use crate::model::row::Op;
use crate::model::value::Value;

/// How to read the values of one schema id for one topic.
#[derive(Debug)]
pub struct ValuePlan {
    schema: Schema,
    steps: Vec<Step>,
    /// Columns asked for; those that the schema lacks stay [`Value::Absent`].
    columns: usize,
}

#[derive(Debug)]
enum Step {
    Skip(TypeId),
    /// The row after the change: each column's type, and its place if it was asked for.
    After(TypeId, Vec<(TypeId, Option<usize>)>),
    /// The whole is the row.
    Row(TypeId, Vec<(TypeId, Option<usize>)>),
    Op(TypeId),
    Source(TypeId, Vec<(TypeId, Option<SourceField>)>),
}

#[derive(Clone, Copy, Debug)]
enum SourceField {
    TsMillis,
    TsMicros,
}

/// What one envelope says.
#[derive(Debug, PartialEq)]
pub struct Envelope {
    /// `None` for operations that are no change of a row (`m`, a logical message).
    pub op: Option<Op>,
    pub after: Option<Vec<Value>>,
    /// `None` if there is no envelope to say it.
    pub committed_us: Option<i64>,
}

impl ValuePlan {
    /// Compiles; the error says why the schema is none of rows.
    pub fn compile(text: &str, columns: &[String]) -> Result<ValuePlan, String> {
        let schema = Schema::parse(text)?;
        let fields = schema.record(schema.root()).ok_or("schema is no record")?;
        let has = |name: &str| fields.iter().any(|(field, _)| field == name);
        // An envelope has both, and its "after" is a record.
        let after = fields.iter().find(|(field, _)| field == "after");
        if !has("op") || after.is_none_or(|(_, id)| schema.record(*id).is_none()) {
            let place = |name: &String| columns.iter().position(|column| column == name);
            let row = fields.iter().map(|(name, id)| (*id, place(name))).collect();
            let steps = vec![Step::Row(schema.root(), row)];
            return Ok(ValuePlan { columns: columns.len(), steps, schema });
        }
        let steps = fields.iter().map(|(name, id)| step(&schema, name, *id, columns)).collect();
        Ok(ValuePlan { columns: columns.len(), steps, schema })
    }

    /// Reads one value; the bytes follow the schema id.
    pub fn read(&self, bytes: &[u8]) -> Result<Envelope, Misfit> {
        let mut cursor = Cursor::new(bytes);
        let mut envelope = Envelope { op: None, after: None, committed_us: None };
        for step in &self.steps {
            match step {
                Step::Skip(id) => cursor.skip(&self.schema, *id)?,
                Step::Op(id) => envelope.op = operation(&cursor.value(&self.schema, *id)?)?,
                Step::After(id, columns) => envelope.after = self.after(&mut cursor, *id, columns)?,
                Step::Row(id, columns) => {
                    envelope.after = self.after(&mut cursor, *id, columns)?;
                    envelope.op = Some(Op::Create);
                }
                Step::Source(id, fields) => {
                    envelope.committed_us = Some(self.source(&mut cursor, *id, fields)?);
                }
            }
        }
        if cursor.left() > 0 {
            return Err("value is longer than its schema");
        }
        Ok(envelope)
    }

    fn after(
        &self,
        cursor: &mut Cursor<'_>,
        id: TypeId,
        columns: &[(TypeId, Option<usize>)],
    ) -> Result<Option<Vec<Value>>, Misfit> {
        let branch = cursor.branch(&self.schema, id)?;
        if self.schema.get(branch).form == Form::Null {
            return Ok(None);
        }
        let mut values = vec![Value::Absent; self.columns];
        for (id, place) in columns {
            match place.and_then(|at| values.get_mut(at)) {
                Some(place) => *place = cursor.value(&self.schema, *id)?,
                None => cursor.skip(&self.schema, *id)?,
            }
        }
        Ok(Some(values))
    }

    fn source(
        &self,
        cursor: &mut Cursor<'_>,
        id: TypeId,
        fields: &[(TypeId, Option<SourceField>)],
    ) -> Result<i64, Misfit> {
        let branch = cursor.branch(&self.schema, id)?;
        if self.schema.get(branch).form == Form::Null {
            return Ok(0);
        }
        let mut committed_us = None;
        for (id, field) in fields {
            match field {
                None => cursor.skip(&self.schema, *id)?,
                Some(field) => match (field, cursor.value(&self.schema, *id)?) {
                    (SourceField::TsMicros, Value::Int(micros)) => committed_us = Some(micros),
                    (SourceField::TsMillis, Value::Int(millis)) => {
                        committed_us.get_or_insert(millis.saturating_mul(1_000));
                    }
                    _ => {}
                },
            }
        }
        Ok(committed_us.unwrap_or(0))
    }
}

fn step(schema: &Schema, name: &str, id: TypeId, columns: &[String]) -> Step {
    match (name, schema.record(id)) {
        ("op", _) => Step::Op(id),
        ("after", Some(fields)) => {
            let place = |name: &String| columns.iter().position(|column| column == name);
            Step::After(id, fields.iter().map(|(name, id)| (*id, place(name))).collect())
        }
        ("source", Some(fields)) => {
            let wanted = |name: &str| match name {
                "ts_ms" => Some(SourceField::TsMillis),
                "ts_us" => Some(SourceField::TsMicros),
                _ => None,
            };
            Step::Source(id, fields.iter().map(|(name, id)| (*id, wanted(name))).collect())
        }
        _ => Step::Skip(id),
    }
}

fn operation(value: &Value) -> Result<Option<Op>, Misfit> {
    match value {
        Value::Text(op) => match op.as_str() {
            "r" => Ok(Some(Op::Read)),
            "c" => Ok(Some(Op::Create)),
            "u" => Ok(Some(Op::Update)),
            "d" => Ok(Some(Op::Delete)),
            "t" => Ok(Some(Op::Truncate)),
            "m" => Ok(None),
            _ => Err("unknown operation in op"),
        },
        _ => Err("op is no text"),
    }
}

/// How to read the keys of one schema id.
#[derive(Debug)]
pub struct KeyPlan {
    schema: Schema,
    fields: Vec<TypeId>,
}

impl KeyPlan {
    pub fn compile(text: &str) -> Result<KeyPlan, String> {
        let schema = Schema::parse(text)?;
        let fields = match schema.record(schema.root()) {
            Some(fields) => fields.iter().map(|(_, id)| *id).collect(),
            None => vec![schema.root()],
        };
        Ok(KeyPlan { schema, fields })
    }

    /// The key's values in the schema's order.
    pub fn read(&self, bytes: &[u8]) -> Result<Vec<Value>, Misfit> {
        let mut cursor = Cursor::new(bytes);
        self.fields.iter().map(|id| cursor.value(&self.schema, *id)).collect()
    }
}
