//! Avro bytes → values, or past them. Bounded: no input makes it loop or nest without end.

use super::schema::{Form, Meaning, Schema, TypeId};
use super::zoned;
use crate::model::decimal::Decimal;
use crate::model::value::Value;
use shared::avro::wire::take_long;

/// Debezium's default for a value that the source did not send.
const UNAVAILABLE: &[u8] = b"__debezium_unavailable_value";
const MAX_DEPTH: u32 = 96;
/// A vector has at most this many numbers: what pgvector allows, and a little.
const MAX_VECTOR: usize = 16_384;
/// Steps allowed beyond one per byte, so that items without bytes cannot loop for ever.
const SPARE_STEPS: usize = 65_536;

/// Where reading stands in one record.
pub struct Cursor<'a> {
    rest: &'a [u8],
    steps: usize,
}

/// Why the bytes do not fit the schema.
pub type Misfit = &'static str;

const CUT: Misfit = "value ends too early for its schema";

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Cursor { rest: bytes, steps: bytes.len().saturating_mul(2).saturating_add(SPARE_STEPS) }
    }

    pub fn left(&self) -> usize {
        self.rest.len()
    }

    fn long(&mut self) -> Result<i64, Misfit> {
        take_long(&mut self.rest).ok_or(CUT)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Misfit> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Misfit> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(CUT)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn block(&mut self) -> Result<&'a [u8], Misfit> {
        let length = usize::try_from(self.long()?).map_err(|_| CUT)?;
        self.take(length)
    }

    fn step(&mut self) -> Result<(), Misfit> {
        self.steps = self.steps.checked_sub(1).ok_or("value has too many items")?;
        Ok(())
    }

    /// The branch of a union, or the type itself.
    pub fn branch(&mut self, schema: &Schema, id: TypeId) -> Result<TypeId, Misfit> {
        match &schema.get(id).form {
            Form::Union(branches) => {
                let at = usize::try_from(self.long()?).map_err(|_| "unknown union branch")?;
                branches.get(at).copied().ok_or("unknown union branch")
            }
            _ => Ok(id),
        }
    }

    /// Goes past a value.
    pub fn skip(&mut self, schema: &Schema, id: TypeId) -> Result<(), Misfit> {
        self.skip_nested(schema, id, 0)
    }

    fn skip_nested(&mut self, schema: &Schema, id: TypeId, depth: u32) -> Result<(), Misfit> {
        if depth > MAX_DEPTH {
            return Err("value is nested too deeply");
        }
        self.step()?;
        match &schema.get(id).form {
            Form::Null => {}
            Form::Boolean => drop(self.take(1)?),
            Form::Int | Form::Long | Form::Enum(_) => drop(self.long()?),
            Form::Float => drop(self.take(4)?),
            Form::Double => drop(self.take(8)?),
            Form::Bytes | Form::Text => drop(self.block()?),
            Form::Fixed(size) => drop(self.take(*size)?),
            Form::Array(items) => self.skip_blocks(schema, *items, false, depth)?,
            Form::Map(values) => self.skip_blocks(schema, *values, true, depth)?,
            Form::Union(_) => {
                let branch = self.branch(schema, id)?;
                self.skip_nested(schema, branch, depth + 1)?;
            }
            Form::Record(fields) => {
                for (_, field) in fields {
                    self.skip_nested(schema, *field, depth + 1)?;
                }
            }
        }
        Ok(())
    }

    fn skip_blocks(&mut self, schema: &Schema, item: TypeId, keyed: bool, depth: u32) -> Result<(), Misfit> {
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // A negative count is followed by the block's size in bytes.
                self.long()?;
                count = count.checked_neg().ok_or("negative item count")?;
            }
            for _ in 0..count {
                if keyed {
                    self.block()?;
                }
                self.skip_nested(schema, item, depth + 1)?;
            }
        }
    }

    /// Reads a value.
    pub fn value(&mut self, schema: &Schema, id: TypeId) -> Result<Value, Misfit> {
        self.step()?;
        let id = self.branch(schema, id)?;
        let kind = schema.get(id);
        Ok(match &kind.form {
            Form::Null => Value::Null,
            Form::Boolean => Value::Bool(self.array::<1>()? != [0]),
            Form::Int | Form::Long => whole(self.long()?, kind.meaning),
            Form::Float => Value::Float(f64::from(f32::from_le_bytes(self.array()?))),
            Form::Double => Value::Float(f64::from_le_bytes(self.array()?)),
            Form::Text => text(self.block()?, kind.meaning)?,
            Form::Bytes => bytes(self.block()?, kind.meaning)?,
            Form::Fixed(size) => bytes(self.take(*size)?, kind.meaning)?,
            Form::Enum(symbols) => {
                let at = usize::try_from(self.long()?).map_err(|_| "unknown enum symbol")?;
                Value::Text(symbols.get(at).ok_or("unknown enum symbol")?.clone())
            }
            Form::Record(fields) if kind.meaning == Meaning::VariableScaleDecimal => {
                self.variable_scale(schema, fields)?
            }
            Form::Array(items) if is_vector(schema, *items) => self.vector(schema, *items)?,
            Form::Array(_) | Form::Map(_) | Form::Record(_) => {
                self.skip_nested(schema, id, 1)?;
                Value::Opaque
            }
            Form::Union(_) => return Err("union inside a union"),
        })
    }

    /// An array of doubles; what is longer than any vector is passed over.
    fn vector(&mut self, schema: &Schema, items: TypeId) -> Result<Value, Misfit> {
        let (mut values, mut long) = (Vec::new(), false);
        loop {
            let mut count = self.long()?;
            if count == 0 {
                return Ok(if long { Value::Opaque } else { Value::List(values) });
            }
            if count < 0 {
                self.long()?;
                count = count.checked_neg().ok_or("negative item count")?;
            }
            for _ in 0..count {
                long |= values.len() >= MAX_VECTOR;
                if long {
                    self.skip_nested(schema, items, 1)?;
                } else {
                    values.push(self.value(schema, items)?);
                }
            }
        }
    }

    fn variable_scale(&mut self, schema: &Schema, fields: &[(String, TypeId)]) -> Result<Value, Misfit> {
        let (mut scale, mut unscaled) = (0, &[][..]);
        for (name, field) in fields {
            match name.as_str() {
                "scale" => scale = self.long()?,
                "value" => unscaled = self.block()?,
                _ => self.skip_nested(schema, *field, 1)?,
            }
        }
        if unscaled == UNAVAILABLE {
            return Ok(Value::Unchanged);
        }
        decimal(unscaled, scale)
    }
}

/// Whether an array's items are doubles or floats, or null.
pub fn is_vector(schema: &Schema, items: TypeId) -> bool {
    let double = |id: &TypeId| matches!(schema.get(*id).form, Form::Double | Form::Float);
    match &schema.get(items).form {
        Form::Union(branches) => {
            branches.iter().any(double)
                && branches.iter().all(|id| double(id) || schema.get(*id).form == Form::Null)
        }
        _ => double(&items),
    }
}

fn whole(n: i64, meaning: Meaning) -> Value {
    match meaning {
        Meaning::Days => Value::Timestamp(n.saturating_mul(86_400_000_000)),
        Meaning::Millis => Value::Timestamp(n.saturating_mul(1_000)),
        Meaning::Micros => Value::Timestamp(n),
        Meaning::Nanos => Value::Timestamp(n.div_euclid(1_000)),
        _ => Value::Int(n),
    }
}

fn text(bytes: &[u8], meaning: Meaning) -> Result<Value, Misfit> {
    if bytes == UNAVAILABLE {
        return Ok(Value::Unchanged);
    }
    let text = std::str::from_utf8(bytes).map_err(|_| "text is not UTF-8")?;
    if meaning == Meaning::ZonedText {
        return zoned::micros(text).map(Value::Timestamp).ok_or("text is no timestamp");
    }
    Ok(Value::Text(text.to_owned()))
}

fn bytes(bytes: &[u8], meaning: Meaning) -> Result<Value, Misfit> {
    match meaning {
        _ if bytes == UNAVAILABLE => Ok(Value::Unchanged),
        Meaning::Decimal { scale } => decimal(bytes, scale),
        _ => Ok(Value::Bytes(bytes.to_vec())),
    }
}

fn decimal(unscaled: &[u8], scale: i64) -> Result<Value, Misfit> {
    Decimal::from_bytes(unscaled, scale).map(Value::Decimal).ok_or("decimal is out of range")
}
