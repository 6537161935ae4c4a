//! The database's values as Kafka Connect's: numbers, texts, and how Java prints them. What a schema's
//! form says is carried out here, for whoever reads or writes values. Pure.

pub mod date_format;
mod fault;
pub mod hash;
pub mod iso;
pub mod java;
pub mod text;

pub use fault::Fault;

use crate::model::schema::{Form, Schema};
use crate::model::value::{UNIX_EPOCH, Value};

/// What PostgreSQL's driver reads infinity as, in microseconds; Debezium sends that.
const INFINITY_US: i64 = 9_223_372_036_825_200_000;
const MINUS_INFINITY_US: i64 = -9_223_372_036_832_400_000;
/// Likewise for dates, in days: the years -5877611-06-21 and -22.
const INFINITY_DAYS: i32 = -2_147_472_692;
const MINUS_INFINITY_DAYS: i32 = -2_147_472_691;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Dates, times and intervals: a whole number.
pub fn whole(form: Form, value: &Value<'_>) -> Result<i64, Fault> {
    Ok(match (form, value) {
        (_, Value::Int(number)) => *number,
        (Form::Date, Value::Date(i32::MAX)) => i64::from(INFINITY_DAYS),
        (Form::Date, Value::Date(i32::MIN)) => i64::from(MINUS_INFINITY_DAYS),
        (Form::Date, Value::Date(days)) => i64::from(*days),
        (Form::TimeMillis, Value::Time(micros)) => micros.div_euclid(1_000),
        (Form::TimeMicros, Value::Time(micros)) => *micros,
        (Form::TimeNanos, Value::Time(micros)) => micros.saturating_mul(1_000),
        (Form::TimestampMillis, Value::Timestamp(micros)) => match since_1970(*micros) {
            Ok(micros) => i64::try_from(micros.div_euclid(1_000)).map_err(|_| Fault::OutOfRange)?,
            Err(infinite) => infinite.div_euclid(1_000),
        },
        (Form::TimestampMicros, Value::Timestamp(micros)) => {
            since_1970(*micros).map_or_else(|i| i, java_micros)
        }
        (Form::TimestampNanos, Value::Timestamp(micros)) => match since_1970(*micros) {
            Ok(micros) => nanos(micros)?,
            Err(_) => *micros,
        },
        (Form::IntervalMicros, Value::Interval { months, days, micros }) => {
            interval_micros(*months, *days, *micros)
        }
        _ => return Err(Fault::WrongType),
    })
}

/// A month is a twelfth of 365.25 days; what is too long is the longest, as Java rounds it.
fn interval_micros(months: i32, days: i32, micros: i64) -> i64 {
    const MONTH: i128 = 2_629_800_000_000;
    let total =
        i128::from(months) * MONTH + i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(micros);
    i64::try_from(total).unwrap_or(if total < 0 { i64::MIN } else { i64::MAX })
}

/// Microseconds since 1970 of those since 2000, or what stands for infinity.
fn since_1970(micros: i64) -> Result<i128, i64> {
    match micros {
        i64::MAX => Err(INFINITY_US),
        i64::MIN => Err(MINUS_INFINITY_US),
        micros => Ok(i128::from(micros) - i128::from(UNIX_EPOCH)),
    }
}

/// From the year 1677 to 2262; Debezium leaves what is beyond out.
fn nanos(micros: i128) -> Result<i64, Fault> {
    const FIRST_SECOND: i128 = i64::MIN as i128 / 1_000_000_000;
    let nanos = i64::try_from(micros * 1_000).ok();
    nanos.filter(|_| micros.div_euclid(1_000_000) > FIRST_SECOND).ok_or(Fault::Unfit)
}

/// The last thirty years of PostgreSQL's range do not fit. Java's `TimeUnit` gives the largest number for the
/// seconds then, and what is added to it overflows.
fn java_micros(micros: i128) -> i64 {
    i64::try_from(micros).unwrap_or_else(|_| i64::MAX.wrapping_add(micros.rem_euclid(1_000_000) as i64))
}

/// A number with a fraction.
///
/// # Errors
/// [`Fault`], when it is none.
pub fn double(value: &Value<'_>) -> Result<f64, Fault> {
    Ok(match value {
        Value::Float64(number) => *number,
        Value::Float32(number) => f64::from(*number),
        // Rust reads `NaN`, `Infinity` and `-Infinity` as PostgreSQL prints them.
        Value::Decimal(text) => text.parse().map_err(|_| Fault::NoNumber)?,
        Value::Int(number) => *number as f64,
        _ => return Err(Fault::WrongType),
    })
}

/// Appends what Java's `toString` gives for a value of one part.
///
/// # Errors
/// [`Fault`], for a value of several parts or of another type.
pub fn print(out: &mut String, schema: &Schema, value: &Value<'_>) -> Result<(), Fault> {
    match (schema.form, value) {
        (_, Value::Text(text)) => out.push_str(text),
        (_, Value::Int(number)) => out.push_str(&number.to_string()),
        (_, Value::Bool(flag)) => out.push_str(if *flag { "true" } else { "false" }),
        (_, Value::Float64(number)) => out.push_str(&java::double(*number)),
        (_, Value::Float32(number)) => out.push_str(&java::float(*number)),
        (_, Value::Decimal(digits)) => out.push_str(digits),
        (
            Form::Date
            | Form::TimeMillis
            | Form::TimeMicros
            | Form::TimeNanos
            | Form::TimestampMillis
            | Form::TimestampMicros
            | Form::TimestampNanos
            | Form::IntervalMicros,
            value,
        ) => out.push_str(&whole(schema.form, value)?.to_string()),
        (form, value) => text::write(out, form, value)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_numbers_as_debezium_sends_them() {
        const LAST: i64 = 9_223_371_331_199_999_999;
        let year = Value::Interval { months: 14, days: 3, micros: 14_706_789_000 };
        for (form, value, want) in [
            (Form::TimeMillis, Value::Time(86_400_000_000), 86_400_000),
            (Form::TimestampMillis, Value::Timestamp(UNIX_EPOCH - 1), -1),
            (Form::TimestampNanos, Value::Timestamp(UNIX_EPOCH + 1), 1_000),
            // 294276-12-31 23:59:59.999999, as recorded from Debezium.
            (Form::TimestampMillis, Value::Timestamp(LAST), 9_224_318_015_999_999),
            (Form::TimestampMicros, Value::Timestamp(LAST), -9_223_372_036_853_775_810),
            (Form::TimestampNanos, Value::Timestamp(i64::MAX), i64::MAX),
            (Form::IntervalMicros, year, 37_091_106_789_000),
            (Form::TimestampMicros, Value::Timestamp(i64::MAX), INFINITY_US),
            (Form::TimestampMillis, Value::Timestamp(i64::MAX), 9_223_372_036_825_200),
            (Form::TimestampMillis, Value::Timestamp(i64::MIN), -9_223_372_036_832_400),
            (Form::Date, Value::Date(i32::MAX), iso::days(-5_877_611, 6, 21)),
            (Form::Date, Value::Date(i32::MIN), iso::days(-5_877_611, 6, 22)),
        ] {
            assert_eq!(whole(form, &value), Ok(want), "{form:?} {value:?}");
        }
        assert_eq!(whole(Form::TimestampNanos, &Value::Timestamp(LAST)), Err(Fault::Unfit));
    }
}
