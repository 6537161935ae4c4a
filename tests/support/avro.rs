//! Looking into decoded Avro values.

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

/// Decodes the whole of `body`; bytes left over are an error.
pub fn decode(schema: &Schema, mut body: &[u8]) -> Result<Value, String> {
    let reader = GenericDatumReader::builder(schema).build().map_err(|e| e.to_string())?;
    let value = reader.read_value(&mut body).map_err(|e| e.to_string())?;
    if body.is_empty() { Ok(value) } else { Err(format!("{} bytes left over", body.len())) }
}

/// A record's field, out of its union.
pub fn field<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let Value::Record(fields) = value else { return None };
    let (_, value) = fields.iter().find(|(n, _)| n == name)?;
    match value {
        Value::Union(_, inner) => Some(inner),
        value => Some(value),
    }
}

pub fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    match field(value, name) {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

pub fn long(value: &Value, name: &str) -> Option<i64> {
    match field(value, name) {
        Some(Value::Long(number)) => Some(*number),
        Some(Value::Int(number)) => Some(i64::from(*number)),
        _ => None,
    }
}

/// A decimal field as PostgreSQL prints it.
pub fn decimal(value: &Value, name: &str, scale: usize) -> Option<String> {
    let bytes: Vec<u8> = match field(value, name)? {
        Value::Decimal(decimal) => Vec::try_from(decimal.clone()).ok()?,
        Value::Bytes(bytes) => bytes.clone(),
        _ => return None,
    };
    let negative = bytes.first().is_some_and(|byte| byte & 0x80 != 0);
    let start = if negative { -1_i128 } else { 0 };
    let unscaled = bytes.iter().fold(start, |number, byte| number << 8 | i128::from(*byte));
    let digits = format!("{:0width$}", unscaled.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    Some(format!("{}{whole}.{fraction}", if negative { "-" } else { "" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_print_as_postgresql_prints_them() {
        for (bytes, text) in
            [(vec![0x30, 0x39], "123.45"), (vec![0xff], "-0.01"), (vec![0], "0.00"), (vec![5], "0.05")]
        {
            let value = Value::Record(vec![("a".to_owned(), Value::Union(1, Box::new(Value::Bytes(bytes))))]);
            assert_eq!(decimal(&value, "a", 2).as_deref(), Some(text));
        }
    }
}
