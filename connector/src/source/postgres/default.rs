//! `pg_get_expr` of a column's default → the value that Debezium shows in schemas. Pure.
//!
//! A literal becomes its value; what the server computes (a function, `CURRENT_TIMESTAMP`, a
//! sequence) becomes a placeholder of the type; anything else has no default. Debezium takes the
//! first quoted text of an expression whatever stands around it, and so do we.

use super::column::TypeInfo;
use super::{datetime, interval};
use crate::model::value::{Constant, Value};

/// The default of a column whose declared type is `info`; domains have none.
pub fn parse(info: &TypeInfo, modifier: i32, expression: &str) -> Option<Constant> {
    if info.is_domain() || expression.starts_with("NULL::") {
        return None;
    }
    let computed = is_computed(expression);
    let literal = literal(expression);
    let text = literal.as_deref().unwrap_or(expression).trim();
    let or = |placeholder: &'static str| if computed { placeholder } else { text };
    if let Some(labels) = &info.labels {
        let first = labels.first().map_or("", String::as_str);
        return Some(Constant::Text(if computed { first } else { text }.to_owned()));
    }
    match info.base.as_str() {
        "bit" | "varbit" => bits(or("0"), modifier),
        "interval" => interval::decode(or("00:00:00").as_bytes()).ok().map(plain),
        "bool" => Some(plain(Value::Bool(or("false").eq_ignore_ascii_case("true")))),
        "int2" => or("0").parse::<i16>().ok().map(|n| plain(Value::Int(n.into()))),
        "int4" => or("0").parse::<i32>().ok().map(|n| plain(Value::Int(n.into()))),
        "int8" => or("0").parse::<i64>().ok().map(|n| plain(Value::Int(n))),
        "float4" => or("0").parse().ok().map(|n| plain(Value::Float32(n))),
        "float8" => or("0").parse().ok().map(|n| plain(Value::Float64(n))),
        "numeric" => decimal(or("0.0"), modifier),
        "bpchar" | "varchar" | "text" | "xml" => Some(Constant::Text(or("").to_owned())),
        "json" | "jsonb" => Some(Constant::Text(or("{}").to_owned())),
        "uuid" => Some(Constant::Text(or("00000000-0000-0000-0000-000000000000").to_ascii_lowercase())),
        "date" => datetime::date(or("1970-01-01").as_bytes()).ok().map(|d| plain(Value::Date(d))),
        "time" => datetime::time(or("00:00:00").as_bytes()).ok().map(|t| plain(Value::Time(t))),
        "timestamp" => {
            datetime::timestamp(or("1970-01-01 00:00:00").as_bytes()).ok().map(|t| plain(Value::Timestamp(t)))
        }
        "timestamptz" => datetime::timestamptz(or("1970-01-01 00:00:00+00").as_bytes())
            .ok()
            .map(|t| plain(Value::TimestampTz(t))),
        _ => None,
    }
}

fn plain(value: Value<'static>) -> Constant {
    Constant::Plain(value)
}

/// Binary digits; of a single one its flag.
fn bits(text: &str, modifier: i32) -> Option<Constant> {
    if !text.bytes().all(|digit| matches!(digit, b'0' | b'1')) {
        return None;
    }
    Some(if modifier == 1 { plain(Value::Bool(text == "1")) } else { Constant::Bits(text.to_owned()) })
}

/// With as many digits behind the point as the column has; none if it would have to be rounded.
fn decimal(text: &str, modifier: i32) -> Option<Constant> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() && fraction.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let Some(scale) = scale_of(modifier) else { return Some(Constant::Decimal(text.to_owned())) };
    let zeros = "0".repeat(scale.saturating_sub(fraction.len()));
    let (kept, dropped) = fraction.split_at_checked(scale).unwrap_or((fraction, ""));
    let sign = if text.starts_with('-') { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    let exact = dropped.bytes().all(|digit| digit == b'0');
    exact.then(|| Constant::Decimal(format!("{sign}{whole}{point}{kept}{zeros}")))
}

/// The scale that a modifier of `numeric` says. Of a negative one Debezium reads 2048 less.
pub fn scale_of(modifier: i32) -> Option<usize> {
    let packed = modifier.checked_sub(4).filter(|packed| *packed >= 0);
    packed.and_then(|packed| usize::try_from(packed & 0x7FF).ok())
}

/// `now()`, `(now() + '1 day'::interval)`, `nextval('s'::regclass)`, and the functions that SQL
/// writes without parentheses.
fn is_computed(expression: &str) -> bool {
    const WITHOUT_PARENTHESES: [&str; 10] = [
        "CURRENT_TIMESTAMP",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "LOCALTIMESTAMP",
        "LOCALTIME",
        "CURRENT_USER",
        "SESSION_USER",
        "CURRENT_ROLE",
        "CURRENT_CATALOG",
        "CURRENT_SCHEMA",
    ];
    let inner = expression.strip_prefix('(').unwrap_or(expression);
    let name_length = inner.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count();
    let (name, rest) = inner.split_at(name_length);
    (!name.is_empty() && rest.starts_with('(')) || WITHOUT_PARENTHESES.contains(&name)
}

/// The first quoted text, doubled quotes undone.
fn literal(expression: &str) -> Option<String> {
    let (_, quoted) = expression.split_once('\'')?;
    let mut text = String::with_capacity(quoted.len());
    let mut characters = quoted.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Some(text);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::UNIX_EPOCH;
    use crate::source::postgres::column::TypeInfo;

    /// As recorded from Debezium where it was (`pg-types`, `pg-null-defaults`).
    #[test]
    fn defaults() {
        let text = |t: &str| Some(Constant::Text(t.to_owned()));
        for (type_name, expression, want) in [
            ("bool", "true", Some(plain(Value::Bool(true)))),
            ("int2", "'-7'::integer", Some(plain(Value::Int(-7)))),
            ("int4", "42", Some(plain(Value::Int(42)))),
            ("int4", "nextval('t_id_seq'::regclass)", Some(plain(Value::Int(0)))),
            ("int4", "(10 + 5)", None),
            ("int8", "'9007199254740993'::bigint", Some(plain(Value::Int(9_007_199_254_740_993)))),
            ("float8", "'-2.25'::numeric", Some(plain(Value::Float64(-2.25)))),
            ("numeric", "1234.5670", Some(Constant::Decimal("1234.5670".into()))),
            ("numeric", "'NaN'::numeric", None),
            ("bpchar", "'ab'::bpchar", text("ab")),
            ("varchar", "'it''s'::character varying", text("it's")),
            ("varchar", "NULL::character varying", None),
            ("text", "''::text", text("")),
            ("text", "CURRENT_USER", text("")),
            ("text", "lower('A'::text)", text("")),
            ("jsonb", "'{\"a\": 1}'::jsonb", text("{\"a\": 1}")),
            ("uuid", "gen_random_uuid()", text("00000000-0000-0000-0000-000000000000")),
            ("date", "'2020-02-29'::date", Some(plain(Value::Date(18_321)))),
            ("date", "CURRENT_DATE", Some(plain(Value::Date(0)))),
            ("time", "'12:34:56.789012'::time without time zone", Some(plain(Value::Time(45_296_789_012)))),
            (
                "timestamp",
                "'2020-01-02 03:04:05.678901'::timestamp without time zone",
                Some(plain(Value::Timestamp(UNIX_EPOCH + 1_577_934_245_678_901))),
            ),
            (
                "timestamptz",
                "'2020-01-01 00:00:00+00'::timestamp with time zone",
                Some(plain(Value::TimestampTz(UNIX_EPOCH + 1_577_836_800_000_000))),
            ),
            ("timestamptz", "now()", Some(plain(Value::TimestampTz(UNIX_EPOCH)))),
            ("timestamptz", "(now() + '01:00:00'::interval)", Some(plain(Value::TimestampTz(UNIX_EPOCH)))),
            ("bytea", "'\\x00ff'::bytea", None),
            ("citext", "'a'::citext", None),
            ("oid", "1", None),
            ("bit", "'10101'::\"bit\"", Some(Constant::Bits("10101".into()))),
            (
                "interval",
                "'1 day 02:03:04'::interval",
                Some(plain(Value::Interval { months: 0, days: 1, micros: 7_384_000_000 })),
            ),
        ] {
            let info = TypeInfo::plain(type_name);
            assert_eq!(parse(&info, -1, expression), want, "{type_name}: {expression}");
        }
    }

    #[test]
    fn decimals_have_the_column_s_scale() {
        let info = TypeInfo::plain("numeric");
        for (expression, scale, want) in [
            ("1.5", 2, Some("1.50")),
            ("'-7'::integer", 3, Some("-7.000")),
            ("3.450", 2, Some("3.45")),
            ("3.456", 2, None),
            ("12", 0, Some("12")),
        ] {
            let want = want.map(|text| Constant::Decimal(text.to_owned()));
            assert_eq!(parse(&info, (9 << 16 | scale) + 4, expression), want, "{expression} {scale}");
        }
    }

    #[test]
    fn a_domain_has_none() {
        let info = TypeInfo { name: "amount".into(), ..TypeInfo::plain("int4") };
        assert_eq!(parse(&info, -1, "7"), None);
    }
}
