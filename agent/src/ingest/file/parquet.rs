//! Parquet → rows, row group by row group, a page of each column at a time.

use super::{Bad, Rows};
use crate::ingest::avro::derive::Kind as Column;
use ::parquet::basic::{ConvertedType, LogicalType, Type as Physical};
use ::parquet::data_type::Decimal;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::record::reader::{ReaderIter, TreeBuilder};
use ::parquet::record::{Field, Row};
use ::parquet::schema::types::Type;
use num_bigint::BigInt;
use serde_json::{Map, Number, Value as Json, json};
use shared::error::{Error, Kind, OrKind, Result};
use std::fs::File;
use std::path::Path;

pub struct Parquet {
    reader: SerializedFileReader<File>,
    /// The row group to be opened next.
    group: usize,
    rows: Option<ReaderIter>,
    place: u64,
}

fn reader(path: &Path) -> Result<SerializedFileReader<File>> {
    let file = File::open(path).or_kind(Kind::Config)?;
    SerializedFileReader::new(file).or_kind(Kind::Data)
}

/// How many rows a file has.
pub fn count(path: &Path) -> Result<u64> {
    Ok(reader(path)?.metadata().file_metadata().num_rows().unsigned_abs())
}

impl Parquet {
    /// Begins behind the first `place` rows; whole row groups are not read for that.
    pub fn open(path: &Path, place: u64) -> Result<Parquet> {
        let mut parquet = Parquet { reader: reader(path)?, group: 0, rows: None, place: 0 };
        loop {
            let groups = parquet.reader.metadata().row_groups();
            let Some(group) = groups.get(parquet.group) else { return Ok(parquet) };
            let rows = group.num_rows().unsigned_abs();
            if parquet.place + rows > place {
                break;
            }
            parquet.place += rows;
            parquet.group += 1;
        }
        while parquet.place < place && parquet.row()?.is_some() {}
        Ok(parquet)
    }

    fn row(&mut self) -> Result<Option<Row>> {
        loop {
            if let Some(row) = self.rows.as_mut().and_then(Iterator::next) {
                self.place += 1;
                return row.or_kind(Kind::Data).map(Some);
            }
            if self.group >= self.reader.num_row_groups() {
                return Ok(None);
            }
            let schema = self.reader.metadata().file_metadata().schema_descr_ptr();
            let group = self.reader.get_row_group(self.group).or_kind(Kind::Data)?;
            self.rows = Some(TreeBuilder::new().as_iter(schema, group.as_ref()).or_kind(Kind::Data)?);
            self.group += 1;
        }
    }
}

impl Rows for Parquet {
    fn next(&mut self) -> Result<Option<std::result::Result<Json, Bad>>> {
        Ok(self.row()?.map(|row| Ok(object(row))))
    }

    fn place(&self) -> u64 {
        self.place
    }

    fn line(&self) -> String {
        format!("row {}", self.place)
    }
}

fn object(row: Row) -> Json {
    Json::Object(row.into_columns().into_iter().map(|(name, field)| (name, value(field))).collect())
}

fn value(field: Field) -> Json {
    match field {
        Field::Null => Json::Null,
        Field::Bool(value) => value.into(),
        Field::Byte(value) => value.into(),
        Field::Short(value) => value.into(),
        Field::Int(value) | Field::Date(value) | Field::TimeMillis(value) => value.into(),
        Field::Long(value)
        | Field::TimeMicros(value)
        | Field::TimestampMillis(value)
        | Field::TimestampMicros(value) => value.into(),
        Field::UByte(value) => value.into(),
        Field::UShort(value) => value.into(),
        Field::UInt(value) => value.into(),
        Field::ULong(value) => value.to_string().into(),
        Field::Float16(value) => real(value.to_f64()),
        Field::Float(value) => real(f64::from(value)),
        Field::Double(value) => real(value),
        Field::Decimal(value) => decimal(&value).into(),
        Field::Str(text) => text.into(),
        Field::Bytes(bytes) => bytes.data().iter().map(|byte| char::from(*byte)).collect::<String>().into(),
        Field::Group(row) => object(row),
        Field::ListInternal(list) => list.elements().iter().cloned().map(value).collect(),
        Field::MapInternal(map) => {
            let entry = |(key, field): &(Field, Field)| {
                let key = match value(key.clone()) {
                    Json::String(text) => text,
                    other => other.to_string(),
                };
                (key, value(field.clone()))
            };
            Json::Object(map.entries().iter().map(entry).collect::<Map<_, _>>())
        }
    }
}

/// JSON has no words for what is no number.
fn real(value: f64) -> Json {
    match Number::from_f64(value) {
        Some(number) => Json::Number(number),
        None if value.is_nan() => "NaN".into(),
        None if value > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

fn decimal(value: &Decimal) -> String {
    format!("{}e-{}", BigInt::from_signed_bytes_be(value.data()), value.scale())
}

/// The columns with the types that the file states.
pub fn columns(path: &Path) -> Result<Vec<(String, Column)>> {
    let reader = reader(path)?;
    let root = reader.metadata().file_metadata().schema();
    fields(root).map_err(|why| {
        Error::new(Kind::Data, why).remedy("give a schema, or leave the column out of the file")
    })
}

fn fields(group: &Type) -> std::result::Result<Vec<(String, Column)>, String> {
    let fields = group.get_fields().iter();
    fields.map(|field| Ok((field.name().to_owned(), column(field)?))).collect()
}

fn column(kind: &Type) -> std::result::Result<Column, String> {
    if !kind.is_group() {
        return Ok(Column::Given(primitive(kind)));
    }
    let info = kind.get_basic_info();
    match info.converted_type() {
        ConvertedType::LIST => {
            let unknown = || format!("column {}: a list of a form that is not known", kind.name());
            let repeated = kind.get_fields().first().ok_or_else(unknown)?;
            // The standard form has one more level, which only repeats.
            let item = match repeated.is_group().then(|| repeated.get_fields()) {
                Some([item]) => item,
                _ => repeated,
            };
            Ok(Column::List(Box::new(column(item)?)))
        }
        ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE => {
            let entry = kind.get_fields().first().map(|entry| entry.get_fields());
            match entry {
                Some([_, item]) if !item.is_group() => {
                    Ok(Column::Given(json!({"type": "map", "values": ["null", primitive(item)]})))
                }
                _ => Err(format!("column {}: a map of such values is not read", kind.name())),
            }
        }
        _ => Ok(Column::Object(fields(kind)?)),
    }
}

fn primitive(kind: &Type) -> Json {
    let info = kind.get_basic_info();
    let logical = |kind: &str, name: &str| json!({"type": kind, "logicalType": name});
    let decimal = |precision: i32, scale: i32| json!({"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale});
    match info.converted_type() {
        ConvertedType::DECIMAL => return decimal(kind.get_precision(), kind.get_scale()),
        ConvertedType::DATE => return logical("int", "date"),
        ConvertedType::TIME_MILLIS => return logical("int", "time-millis"),
        ConvertedType::TIME_MICROS => return logical("long", "time-micros"),
        ConvertedType::TIMESTAMP_MILLIS => return logical("long", "timestamp-millis"),
        ConvertedType::TIMESTAMP_MICROS => return logical("long", "timestamp-micros"),
        ConvertedType::UINT_32 => return "long".into(),
        // Larger than any integer of Avro.
        ConvertedType::UINT_64 => return decimal(20, 0),
        ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON => return "string".into(),
        _ => {}
    }
    match (info.logical_type_ref(), kind.get_physical_type()) {
        // The older names have no nanoseconds; these are the only times left.
        (Some(LogicalType::Timestamp(_)), _) => logical("long", "timestamp-nanos"),
        (Some(LogicalType::Float16), _) => "float".into(),
        (_, Physical::BOOLEAN) => "boolean".into(),
        (_, Physical::INT32) => "int".into(),
        (_, Physical::INT64) => "long".into(),
        (_, Physical::INT96) => logical("long", "timestamp-millis"),
        (_, Physical::FLOAT) => "float".into(),
        (_, Physical::DOUBLE) => "double".into(),
        (_, Physical::BYTE_ARRAY | Physical::FIXED_LEN_BYTE_ARRAY) => "bytes".into(),
    }
}
