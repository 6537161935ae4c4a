//! The Java classes that occur in stored offsets: name, serial version and fields, as their owners fixed
//! them for ever when they made them serialisable.

use std::rc::Rc;

/// Flags of a class: it has fields; it writes more than its fields; it is an enum.
pub const SERIALIZABLE: u8 = 0x02;
pub const WRITES_MORE: u8 = 0x01;
pub const ENUM: u8 = 0x10;

/// What a stream says of a class.
#[derive(Debug, PartialEq, Eq)]
pub struct Class {
    pub name: String,
    pub version: u64,
    pub flags: u8,
    pub fields: Vec<FieldOf>,
    pub parent: Option<Rc<Class>>,
}

/// A field: its type's letter, its name, and for objects the class's name in Java's notation.
#[derive(Debug, PartialEq, Eq)]
pub struct FieldOf {
    pub letter: u8,
    pub name: String,
    pub class: Option<String>,
}

impl Class {
    /// The classes whose parts an object holds, the topmost first.
    pub fn hierarchy(&self) -> Vec<&Class> {
        let mut found = vec![self];
        let mut parent = self.parent.as_deref();
        while let Some(class) = parent {
            found.push(class);
            parent = class.parent.as_deref();
        }
        found.reverse();
        found
    }
}

/// `fields` are `I scale` or `L intVal Ljava/math/BigInteger;`.
fn class(name: &str, version: u64, flags: u8, fields: &[&str], parent: Option<Rc<Class>>) -> Rc<Class> {
    let field = |text: &&str| {
        let mut words = text.split(' ');
        let letter = words.next().and_then(|word| word.bytes().next()).unwrap_or(b'I');
        let name = words.next().unwrap_or_default().to_owned();
        FieldOf { letter, name, class: words.next().map(str::to_owned) }
    };
    let fields = fields.iter().map(field).collect();
    Rc::new(Class { name: name.to_owned(), version, flags, fields, parent })
}

pub fn objects() -> Rc<Class> {
    class("[Ljava.lang.Object;", 0x90ce_589f_1073_296c, SERIALIZABLE, &[], None)
}

pub fn bytes() -> Rc<Class> {
    class("[B", 0xacf3_17f8_0608_54e0, SERIALIZABLE, &[], None)
}

fn number() -> Option<Rc<Class>> {
    Some(class("java.lang.Number", 0x86ac_951d_0b94_e08b, SERIALIZABLE, &[], None))
}

pub fn boolean() -> Rc<Class> {
    class("java.lang.Boolean", 0xcd20_7280_d59c_faee, SERIALIZABLE, &["Z value"], None)
}

pub fn short() -> Rc<Class> {
    class("java.lang.Short", 0x684d_3713_3460_da52, SERIALIZABLE, &["S value"], number())
}

pub fn integer() -> Rc<Class> {
    class("java.lang.Integer", 0x12e2_a0a4_f781_8738, SERIALIZABLE, &["I value"], number())
}

pub fn long() -> Rc<Class> {
    class("java.lang.Long", 0x3b8b_e490_cc8f_23df, SERIALIZABLE, &["J value"], number())
}

pub fn float() -> Rc<Class> {
    class("java.lang.Float", 0xdaed_c9a2_db3c_f0ec, SERIALIZABLE, &["F value"], number())
}

pub fn double() -> Rc<Class> {
    class("java.lang.Double", 0x80b3_c24a_296b_fb04, SERIALIZABLE, &["D value"], number())
}

pub fn uuid() -> Rc<Class> {
    let fields = ["J leastSigBits", "J mostSigBits"];
    class("java.util.UUID", 0xbc99_03f7_986d_852f, SERIALIZABLE, &fields, None)
}

pub fn big_decimal() -> Rc<Class> {
    let fields = ["I scale", "L intVal Ljava/math/BigInteger;"];
    class("java.math.BigDecimal", 0x54c7_1557_f981_284f, SERIALIZABLE | WRITES_MORE, &fields, number())
}

pub fn big_integer() -> Rc<Class> {
    let fields = [
        "I bitCount",
        "I bitLength",
        "I firstNonzeroByteNum",
        "I lowestSetBit",
        "I signum",
        "[ magnitude [B",
    ];
    class("java.math.BigInteger", 0x8cfc_9f1f_a93b_fb1d, SERIALIZABLE | WRITES_MORE, &fields, number())
}

/// Debezium's number, which may be none.
pub fn special_decimal() -> Rc<Class> {
    let fields = [
        "L decimalValue Ljava/math/BigDecimal;",
        "L specialValue Lio/debezium/data/SpecialValueDecimal$SpecialValue;",
    ];
    class("io.debezium.data.SpecialValueDecimal", 1, SERIALIZABLE, &fields, None)
}

/// The enum of what such a number may be instead.
pub fn special_value() -> Rc<Class> {
    let parent = class("java.lang.Enum", 0, SERIALIZABLE | ENUM, &[], None);
    let name = "io.debezium.data.SpecialValueDecimal$SpecialValue";
    class(name, 0, SERIALIZABLE | ENUM, &[], Some(parent))
}

fn any_date() -> Option<Rc<Class>> {
    Some(class("java.util.Date", 0x686a_8101_4b59_7419, SERIALIZABLE | WRITES_MORE, &[], None))
}

pub fn date() -> Rc<Class> {
    class("java.sql.Date", 0x14fa_4668_3f35_6697, SERIALIZABLE, &[], any_date())
}

pub fn time() -> Rc<Class> {
    class("java.sql.Time", 0x7489_4a0d_d932_c471, SERIALIZABLE, &[], any_date())
}

pub fn timestamp() -> Rc<Class> {
    class("java.sql.Timestamp", 0x2618_d5c8_0153_bf65, SERIALIZABLE, &["I nanos"], any_date())
}

/// pgjdbc's object for types that Java has no class for.
pub fn postgres_object() -> Rc<Class> {
    let fields = ["L type Ljava/lang/String;", "L value Ljava/lang/String;"];
    class("org.postgresql.util.PGobject", 0x4bf8_95ca_ac6f_6444, SERIALIZABLE, &fields, None)
}

pub fn hash_map() -> Rc<Class> {
    let fields = ["F loadFactor", "I threshold"];
    class("java.util.HashMap", 0x0507_dac1_c316_60d1, SERIALIZABLE | WRITES_MORE, &fields, None)
}
