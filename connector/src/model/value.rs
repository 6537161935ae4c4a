//! A column's value: database-neutral, lossless, borrowed from the read buffer.
//!
//! A value does not say its column's type in full: an `int2` and an `int8` are both [`Value::Int`].
//! The width, the scale and the semantic name stand in [`crate::model::table::ColumnType`], once per table.
//!
//! Values of several parts (arrays, structs) live in an arena that whoever makes them empties after
//! the row, so that they cost no allocation of their own.

/// 1970-01-01 as a [`Value::Timestamp`].
pub const UNIX_EPOCH: i64 = -946_684_800_000_000;

/// One cell of a row. Small and `Copy`, so that a row is a flat slice in a reused buffer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    /// The database did not send it (PostgreSQL: an unchanged out-of-line value).
    Unavailable,
    Bool(bool),
    Int(i64),
    Float32(f32),
    Float64(f64),
    /// Decimal digits with an optional sign and point; or `NaN`, `Infinity`, `-Infinity`.
    Decimal(&'a str),
    Text(&'a str),
    Bytes(&'a [u8]),
    /// Bytes still in hexadecimal, two digits each, without a prefix.
    Hex(&'a [u8]),
    /// Days since 1970-01-01; `i32::MAX` and `i32::MIN` are PostgreSQL's infinities.
    Date(i32),
    /// Microseconds since midnight.
    Time(i64),
    /// Microseconds since 2000-01-01T00:00:00 without a zone; `i64::MAX` and `i64::MIN` are infinities.
    /// Counted from 1970 the last thirty years of PostgreSQL's range would not fit.
    Timestamp(i64),
    /// Microseconds since 2000-01-01T00:00:00Z, likewise.
    TimestampTz(i64),
    /// Microseconds since midnight, UTC.
    TimeTz(i64),
    /// Months and days have no fixed length, so the parts stay apart.
    Interval {
        months: i32,
        days: i32,
        micros: i64,
    },
    /// Binary digits, the most significant first.
    Bits(&'a [u8]),
    /// Elements of an array.
    List(&'a [Value<'a>]),
    /// Keys and values of a map, in the order of the source.
    Map(&'a [(Value<'a>, Value<'a>)]),
    /// One value per field of a struct: a row, a point, an envelope.
    Struct(&'a [Value<'a>]),
}

/// A value that owns its text: a column's default.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Anything without borrowed content.
    Plain(Value<'static>),
    Decimal(String),
    Text(String),
    Bytes(Vec<u8>),
    /// Binary digits.
    Bits(String),
    /// Elements that own nothing.
    List(Vec<Value<'static>>),
    Struct(Vec<Value<'static>>),
    Map(Vec<(Value<'static>, Value<'static>)>),
}

impl Constant {
    pub fn value(&self) -> Value<'_> {
        match self {
            Constant::Plain(value) => *value,
            Constant::Decimal(text) => Value::Decimal(text),
            Constant::Text(text) => Value::Text(text),
            Constant::Bytes(bytes) => Value::Bytes(bytes),
            Constant::Bits(digits) => Value::Bits(digits.as_bytes()),
            Constant::List(values) => Value::List(values),
            Constant::Struct(values) => Value::Struct(values),
            Constant::Map(entries) => Value::Map(entries),
        }
    }
}

/// A row: one value per column of its table, in column order.
pub type Row<'a> = &'a [Value<'a>];

/// A row buffer that is used again for the next row, whatever that row borrows from.
///
/// ```
/// # use connector::model::value::{RowBuffer, Value};
/// let mut buffer = RowBuffer::default();
/// for text in [String::from("a"), String::from("b")] {
///     let mut row = buffer.take();
///     row.push(Value::Text(&text));
///     assert_eq!(row.len(), 1);
///     buffer.give_back(row);
/// }
/// ```
#[derive(Debug, Default)]
pub struct RowBuffer(Vec<Value<'static>>);

impl RowBuffer {
    /// An empty vector with the capacity of earlier rows.
    pub fn take<'a>(&mut self) -> Vec<Value<'a>> {
        relabel(std::mem::take(&mut self.0))
    }

    pub fn give_back(&mut self, row: Vec<Value<'_>>) {
        self.0 = relabel(row);
    }
}

/// Empties a vector and changes the lifetime of what it may hold. Collecting in place keeps the
/// allocation: a row costs none once the widest row was seen (`tests` hold this).
fn relabel<'b>(mut row: Vec<Value<'_>>) -> Vec<Value<'b>> {
    row.clear();
    row.into_iter().map(|_| Value::Null).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_buffer_keeps_its_allocation() {
        let mut buffer = RowBuffer::default();
        let mut row = buffer.take();
        row.extend([Value::Null; 40]);
        let (at, capacity) = (row.as_ptr() as usize, row.capacity());
        buffer.give_back(row);
        let text = String::from("borrowed");
        let mut row = buffer.take();
        row.push(Value::Text(&text));
        assert_eq!((row.as_ptr() as usize, row.capacity()), (at, capacity));
    }
}
