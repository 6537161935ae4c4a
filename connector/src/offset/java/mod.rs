//! Java object serialisation, as far as stored offsets need it: [`read`] takes bytes apart into
//! [`Node`]s, [`write`] puts nodes together to the bytes that `ObjectOutputStream` would write. Pure.
//!
//! What the nodes mean stands in [`class`] (which Java classes there are) and in `key` and `map` of the
//! room. The format is described in Oracle's "Java Object Serialization Specification", chapter 6.

pub mod class;
mod read;
mod text;
mod write;

pub use read::read;
pub use write::write;

use class::Class;
use std::rc::Rc;

/// What every stream begins with: magic number and version.
pub const HEAD: [u8; 4] = [0xac, 0xed, 0x00, 0x05];

/// Handles of what was written before count from here.
const FIRST_HANDLE: u32 = 0x007e_0000;

/// The byte that says what follows.
mod tag {
    pub const NULL: u8 = 0x70;
    pub const REFERENCE: u8 = 0x71;
    pub const CLASS: u8 = 0x72;
    pub const OBJECT: u8 = 0x73;
    pub const STRING: u8 = 0x74;
    pub const ARRAY: u8 = 0x75;
    pub const BLOCK: u8 = 0x77;
    pub const END_BLOCK: u8 = 0x78;
    pub const LONG_BLOCK: u8 = 0x7a;
    pub const LONG_STRING: u8 = 0x7c;
    pub const ENUM: u8 = 0x7e;
}

/// A Java value. Nodes are shared: the same `Rc` twice is the same Java object twice.
#[derive(Clone, Debug)]
pub enum Node {
    Null,
    Text(Rc<str>),
    Bytes(Rc<[u8]>),
    Objects(Rc<[Node]>),
    Object(Rc<Object>),
    Constant(Rc<Constant>),
    /// Bytes that a class wrote by its own method.
    Block(Rc<[u8]>),
}

/// An object's class and what its fields hold.
#[derive(Debug)]
pub struct Object {
    pub class: Rc<Class>,
    /// One part for each class of the hierarchy, the topmost first.
    pub parts: Vec<Part>,
}

/// What one class of the hierarchy holds.
#[derive(Debug, Default)]
pub struct Part {
    /// One per field of the class, in its order.
    pub fields: Vec<Field>,
    /// What the class wrote beside its fields.
    pub extra: Vec<Node>,
}

/// The value of a field.
#[derive(Clone, Debug)]
pub enum Field {
    Byte(i8),
    Char(u16),
    Double(f64),
    Float(f32),
    Int(i32),
    Long(i64),
    Short(i16),
    Bool(bool),
    Node(Node),
}

/// A constant of an enum.
#[derive(Debug)]
pub struct Constant {
    pub class: Rc<Class>,
    pub name: Rc<str>,
}

impl Object {
    /// The value of a field, wherever in the hierarchy it stands.
    pub fn field(&self, name: &str) -> Option<&Field> {
        let classes = self.class.hierarchy();
        let fields =
            classes.iter().zip(&self.parts).flat_map(|(class, part)| class.fields.iter().zip(&part.fields));
        fields.into_iter().find(|(field, _)| field.name == name).map(|(_, value)| value)
    }

    /// The first bytes that a class wrote beside its fields.
    pub fn block(&self) -> Option<&[u8]> {
        self.parts.iter().flat_map(|part| &part.extra).find_map(|node| match node {
            Node::Block(bytes) => Some(bytes.as_ref()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
