//! Bytes → nodes. The input is a stored text that anyone may have written: nothing is taken on trust,
//! no count reserves more than the bytes that are left, nesting is bounded.

use super::class::{Class, ENUM, FieldOf, SERIALIZABLE, WRITES_MORE};
use super::{Constant, FIRST_HANDLE, Field, HEAD, Node, Object, Part, tag, text};
use shared::error::{Error, Kind, Result};
use std::borrow::Cow;
use std::rc::Rc;

/// What occurs nests five deep, and has three classes above each other at most.
const DEPTH: usize = 32;
const CLASSES: usize = 8;

/// The one value of a stream.
///
/// # Errors
/// `Data` if it is no such stream, ends early, goes on behind the value, or has a part that stored offsets
/// do not have.
pub fn read(bytes: &[u8]) -> Result<Node> {
    let rest = bytes.strip_prefix(&HEAD).ok_or_else(|| damaged("it is no stream of Java objects"))?;
    let mut reader = Reader { rest, known: Vec::new(), depth: 0 };
    let node = reader.node()?;
    if reader.rest.is_empty() { Ok(node) } else { Err(damaged("something follows the Java object")) }
}

fn damaged(what: impl Into<Cow<'static, str>>) -> Error {
    Error::new(Kind::Data, what)
}

/// What a number in the stream refers to.
#[derive(Clone)]
enum Known {
    Class(Rc<Class>),
    Node(Node),
    /// Something that is still being read.
    Unfinished,
}

struct Reader<'a> {
    rest: &'a [u8],
    known: Vec<Known>,
    depth: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| damaged("it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or_else(|| damaged("it ends early"))?;
        self.rest = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// A count of things that take at least a byte each.
    fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(u32::from_be_bytes(self.array()?)).unwrap_or(usize::MAX);
        if count > self.rest.len() { Err(damaged("it ends early")) } else { Ok(count) }
    }

    fn short_text(&mut self) -> Result<String> {
        let length = u16::from_be_bytes(self.array()?);
        self.text(usize::from(length))
    }

    fn text(&mut self, length: usize) -> Result<String> {
        text::decode(self.take(length)?).ok_or_else(|| damaged("a text is not in Java's UTF-8"))
    }

    /// Takes the next number for something whose content comes now.
    fn begin(&mut self) -> usize {
        self.known.push(Known::Unfinished);
        self.known.len() - 1
    }

    fn end(&mut self, number: usize, node: Node) -> Node {
        if let Some(slot) = self.known.get_mut(number) {
            *slot = Known::Node(node.clone());
        }
        node
    }

    fn referred(&mut self) -> Result<Known> {
        let handle = u32::from_be_bytes(self.array()?);
        let number = handle.checked_sub(FIRST_HANDLE).and_then(|number| usize::try_from(number).ok());
        let known = number.and_then(|number| self.known.get(number)).cloned();
        known.ok_or_else(|| damaged("it refers to something that was not there"))
    }

    fn node(&mut self) -> Result<Node> {
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(damaged("it nests too deep"));
        }
        let tag = self.byte()?;
        let node = self.tagged(tag)?;
        self.depth -= 1;
        Ok(node)
    }

    fn tagged(&mut self, tag: u8) -> Result<Node> {
        match tag {
            tag::NULL => Ok(Node::Null),
            tag::REFERENCE => match self.referred()? {
                Known::Node(node) => Ok(node),
                _ => Err(damaged("it refers to something that is no value")),
            },
            tag::STRING | tag::LONG_STRING => {
                let number = self.begin();
                let text = if tag == tag::STRING { self.short_text()? } else { self.long_text()? };
                Ok(self.end(number, Node::Text(text.into())))
            }
            tag::ARRAY => self.elements(),
            tag::OBJECT => self.object(),
            tag::ENUM => self.constant(),
            tag::BLOCK => {
                let length = self.byte()?;
                Ok(Node::Block(self.take(usize::from(length))?.into()))
            }
            tag::LONG_BLOCK => {
                let length = self.count()?;
                Ok(Node::Block(self.take(length)?.into()))
            }
            other => Err(damaged(format!("the part {other:#04x} does not occur in stored offsets"))),
        }
    }

    fn long_text(&mut self) -> Result<String> {
        let length = u64::from_be_bytes(self.array()?);
        self.text(usize::try_from(length).unwrap_or(usize::MAX))
    }

    fn elements(&mut self) -> Result<Node> {
        let class = self.known_class()?;
        let number = self.begin();
        let count = self.count()?;
        let node = match class.name.as_bytes() {
            b"[B" => Node::Bytes(self.take(count)?.into()),
            [b'[', b'L' | b'[', ..] => Node::Objects((0..count).map(|_| self.node()).collect::<Result<_>>()?),
            _ => return Err(damaged(format!("an array {} does not occur in stored offsets", class.name))),
        };
        Ok(self.end(number, node))
    }

    fn object(&mut self) -> Result<Node> {
        let class = self.known_class()?;
        let number = self.begin();
        let parts = class.hierarchy().into_iter().map(|class| self.part(class)).collect::<Result<_>>()?;
        Ok(self.end(number, Node::Object(Rc::new(Object { class: class.clone(), parts }))))
    }

    fn part(&mut self, class: &Class) -> Result<Part> {
        if class.flags & !(SERIALIZABLE | WRITES_MORE) != 0 || class.flags & SERIALIZABLE == 0 {
            return Err(damaged(format!("objects of {} do not occur in stored offsets", class.name)));
        }
        let fields = class.fields.iter().map(|field| self.field(field)).collect::<Result<_>>()?;
        let extra = if class.flags & WRITES_MORE == 0 { Vec::new() } else { self.until_end()? };
        Ok(Part { fields, extra })
    }

    fn until_end(&mut self) -> Result<Vec<Node>> {
        let mut found = Vec::new();
        while self.rest.first() != Some(&tag::END_BLOCK) {
            found.push(self.node()?);
        }
        self.take(1)?;
        Ok(found)
    }

    fn field(&mut self, field: &FieldOf) -> Result<Field> {
        Ok(match field.letter {
            b'B' => Field::Byte(i8::from_be_bytes(self.array()?)),
            b'C' => Field::Char(u16::from_be_bytes(self.array()?)),
            b'D' => Field::Double(f64::from_be_bytes(self.array()?)),
            b'F' => Field::Float(f32::from_be_bytes(self.array()?)),
            b'I' => Field::Int(i32::from_be_bytes(self.array()?)),
            b'J' => Field::Long(i64::from_be_bytes(self.array()?)),
            b'S' => Field::Short(i16::from_be_bytes(self.array()?)),
            b'Z' => Field::Bool(self.byte()? != 0),
            b'L' | b'[' => Field::Node(self.node()?),
            _ => return Err(damaged("a field has a type that Java does not know")),
        })
    }

    fn constant(&mut self) -> Result<Node> {
        let class = self.known_class()?;
        if class.flags & ENUM == 0 {
            return Err(damaged(format!("{} is no enum", class.name)));
        }
        let number = self.begin();
        let Node::Text(name) = self.node()? else { return Err(damaged("a constant has no name")) };
        Ok(self.end(number, Node::Constant(Rc::new(Constant { class, name }))))
    }

    fn known_class(&mut self) -> Result<Rc<Class>> {
        self.class()?.ok_or_else(|| damaged("an object has no class"))
    }

    fn class(&mut self) -> Result<Option<Rc<Class>>> {
        match self.byte()? {
            tag::NULL => Ok(None),
            tag::CLASS => self.described().map(Some),
            tag::REFERENCE => match self.referred()? {
                Known::Class(class) => Ok(Some(class)),
                _ => Err(damaged("it refers to something that is no class")),
            },
            other => Err(damaged(format!("the part {other:#04x} is no class"))),
        }
    }

    fn described(&mut self) -> Result<Rc<Class>> {
        let (name, version) = (self.short_text()?, u64::from_be_bytes(self.array()?));
        let number = self.begin();
        let (flags, count) = (self.byte()?, u16::from_be_bytes(self.array()?));
        let fields = (0..count).map(|_| self.described_field()).collect::<Result<_>>()?;
        if !self.until_end()?.is_empty() {
            return Err(damaged(format!("the class {name} is annotated")));
        }
        self.depth += 1;
        if self.depth > DEPTH {
            return Err(damaged("it nests too deep"));
        }
        let parent = self.class()?;
        self.depth -= 1;
        let class = Rc::new(Class { name, version, flags, fields, parent });
        if class.hierarchy().len() > CLASSES {
            return Err(damaged(format!("the class {} has too many above it", class.name)));
        }
        if let Some(slot) = self.known.get_mut(number) {
            *slot = Known::Class(class.clone());
        }
        Ok(class)
    }

    fn described_field(&mut self) -> Result<FieldOf> {
        let (letter, name) = (self.byte()?, self.short_text()?);
        let class = match letter {
            b'L' | b'[' => match self.node()? {
                Node::Text(class) => Some(class.to_string()),
                _ => return Err(damaged("a field's class has no name")),
            },
            _ => None,
        };
        Ok(FieldOf { letter, name, class })
    }
}
