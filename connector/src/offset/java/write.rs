//! Nodes → bytes, as `ObjectOutputStream` writes them.
//!
//! What was written once is afterwards referred to by its number. Java compares objects by identity:
//! here the same `Rc` is the same object, and classes and the names of their fields' types are the same
//! if they are called the same.

use super::class::{Class, WRITES_MORE};
use super::{FIRST_HANDLE, Field, HEAD, Node, Object, tag, text};
use std::collections::HashMap;
use std::rc::Rc;

/// The stream of one value.
pub fn write(node: &Node) -> Vec<u8> {
    let mut writer = Writer { out: HEAD.to_vec(), known: HashMap::new(), handles: 0 };
    writer.node(node);
    writer.out
}

struct Writer {
    out: Vec<u8>,
    known: HashMap<Identity, u32>,
    handles: u32,
}

/// What makes two things the same thing.
#[derive(PartialEq, Eq, Hash)]
enum Identity {
    Class(String),
    TypeName(String),
    Object(*const u8),
}

fn at<T: ?Sized>(shared: &Rc<T>) -> Identity {
    Identity::Object(Rc::as_ptr(shared).cast())
}

impl Writer {
    /// Writes a reference if the thing is known.
    fn referred(&mut self, identity: &Identity) -> bool {
        let Some(number) = self.known.get(identity) else { return false };
        self.out.push(tag::REFERENCE);
        self.out.extend((FIRST_HANDLE + number).to_be_bytes());
        true
    }

    fn number(&mut self, identity: Identity) {
        self.known.insert(identity, self.handles);
        self.handles += 1;
    }

    fn node(&mut self, node: &Node) {
        let identity = match node {
            Node::Null => return self.out.push(tag::NULL),
            Node::Block(bytes) => return self.block(bytes),
            Node::Text(text) => at(text),
            Node::Bytes(bytes) => at(bytes),
            Node::Objects(nodes) => at(nodes),
            Node::Object(object) => at(object),
            Node::Constant(constant) => at(constant),
        };
        if self.referred(&identity) {
            return;
        }
        match node {
            Node::Text(text) => {
                self.number(identity);
                self.string(text);
            }
            Node::Bytes(bytes) => {
                self.array(&super::class::bytes(), identity, bytes.len());
                self.out.extend(bytes.iter());
            }
            Node::Objects(nodes) => {
                self.array(&super::class::objects(), identity, nodes.len());
                nodes.iter().for_each(|node| self.node(node));
            }
            Node::Object(object) => self.object(object, identity),
            Node::Constant(constant) => {
                self.out.push(tag::ENUM);
                self.class(&constant.class);
                self.number(identity);
                self.node(&Node::Text(constant.name.clone()));
            }
            Node::Null | Node::Block(_) => {}
        }
    }

    fn string(&mut self, text: &str) {
        let bytes = text::encode(text);
        match u16::try_from(bytes.len()) {
            Ok(length) => {
                self.out.push(tag::STRING);
                self.out.extend(length.to_be_bytes());
            }
            Err(_) => {
                self.out.push(tag::LONG_STRING);
                self.out.extend((bytes.len() as u64).to_be_bytes());
            }
        }
        self.out.extend(bytes);
    }

    fn array(&mut self, class: &Class, identity: Identity, length: usize) {
        self.out.push(tag::ARRAY);
        self.class(class);
        self.number(identity);
        self.out.extend((length as u32).to_be_bytes());
    }

    fn object(&mut self, object: &Object, identity: Identity) {
        self.out.push(tag::OBJECT);
        self.class(&object.class);
        self.number(identity);
        for (class, part) in object.class.hierarchy().iter().zip(&object.parts) {
            part.fields.iter().for_each(|field| self.field(field));
            if class.flags & WRITES_MORE != 0 {
                part.extra.iter().for_each(|node| self.node(node));
                self.out.push(tag::END_BLOCK);
            }
        }
    }

    fn field(&mut self, field: &Field) {
        match field {
            Field::Byte(number) => self.out.extend(number.to_be_bytes()),
            Field::Char(number) => self.out.extend(number.to_be_bytes()),
            Field::Double(number) => self.out.extend(number.to_be_bytes()),
            Field::Float(number) => self.out.extend(number.to_be_bytes()),
            Field::Int(number) => self.out.extend(number.to_be_bytes()),
            Field::Long(number) => self.out.extend(number.to_be_bytes()),
            Field::Short(number) => self.out.extend(number.to_be_bytes()),
            Field::Bool(flag) => self.out.push(u8::from(*flag)),
            Field::Node(node) => self.node(node),
        }
    }

    fn block(&mut self, bytes: &[u8]) {
        match u8::try_from(bytes.len()) {
            Ok(length) => self.out.extend([tag::BLOCK, length]),
            Err(_) => {
                self.out.push(tag::LONG_BLOCK);
                self.out.extend((bytes.len() as u32).to_be_bytes());
            }
        }
        self.out.extend(bytes);
    }

    fn class(&mut self, class: &Class) {
        let identity = Identity::Class(class.name.clone());
        if self.referred(&identity) {
            return;
        }
        self.out.push(tag::CLASS);
        self.name(&class.name);
        self.out.extend(class.version.to_be_bytes());
        self.number(identity);
        self.out.push(class.flags);
        self.out.extend((class.fields.len() as u16).to_be_bytes());
        for field in &class.fields {
            self.out.push(field.letter);
            self.name(&field.name);
            if let Some(class) = &field.class {
                let identity = Identity::TypeName(class.clone());
                if !self.referred(&identity) {
                    self.number(identity);
                    self.string(class);
                }
            }
        }
        // No class that occurs annotates its description.
        self.out.push(tag::END_BLOCK);
        match &class.parent {
            Some(parent) => self.class(parent),
            None => self.out.push(tag::NULL),
        }
    }

    fn name(&mut self, name: &str) {
        let bytes = text::encode(name);
        self.out.extend((bytes.len() as u16).to_be_bytes());
        self.out.extend(bytes);
    }
}
