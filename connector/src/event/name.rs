//! Names as Debezium adjusts them for Avro, and as Kafka takes them for topics. Pure.

use crate::config::event::Adjustment;

/// A schema's full name. Only its very first character is looked at as a first one.
pub fn schema(name: &str, mode: Adjustment) -> String {
    adjusted(name, mode, true)
}

/// A field's name.
pub fn field(name: &str, mode: Adjustment) -> String {
    adjusted(name, mode, false)
}

fn adjusted(name: &str, mode: Adjustment, dots: bool) -> String {
    let unicode = match mode {
        Adjustment::None => return name.to_owned(),
        Adjustment::Avro => false,
        Adjustment::AvroUnicode => true,
    };
    let letter = |unit: u16| ascii(unit).is_some_and(|c| c.is_ascii_alphabetic() || !unicode && c == '_');
    let later =
        |unit: u16| letter(unit) || ascii(unit).is_some_and(|c| c.is_ascii_digit() || dots && c == '.');
    let mut out = String::with_capacity(name.len());
    for (nth, unit) in name.encode_utf16().enumerate() {
        match ascii(unit) {
            Some(c) if if nth == 0 { letter(unit) } else { later(unit) } => out.push(c),
            // A digit in front keeps, behind an underscore.
            Some(c) if nth == 0 && !unicode && c.is_ascii_digit() => out.extend(['_', c]),
            _ if unicode => escape(&mut out, unit),
            _ => out.push('_'),
        }
    }
    out
}

/// `_u`, then the number in hexadecimal: small ones with two zeros in front, others as they are.
pub fn escape(out: &mut String, unit: u16) {
    let digits = format!("{unit:x}");
    let zeros = if digits.len() <= 2 { "00" } else { "" };
    out.extend(["_u", zeros, &digits]);
}

fn ascii(unit: u16) -> Option<char> {
    u8::try_from(unit).ok().filter(u8::is_ascii).map(char::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_debezium() {
        for (mode, name, of_schema, of_field) in [
            (Adjustment::None, "my-db.é", "my-db.é", "my-db.é"),
            (Adjustment::Avro, "my-db.t_1", "my_db.t_1", "my_db_t_1"),
            (Adjustment::Avro, "1a.1b", "_1a.1b", "_1a_1b"),
            (Adjustment::AvroUnicode, "a_é-ƫ", "a_u005f_u00e9_u002d_u1ab", "a_u005f_u00e9_u002d_u1ab"),
            (Adjustment::AvroUnicode, "1.x", "_u0031.x", "_u0031_u002ex"),
        ] {
            assert_eq!(schema(name, mode), of_schema);
            assert_eq!(field(name, mode), of_field);
        }
    }
}
