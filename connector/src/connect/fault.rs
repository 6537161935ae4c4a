//! Why a value cannot be written, in words for the operator.

use crate::model::value::Value;

/// Why a value cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The value is of another type than the column.
    WrongType,
    OutOfRange,
    /// Text that is no number.
    NoNumber,
    /// More digits after the point than the column has.
    TooManyDigits,
    /// NaN, an infinity or a time for which the schema's numbers have no place; absent if the column may be.
    Unfit,
    /// Hexadecimal that is none.
    NoHex,
    /// The database did not send it and nothing can stand for it.
    Unavailable,
    /// NULL where none may stand.
    NoNull,
    /// The row has fewer values than the table has columns.
    Missing,
}

impl Fault {
    /// Of a list's element. Where no NULL may stand in a list, Debezium leaves the whole list out.
    pub fn in_list(self, element: &Value<'_>) -> Fault {
        if self == Fault::NoNull && *element == Value::Null { Fault::Unfit } else { self }
    }

    pub const fn text(self) -> &'static str {
        match self {
            Fault::WrongType => "its value is of another type than the column",
            Fault::OutOfRange => "its value is out of range",
            Fault::NoNumber => "its value is no number",
            Fault::TooManyDigits => "its value has more digits than the column's scale",
            Fault::Unfit => {
                "the schema's numbers have no place for it (NaN, an infinity, a time too far), and the column is NOT NULL"
            }
            Fault::NoHex => "its value is no hexadecimal text",
            Fault::Unavailable => "the database did not send its value (stored out of line, unchanged)",
            Fault::NoNull => "it has no value, and its schema allows no NULL",
            Fault::Missing => "the row has no value for it",
        }
    }
}
