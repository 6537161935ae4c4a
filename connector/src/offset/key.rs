//! Keys of an incremental snapshot ↔ the `Object[]` that Debezium keeps of them, in hexadecimal. Pure.

use super::java::{self, Constant, Field, Node, Object, Part, class};
use crate::connect::java as printed;
use crate::model::key_cell::KeyCell;
use num_bigint::{BigInt, Sign};
use shared::error::{Error, Kind, Result};
use std::rc::Rc;

/// A key as Debezium stores it; without a key it is Java's null.
pub fn stored(key: Option<&[KeyCell]>) -> String {
    let node = key.map_or(Node::Null, |cells| {
        let mut made: Vec<Node> = Vec::with_capacity(cells.len());
        for (at, cell) in cells.iter().enumerate() {
            let same = cells.iter().take(at).position(|before| before == cell && is_cached(cell));
            made.push(same.and_then(|at| made.get(at).cloned()).unwrap_or_else(|| node(cell)));
        }
        Node::Objects(made.into())
    });
    java::write(&node).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Java keeps one object for each of these values, so the second one is a reference to the first.
fn is_cached(cell: &KeyCell) -> bool {
    const CACHED: std::ops::RangeInclusive<i64> = -128..=127;
    match cell {
        KeyCell::Boolean(_) => true,
        KeyCell::Short(number) => CACHED.contains(&(*number).into()),
        KeyCell::Integer(number) => CACHED.contains(&(*number).into()),
        KeyCell::Long(number) => CACHED.contains(number),
        _ => false,
    }
}

/// Reads a stored key.
///
/// # Errors
/// `Data` if it is no `Object[]`, or one of a class that is not known here.
pub fn cells(stored: &str) -> Result<Option<Vec<KeyCell>>> {
    let bytes = bytes(stored).ok_or_else(|| Error::new(Kind::Data, "the key is not in hexadecimal"))?;
    match java::read(&bytes)? {
        Node::Null => Ok(None),
        Node::Objects(nodes) => {
            nodes.iter().map(|node| known(node, cell(node))).collect::<Result<_>>().map(Some)
        }
        other => known(&other, None),
    }
}

fn bytes(hexadecimal: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = hexadecimal.as_bytes().as_chunks::<2>();
    let digit = |digit: u8| char::from(digit).to_digit(16);
    let byte = |[high, low]: &[u8; 2]| u8::try_from(digit(*high)? << 4 | digit(*low)?).ok();
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn known<T>(node: &Node, read: Option<T>) -> Result<T> {
    read.ok_or_else(|| {
        let name = match node {
            Node::Object(object) => &object.class.name,
            _ => "what is stored",
        };
        Error::new(Kind::Data, format!("{name} is no part of a key"))
    })
}

fn object(class: Rc<class::Class>, fields: Vec<Field>) -> Node {
    let above = class.hierarchy().len() - 1;
    let mut parts: Vec<Part> = (0..above).map(|_| Part::default()).collect();
    parts.push(Part { fields, extra: Vec::new() });
    Node::Object(Rc::new(Object { class, parts }))
}

fn node(cell: &KeyCell) -> Node {
    match cell {
        KeyCell::Null => Node::Null,
        KeyCell::Boolean(flag) => object(class::boolean(), vec![Field::Bool(*flag)]),
        KeyCell::Short(number) => object(class::short(), vec![Field::Short(*number)]),
        KeyCell::Integer(number) => object(class::integer(), vec![Field::Int(*number)]),
        KeyCell::Long(number) => object(class::long(), vec![Field::Long(*number)]),
        KeyCell::Float(number) => object(class::float(), vec![Field::Float(*number)]),
        KeyCell::Double(number) => object(class::double(), vec![Field::Double(*number)]),
        KeyCell::Text(text) => Node::Text(text.as_str().into()),
        KeyCell::Bytes(bytes) => Node::Bytes(bytes.as_slice().into()),
        KeyCell::Uuid(number) => {
            let half = |bits: u128| Field::Long((bits as u64).cast_signed());
            object(class::uuid(), vec![half(*number), half(*number >> 64)])
        }
        KeyCell::BigDecimal(text) => decimal(text).unwrap_or(Node::Null),
        KeyCell::Numeric(text) => numeric(text),
        KeyCell::Date(millis) => instant(class::date(), *millis, Vec::new()),
        KeyCell::Time(millis) => instant(class::time(), *millis, Vec::new()),
        KeyCell::Timestamp { millis, nanos } => {
            instant(class::timestamp(), *millis, vec![Field::Int(nanos.cast_signed())])
        }
        KeyCell::Other { type_name, text } => {
            let text = text.as_deref().map_or(Node::Null, |text| Node::Text(text.into()));
            let name = Node::Text(type_name.as_str().into());
            object(class::postgres_object(), vec![Field::Node(name), Field::Node(text)])
        }
    }
}

/// `java.util.Date` writes its milliseconds by a method of its own.
fn instant(class: Rc<class::Class>, millis: i64, fields: Vec<Field>) -> Node {
    let date = Part { fields: Vec::new(), extra: vec![Node::Block(millis.to_be_bytes().as_slice().into())] };
    let parts = vec![date, Part { fields, extra: Vec::new() }];
    Node::Object(Rc::new(Object { class, parts }))
}

/// Names of Debezium's constants, and PostgreSQL's words for them.
const SPECIAL: [(&str, &str); 3] =
    [("NAN", "NaN"), ("POSITIVE_INFINITY", "Infinity"), ("NEGATIVE_INFINITY", "-Infinity")];

fn numeric(text: &str) -> Node {
    let special = SPECIAL.iter().find(|(_, word)| *word == text).map(|(name, _)| {
        Node::Constant(Rc::new(Constant { class: class::special_value(), name: (*name).into() }))
    });
    let plain = decimal(text).unwrap_or(Node::Null);
    object(class::special_decimal(), vec![Field::Node(plain), Field::Node(special.unwrap_or(Node::Null))])
}

/// Digits with an optional sign, point and exponent.
fn decimal(text: &str) -> Option<Node> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let unscaled: BigInt = format!("{whole}{fraction}").parse().ok()?;
    let exponent: i64 = exponent.parse().ok()?;
    let scale = i32::try_from(i64::try_from(fraction.len()).ok()?.checked_sub(exponent)?).ok()?;
    let (sign, magnitude) = unscaled.to_bytes_be();
    let (signum, magnitude) = match sign {
        Sign::NoSign => (0, Vec::new()),
        Sign::Plus => (1, magnitude),
        Sign::Minus => (-1, magnitude),
    };
    // What Java once cached in the fields, it now writes as "not known".
    let unknown = [-1, -1, -2, -2].map(Field::Int);
    let fields = unknown.into_iter().chain([Field::Int(signum), Field::Node(Node::Bytes(magnitude.into()))]);
    let integer = object(class::big_integer(), fields.collect());
    Some(object(class::big_decimal(), vec![Field::Int(scale), Field::Node(integer)]))
}

fn cell(node: &Node) -> Option<KeyCell> {
    Some(match node {
        Node::Null => KeyCell::Null,
        Node::Text(text) => KeyCell::Text(text.to_string()),
        Node::Bytes(bytes) => KeyCell::Bytes(bytes.to_vec()),
        Node::Object(object) => return boxed(object).or_else(|| timed(object)).or_else(|| composed(object)),
        Node::Objects(_) | Node::Constant(_) | Node::Block(_) => return None,
    })
}

fn boxed(object: &Object) -> Option<KeyCell> {
    let value = object.field("value")?;
    Some(match (object.class.name.as_str(), value) {
        ("java.lang.Boolean", Field::Bool(flag)) => KeyCell::Boolean(*flag),
        ("java.lang.Short", Field::Short(number)) => KeyCell::Short(*number),
        ("java.lang.Integer", Field::Int(number)) => KeyCell::Integer(*number),
        ("java.lang.Long", Field::Long(number)) => KeyCell::Long(*number),
        ("java.lang.Float", Field::Float(number)) => KeyCell::Float(*number),
        ("java.lang.Double", Field::Double(number)) => KeyCell::Double(*number),
        _ => return None,
    })
}

fn timed(object: &Object) -> Option<KeyCell> {
    let millis = || object.block()?.first_chunk::<8>().copied().map(i64::from_be_bytes);
    match (object.class.name.as_str(), object.field("nanos")) {
        ("java.sql.Date", _) => millis().map(KeyCell::Date),
        ("java.sql.Time", _) => millis().map(KeyCell::Time),
        ("java.sql.Timestamp", Some(Field::Int(nanos))) => {
            let nanos = u32::try_from(*nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
            millis().map(|millis| KeyCell::Timestamp { millis, nanos })
        }
        _ => None,
    }
}

fn composed(object: &Object) -> Option<KeyCell> {
    let text = |name: &str| match object.field(name)? {
        Field::Node(Node::Text(text)) => Some(text.to_string()),
        _ => None,
    };
    match object.class.name.as_str() {
        "java.util.UUID" => {
            let (Field::Long(low), Field::Long(high)) =
                (object.field("leastSigBits")?, object.field("mostSigBits")?)
            else {
                return None;
            };
            Some(KeyCell::Uuid(u128::from(high.cast_unsigned()) << 64 | u128::from(low.cast_unsigned())))
        }
        "java.math.BigDecimal" => digits(object).map(KeyCell::BigDecimal),
        "io.debezium.data.SpecialValueDecimal" => special(object).map(KeyCell::Numeric),
        "org.postgresql.util.PGobject" => {
            Some(KeyCell::Other { type_name: text("type")?, text: text("value") })
        }
        _ => None,
    }
}

fn special(object: &Object) -> Option<String> {
    match (object.field("decimalValue")?, object.field("specialValue")?) {
        (Field::Node(Node::Object(number)), _) => digits(number),
        (_, Field::Node(Node::Constant(constant))) => {
            SPECIAL.iter().find(|(name, _)| **name == *constant.name).map(|(_, word)| (*word).to_owned())
        }
        _ => None,
    }
}

/// A `BigDecimal` as Java prints it.
fn digits(object: &Object) -> Option<String> {
    let (Field::Int(scale), Field::Node(Node::Object(integer))) =
        (object.field("scale")?, object.field("intVal")?)
    else {
        return None;
    };
    let (Field::Int(signum), Field::Node(Node::Bytes(magnitude))) =
        (integer.field("signum")?, integer.field("magnitude")?)
    else {
        return None;
    };
    let unscaled = BigInt::from_bytes_be(Sign::Plus, magnitude);
    let negative = *signum < 0 && unscaled.sign() != Sign::NoSign;
    Some(printed::big_decimal(negative, &unscaled.to_string(), i64::from(*scale)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the name that it has among what Java wrote.
    fn written_by_java(name: &str) -> &'static str {
        let line =
            include_str!("java/vectors.txt").lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.expect("a vector of that name")
    }

    fn text(text: &str) -> KeyCell {
        KeyCell::Text(text.to_owned())
    }

    fn decimals(texts: &[&str], of: fn(String) -> KeyCell) -> Vec<KeyCell> {
        texts.iter().map(|text| of((*text).to_owned())).collect()
    }

    #[test]
    fn each_cell_is_java_s_to_the_byte() {
        let citext = KeyCell::Other { type_name: "citext".to_owned(), text: Some("Ab".to_owned()) };
        for (name, key) in [
            ("empty", vec![]),
            ("nullcell", vec![KeyCell::Null]),
            ("integer", vec![KeyCell::Integer(7)]),
            ("integers", [7, 7, 300, 300, -1].map(KeyCell::Integer).to_vec()),
            ("long", [7, 9_000_000_000].map(KeyCell::Long).to_vec()),
            ("short", vec![KeyCell::Short(7)]),
            ("string", vec![text("abc")]),
            ("strings", vec![text("abc"), text("abc"), text("é\0😀")]),
            ("boolean", [true, false, true].map(KeyCell::Boolean).to_vec()),
            ("float", vec![KeyCell::Float(1.5)]),
            ("double", vec![KeyCell::Double(1.5)]),
            ("bytes", vec![KeyCell::Bytes(vec![1, 2, 3]), KeyCell::Bytes(vec![])]),
            ("uuid", vec![KeyCell::Uuid(0xa0ee_bc99_9c0b_4ef8_bb6d_6bb9_bd38_0a11)]),
            (
                "bigdecimal",
                decimals(
                    &["12.50", "-123456789012345678901234567890.5", "0.00", "1E+3"],
                    KeyCell::BigDecimal,
                ),
            ),
            ("special", decimals(&["12.50", "-3"], KeyCell::Numeric)),
            ("nan", decimals(&["NaN", "Infinity"], KeyCell::Numeric)),
            ("date", vec![KeyCell::Date(1_700_000_000_000)]),
            ("timestamp", vec![KeyCell::Timestamp { millis: 1_700_000_000_000, nanos: 123_000_000 }]),
            ("time", vec![KeyCell::Time(1000)]),
            ("pgobject", vec![citext]),
            (
                "mixed",
                vec![
                    KeyCell::Integer(1),
                    text("a"),
                    KeyCell::Long(2),
                    KeyCell::Numeric("1".to_owned()),
                    KeyCell::BigDecimal("2".to_owned()),
                    KeyCell::Bytes(vec![9]),
                ],
            ),
        ] {
            let java = written_by_java(name);
            assert_eq!(cells(java).expect(name), Some(key.clone()), "{name}");
            assert_eq!(stored(Some(&key)), java, "{name}");
        }
        assert_eq!(cells(written_by_java("null")).expect("null"), None);
        assert_eq!(stored(None), written_by_java("null"));
    }

    #[test]
    fn what_is_no_key_is_said_by_its_class() {
        for (stored, words) in [
            (written_by_java("pginterval"), "org.postgresql.util.PGInterval is no part of a key"),
            ("aced000574000161", "what is stored is no part of a key"),
            ("aced00057", "hexadecimal"),
            ("zz", "hexadecimal"),
            ("", "no stream of Java objects"),
        ] {
            let error = cells(stored).expect_err("no key");
            assert!(error.to_string().contains(words), "{error}");
        }
    }
}
