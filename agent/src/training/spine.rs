//! The spine: which entities at which times, from Parquet or CSV into the scratch file, where it can be
//! read in the order of time.

use super::column::{Column, Kind, Seen};
use crate::db::OrDb;
use crate::model::pack;
use crate::model::value::Value;
use csv::ByteRecord;
use parquet::basic::{ConvertedType, LogicalType, TimeUnit, Type as Physical};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use parquet::schema::types::Type;
use rusqlite::{Transaction, params};
use shared::error::{Context, Error, Kind as Failure, OrKind, Result};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// The tables of the scratch file that this room adds: the spine, and what was found for each of its rows.
const TABLES: &str = "
    CREATE TABLE spine (row INTEGER PRIMARY KEY, time_us INTEGER NOT NULL, cells BLOB NOT NULL);
    CREATE TABLE answer (row INTEGER PRIMARY KEY, vals BLOB NOT NULL);";
const INDEX: &str = "CREATE INDEX spine_by_time ON spine (time_us)";
/// Feast's name, and the others that are usual.
const TIME_NAMES: [&str; 3] = ["event_timestamp", "timestamp", "ts"];

/// A spine that lies in the scratch file.
pub struct Spine {
    pub columns: Vec<Column>,
    pub rows: u64,
    /// The greatest time, µs since 1970.
    pub last_us: i64,
}

/// Where a column of times keeps them.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Time {
    Text,
    /// Parts of a second.
    Parts(i64),
    Days,
}

/// Reads the whole file into `tx`. `progress` is told how many rows there are so far.
///
/// # Errors
/// `Config` for a file that is not there or a column that is missing; `Data` for a row that cannot be read.
pub fn read(
    tx: &Transaction<'_>,
    path: &Path,
    time: Option<&str>,
    progress: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Spine> {
    tx.execute_batch(TABLES).or_db("make the scratch tables")?;
    let is_parquet = path.extension().is_some_and(|end| end.eq_ignore_ascii_case("parquet"));
    let mut into = Into { tx, rows: 0, last_us: i64::MIN, progress };
    let columns = match is_parquet {
        true => parquet(path, time, &mut into),
        false => csv(path, time, &mut into),
    };
    let columns = columns.doing(|| format!("read the spine {}", path.display()))?;
    let Into { rows, last_us, .. } = into;
    tx.execute_batch(INDEX).or_db("sort the spine")?;
    Ok(Spine { columns, rows, last_us })
}

struct Into<'a> {
    tx: &'a Transaction<'a>,
    rows: u64,
    last_us: i64,
    progress: &'a mut dyn FnMut(u64) -> Result<()>,
}

impl Into<'_> {
    fn put(&mut self, time_us: Option<i64>, cells: &[Value]) -> Result<()> {
        self.rows += 1;
        let row = i64::try_from(self.rows).unwrap_or(i64::MAX);
        let time_us = time_us.ok_or_else(|| {
            let what = format!("row {row}: its time is missing or cannot be read");
            Error::new(Failure::Data, what).remedy("write times as 2026-01-31T12:00:00Z")
        })?;
        self.last_us = self.last_us.max(time_us);
        self.tx
            .prepare_cached("INSERT INTO spine (row, time_us, cells) VALUES (?1, ?2, ?3)")
            .and_then(|mut statement| statement.execute(params![row, time_us, pack::pack(cells)]))
            .or_db("store the spine")?;
        if self.rows.is_multiple_of(4096) { (self.progress)(self.rows) } else { Ok(()) }
    }
}

/// The place of the column with the times.
fn time_place<'n>(names: impl Iterator<Item = &'n str> + Clone, wanted: Option<&str>) -> Result<usize> {
    let find = |name: &str| names.clone().position(|other| other == name);
    let found = match wanted {
        Some(name) => find(name),
        None => TIME_NAMES.iter().find_map(|name| find(name)),
    };
    found.ok_or_else(|| {
        let what = match wanted {
            Some(name) => format!("it has no column {name}"),
            None => format!("it has no column {}", TIME_NAMES.join(", ")),
        };
        let known: Vec<&str> = names.clone().collect();
        Error::new(Failure::Config, what).remedy(format!("--time one of: {}", known.join(", ")))
    })
}

fn parquet(path: &Path, time: Option<&str>, into: &mut Into<'_>) -> Result<Vec<Column>> {
    let reader =
        SerializedFileReader::new(File::open(path).or_kind(Failure::Config)?).or_kind(Failure::Data)?;
    let fields = reader.metadata().file_metadata().schema().get_fields().to_vec();
    let at = time_place(fields.iter().map(|field| field.name()), time)?;
    let mut columns = Vec::with_capacity(fields.len());
    for field in &fields {
        columns.push(given(field)?);
    }
    let unit = fields.get(at).map(|field| time_of(field)).transpose()?.unwrap_or(Time::Text);
    for row in reader.get_row_iter(None).or_kind(Failure::Data)? {
        let row = row.or_kind(Failure::Data)?;
        let cells: Vec<Value> = row.into_columns().into_iter().map(|(_, field)| value(field)).collect();
        into.put(cells.get(at).and_then(|cell| micros(cell, unit)), &cells)?;
    }
    Ok(columns)
}

/// A column that is passed through as it is.
fn given(field: &Arc<Type>) -> Result<Column> {
    let name = field.name().to_owned();
    let converted = field.get_basic_info().converted_type();
    let known = |physical| {
        use Physical::{BOOLEAN, BYTE_ARRAY, DOUBLE, FLOAT, INT32, INT64};
        matches!(physical, BOOLEAN | INT32 | INT64 | FLOAT | DOUBLE | BYTE_ARRAY)
    };
    if field.is_group() || converted == ConvertedType::DECIMAL || !known(field.get_physical_type()) {
        return Err(Error::new(
            Failure::Config,
            format!("column {name} is of a kind that is not passed through"),
        )
        .remedy("leave it out of the spine, or store it as text"));
    }
    Ok(Column { name, kind: Kind::Given(Arc::clone(field)), list: false })
}

fn time_of(field: &Type) -> Result<Time> {
    let info = field.get_basic_info();
    let unit = match (info.logical_type_ref(), info.converted_type()) {
        (Some(LogicalType::Timestamp(of)), _) => match of.unit {
            TimeUnit::MILLIS => Some(Time::Parts(1_000)),
            TimeUnit::MICROS => Some(Time::Parts(1_000_000)),
            TimeUnit::NANOS => Some(Time::Parts(1_000_000_000)),
        },
        (_, ConvertedType::TIMESTAMP_MILLIS) => Some(Time::Parts(1_000)),
        (_, ConvertedType::TIMESTAMP_MICROS) => Some(Time::Parts(1_000_000)),
        (_, ConvertedType::DATE) => Some(Time::Days),
        (_, ConvertedType::UTF8) => Some(Time::Text),
        _ => None,
    };
    unit.ok_or_else(|| {
        Error::new(Failure::Config, format!("column {} holds no times", field.name()))
            .remedy("write it as a timestamp or as text like 2026-01-31T12:00:00Z")
    })
}

fn value(field: Field) -> Value {
    match field {
        Field::Bool(truth) => Value::Bool(truth),
        Field::Byte(n) => Value::Int(n.into()),
        Field::Short(n) => Value::Int(n.into()),
        Field::Int(n) | Field::Date(n) | Field::TimeMillis(n) => Value::Int(n.into()),
        Field::Long(n) | Field::TimeMicros(n) | Field::TimestampMillis(n) | Field::TimestampMicros(n) => {
            Value::Int(n)
        }
        Field::UByte(n) => Value::Int(n.into()),
        Field::UShort(n) => Value::Int(n.into()),
        Field::UInt(n) => Value::Int(n.into()),
        // Its bits are what is written again.
        Field::ULong(n) => Value::Int(n.cast_signed()),
        Field::Float(n) => Value::Float(n.into()),
        Field::Double(n) => Value::Float(n),
        Field::Str(text) => Value::Text(text),
        Field::Bytes(bytes) => Value::Bytes(bytes.data().to_vec()),
        _ => Value::Null,
    }
}

fn micros(cell: &Value, unit: Time) -> Option<i64> {
    match (cell, unit) {
        (Value::Text(text), Time::Text) => instant(text),
        (Value::Int(n), Time::Parts(parts)) if parts > 1_000_000 => Some(n.div_euclid(parts / 1_000_000)),
        (Value::Int(n), Time::Parts(parts)) => n.checked_mul(1_000_000 / parts),
        (Value::Int(days), Time::Days) => days.checked_mul(86_400_000_000),
        _ => None,
    }
}

/// A time as people and Python write it; without a zone it is UTC, as for Feast.
fn instant(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.as_microsecond());
    }
    let plain: jiff::civil::DateTime = text.parse().ok()?;
    plain.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp().as_microsecond())
}

fn csv(path: &Path, time: Option<&str>, into: &mut Into<'_>) -> Result<Vec<Column>> {
    let file = File::open(path).or_kind(Failure::Config)?;
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(file);
    let (mut record, mut names) = (ByteRecord::new(), Vec::new());
    reader.read_byte_record(&mut record).or_kind(Failure::Data)?;
    for cell in &record {
        let name = std::str::from_utf8(cell).or_kind(Failure::Data)?;
        names.push(name.trim_start_matches('\u{feff}').to_owned());
    }
    let at = time_place(names.iter().map(String::as_str), time)?;
    let mut seen = vec![Seen::default(); names.len()];
    while reader.read_byte_record(&mut record).or_kind(Failure::Data)? {
        let (mut cells, mut time_us) = (Vec::with_capacity(names.len()), None);
        for (place, (cell, seen)) in record.iter().zip(&mut seen).enumerate() {
            let text = std::str::from_utf8(cell).or_kind(Failure::Data)?;
            if place == at {
                time_us = instant(text);
                cells.push(time_us.map_or(Value::Null, Value::Timestamp));
            } else if text.is_empty() {
                cells.push(Value::Null);
            } else {
                seen.note_text(text);
                cells.push(Value::Text(text.to_owned()));
            }
        }
        into.put(time_us, &cells)?;
    }
    let column = |(place, (name, seen))| {
        let kind = if place == at { Kind::Time } else { Kind::Seen(seen) };
        Column { name, kind, list: false }.settled()
    };
    Ok(names.into_iter().zip(seen).enumerate().map(column).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_every_spelling() {
        let want = Some(1_767_323_045_678_000);
        for text in [
            "2026-01-02T03:04:05.678Z",
            "2026-01-02 04:04:05.678+01:00",
            "2026-01-02 03:04:05.678",
            " 2026-01-02T03:04:05.678 ",
        ] {
            assert_eq!(instant(text), want, "{text}");
        }
        assert_eq!(instant("yesterday"), None);
        for (n, unit) in [
            (1_767_323_045_678, Time::Parts(1_000)),
            (1_767_323_045_678_000, Time::Parts(1_000_000)),
            (1_767_323_045_678_000_999, Time::Parts(1_000_000_000)),
        ] {
            assert_eq!(micros(&Value::Int(n), unit), want, "{unit:?}");
        }
        assert_eq!(micros(&Value::Int(1), Time::Days), Some(86_400_000_000));
        assert_eq!(micros(&Value::Int(i64::MAX), Time::Days), None);
    }
}
