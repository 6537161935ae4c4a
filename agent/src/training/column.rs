//! Columns of a training set: what they hold, what was seen in them, and how they are written as Parquet.
//! Pure but for the writer that is handed in.

use crate::model::feature::FeatureType;
use crate::model::value::Value;
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, FloatType, Int32Type, Int64Type};
use parquet::errors::Result as Written;
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::{Type, TypePtr};
use std::sync::Arc;

/// Which kinds of values were seen in a column whose kind nobody states.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    whole: bool,
    real: bool,
    truth: bool,
    time: bool,
    bytes: bool,
    text: bool,
    list: bool,
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// Each cell is a list of such values.
    pub list: bool,
}

/// What a column's values are.
#[derive(Clone, Debug)]
pub enum Kind {
    /// As a Parquet file stated it; integers, times and dates are kept as their numbers.
    Given(TypePtr),
    /// Whatever was seen.
    Seen(Seen),
    Int64,
    Double,
    Text,
    Bool,
    /// Microseconds, UTC.
    Time,
    Bytes,
}

impl Seen {
    /// Notes a feature's value, or those of a list.
    pub fn note(&mut self, value: &Value) {
        match value {
            Value::Int(_) => self.whole = true,
            Value::Float(_) | Value::Decimal(_) => self.real = true,
            Value::Bool(_) => self.truth = true,
            Value::Timestamp(_) => self.time = true,
            Value::Bytes(_) => self.bytes = true,
            Value::Text(_) => self.text = true,
            Value::List(values) => {
                self.list = true;
                values.iter().for_each(|value| self.note(value));
            }
            Value::Null | Value::Opaque | Value::Unchanged | Value::Absent => {}
        }
    }

    /// Whether a list was among them: a column of an array is one.
    pub fn list(&self) -> bool {
        self.list
    }

    /// Notes a cell of CSV by what it looks like. Zeros in front (a postcode, a telephone) make a text.
    pub fn note_text(&mut self, text: &str) {
        match text {
            "true" | "false" | "True" | "False" => self.truth = true,
            _ if whole(text).is_some() => self.whole = true,
            _ if real(text).is_some() => self.real = true,
            _ => self.text = true,
        }
    }

    /// The one kind that holds all that was seen; doubles if that is nothing.
    fn kind(self) -> Kind {
        let Seen { whole, real, truth, time, bytes, text, list: _ } = self;
        match (whole || real, truth, time, bytes, text) {
            (false, true, false, false, false) => Kind::Bool,
            (false, false, true, false, false) => Kind::Time,
            (false, false, false, true, false) => Kind::Bytes,
            (true, false, false, false, false) if !real => Kind::Int64,
            (_, false, false, false, false) => Kind::Double,
            _ => Kind::Text,
        }
    }
}

/// An integer as it is written without zeros in front.
pub fn whole(text: &str) -> Option<i64> {
    plain(text).then(|| text.parse().ok()).flatten()
}

fn real(text: &str) -> Option<f64> {
    let digits = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    (plain(text) && text.bytes().all(digits)).then(|| text.parse().ok()).flatten()
}

fn plain(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && !(digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0."))
}

/// The kind that a feature's declaration states; `None` if its values decide.
pub fn declared(kind: FeatureType) -> Option<Kind> {
    match kind {
        FeatureType::Int64 => Some(Kind::Int64),
        // Of a vector it is the elements' kind.
        FeatureType::Double | FeatureType::Vector => Some(Kind::Double),
        FeatureType::Text => Some(Kind::Text),
        FeatureType::Bool => Some(Kind::Bool),
        FeatureType::Timestamp => Some(Kind::Time),
        FeatureType::Natural => None,
    }
}

impl Column {
    /// With its kind decided.
    pub fn settled(self) -> Column {
        match self.kind {
            Kind::Seen(seen) => Column { kind: seen.kind(), ..self },
            _ => self,
        }
    }

    /// The column's type in the file; lists in the form that Arrow and Spark read.
    pub fn parquet(&self) -> Written<Type> {
        if !self.list {
            return self.leaf(&self.name);
        }
        let element = Arc::new(self.leaf("element")?);
        let repeated = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
        let repeated = Arc::new(repeated.with_fields(vec![element]).build()?);
        Type::group_type_builder(&self.name)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(Some(LogicalType::List))
            .with_converted_type(ConvertedType::LIST)
            .with_fields(vec![repeated])
            .build()
    }

    fn leaf(&self, name: &str) -> Written<Type> {
        let (physical, logical, converted) = match &self.kind {
            Kind::Given(given) => {
                let info = given.get_basic_info();
                (given.get_physical_type(), info.logical_type_ref().cloned(), info.converted_type())
            }
            Kind::Int64 => (Physical::INT64, None, ConvertedType::NONE),
            Kind::Double | Kind::Seen(_) => (Physical::DOUBLE, None, ConvertedType::NONE),
            Kind::Text => (Physical::BYTE_ARRAY, Some(LogicalType::String), ConvertedType::UTF8),
            Kind::Bool => (Physical::BOOLEAN, None, ConvertedType::NONE),
            Kind::Bytes => (Physical::BYTE_ARRAY, None, ConvertedType::NONE),
            Kind::Time => {
                let logical = LogicalType::timestamp(true, TimeUnit::MICROS);
                (Physical::INT64, Some(logical), ConvertedType::TIMESTAMP_MICROS)
            }
        };
        Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(logical)
            .with_converted_type(converted)
            .build()
    }

    fn physical(&self) -> Physical {
        match &self.kind {
            Kind::Given(given) => given.get_physical_type(),
            Kind::Int64 | Kind::Time => Physical::INT64,
            Kind::Double | Kind::Seen(_) => Physical::DOUBLE,
            Kind::Text | Kind::Bytes => Physical::BYTE_ARRAY,
            Kind::Bool => Physical::BOOLEAN,
        }
    }

    /// Writes this column's cells of a row group.
    pub fn write<'v>(
        &self,
        cells: impl Iterator<Item = &'v Value>,
        to: &mut SerializedColumnWriter<'_>,
    ) -> Written<()> {
        let mut shape = Shape::default();
        for cell in cells {
            shape.push(cell, self.list);
        }
        let Shape { values, definitions, repetitions } = &shape;
        let repetitions = self.list.then_some(repetitions.as_slice());
        let definitions = Some(definitions.as_slice());
        let whole = |value: &&Value| as_whole(value);
        match self.physical() {
            Physical::BOOLEAN => {
                let values: Vec<bool> = values.iter().map(|value| as_truth(value)).collect();
                to.typed::<BoolType>().write_batch(&values, definitions, repetitions)?;
            }
            Physical::INT32 => {
                // Unsigned ones keep their bits.
                let values: Vec<i32> = values.iter().map(|value| whole(value) as i32).collect();
                to.typed::<Int32Type>().write_batch(&values, definitions, repetitions)?;
            }
            Physical::FLOAT => {
                let values: Vec<f32> = values.iter().map(|value| as_real(value) as f32).collect();
                to.typed::<FloatType>().write_batch(&values, definitions, repetitions)?;
            }
            Physical::DOUBLE => {
                let values: Vec<f64> = values.iter().map(|value| as_real(value)).collect();
                to.typed::<DoubleType>().write_batch(&values, definitions, repetitions)?;
            }
            Physical::BYTE_ARRAY => {
                let values: Vec<ByteArray> = values.iter().map(|value| as_bytes(value)).collect();
                to.typed::<ByteArrayType>().write_batch(&values, definitions, repetitions)?;
            }
            _ => {
                let values: Vec<i64> = values.iter().map(whole).collect();
                to.typed::<Int64Type>().write_batch(&values, definitions, repetitions)?;
            }
        }
        Ok(())
    }
}

/// Parquet's form of cells that may be null, and of lists: for each value how much of it is there, and
/// whether it goes on with a list.
#[derive(Default)]
struct Shape<'v> {
    values: Vec<&'v Value>,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
}

impl<'v> Shape<'v> {
    fn push(&mut self, cell: &'v Value, list: bool) {
        match (cell, list) {
            (Value::List(values), true) if !values.is_empty() => {
                for (at, value) in values.iter().enumerate() {
                    self.values.push(value);
                    self.definitions.push(3);
                    self.repetitions.push(i16::from(at > 0));
                }
            }
            (Value::List(_), true) => self.absent(1),
            (Value::Null | Value::Opaque | Value::Unchanged | Value::Absent | Value::List(_), _) => {
                self.absent(0);
            }
            // One value of a feature that gives lists: a list of one.
            (value, list) => {
                self.values.push(value);
                self.definitions.push(if list { 3 } else { 1 });
                self.repetitions.push(0);
            }
        }
    }

    fn absent(&mut self, definition: i16) {
        self.definitions.push(definition);
        self.repetitions.push(0);
    }
}

fn as_truth(value: &Value) -> bool {
    match value {
        Value::Text(text) => text.eq_ignore_ascii_case("true"),
        other => *other == Value::Bool(true),
    }
}

fn as_whole(value: &Value) -> i64 {
    match value {
        Value::Int(n) | Value::Timestamp(n) => *n,
        Value::Text(text) => text.parse().unwrap_or_default(),
        _ => 0,
    }
}

fn as_real(value: &Value) -> f64 {
    match value {
        Value::Text(text) => text.parse().unwrap_or(f64::NAN),
        other => other.to_f64().unwrap_or(f64::NAN),
    }
}

fn as_bytes(value: &Value) -> ByteArray {
    match value {
        Value::Bytes(bytes) => bytes.clone().into(),
        Value::Text(text) => text.as_bytes().to_vec().into(),
        Value::Int(n) | Value::Timestamp(n) => n.to_string().into_bytes().into(),
        Value::Float(n) => n.to_string().into_bytes().into(),
        Value::Bool(truth) => truth.to_string().into_bytes().into(),
        _ => Vec::new().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_decides() {
        let kind = |cells: &[&str]| {
            let mut seen = Seen::default();
            cells.iter().for_each(|cell| seen.note_text(cell));
            format!("{:?}", seen.kind())
        };
        for (cells, want) in [
            (&["1", "-20"][..], "Int64"),
            (&["1", "2.5"], "Double"),
            (&["1e3"], "Double"),
            (&["true", "False"], "Bool"),
            (&["true", "1"], "Text"),
            (&["007"], "Text"),
            (&["7", "x"], "Text"),
            (&[], "Double"),
        ] {
            assert_eq!(kind(cells), want, "{cells:?}");
        }
        let mut seen = Seen::default();
        seen.note(&Value::List(vec![Value::Timestamp(1)]));
        assert!(matches!(seen.kind(), Kind::Time) && seen.list());
    }
}
