//! Connect schema → a tree of write steps, built once per schema. What stands for absent values is
//! bytes already. Pure.

use super::form::{self, FIRST, Leaf, SECOND, Scratch};
use crate::connect::Fault;
use crate::model::schema::{Kind, Schema};
use crate::model::value::{Constant, Value};
use shared::avro::wire::put_long;

/// How a value of one schema is written.
#[derive(Debug)]
pub struct Step {
    node: Node,
    /// The union's branch of a present value, if there is a union.
    present: Option<u8>,
    /// What is sent for NULL; `None` if nothing can stand for it.
    null: Option<Box<[u8]>>,
    /// Likewise for a value that was not sent.
    unavailable: Option<Box<[u8]>>,
}

#[derive(Debug)]
enum Node {
    Leaf(Leaf),
    Struct(Box<[Step]>),
    Array(Box<Step>),
    /// A map, or an array of entries, which is written alike.
    Map {
        key: Box<Step>,
        value: Box<Step>,
    },
}

/// Where in a schema a value could not be written: indexes of fields, the innermost first.
pub type Path = Vec<usize>;

impl Step {
    /// `keep_nulls`: NULL stays NULL although there is a default.
    pub fn new(schema: &Schema, keep_nulls: bool) -> Step {
        let present = branch(schema);
        let mut step = Step { node: node(schema, keep_nulls), present, null: None, unavailable: None };
        step.null = step.absent(schema, keep_nulls);
        step.unavailable = match &schema.unavailable {
            Some(constant) => step.bytes(constant, true),
            // As Debezium: what it cannot mark becomes NULL where NULL may stand.
            None if schema.optional => step.null.clone(),
            None => None,
        };
        step
    }

    /// What is sent for NULL: the default if there is one, even where NULL could stand (Connect's
    /// Struct fills it in); else NULL; else Debezium's stand-in.
    fn absent(&self, schema: &Schema, keep_nulls: bool) -> Option<Box<[u8]>> {
        match form::default(schema) {
            Some(_) if keep_nulls && schema.optional => Some(Box::new([SECOND])),
            Some(_) => self.bytes(schema.default.as_ref()?, true),
            None if schema.optional => Some(Box::new([FIRST])),
            None => self.bytes(schema.fallback.as_ref()?, false),
        }
    }

    fn bytes(&self, constant: &Constant, with_branch: bool) -> Option<Box<[u8]>> {
        let mut out: Vec<u8> = self.present.filter(|_| with_branch).into_iter().collect();
        let done = self.node.put(&mut out, &constant.value(), &mut Scratch::default(), &mut Path::new());
        done.is_ok().then(|| out.into())
    }

    /// Whether NULL may be sent for a value that does not fit. Not for a whole row.
    fn is_cell(&self) -> bool {
        matches!(self.node, Node::Leaf(_) | Node::Array(_))
    }

    /// Appends a value.
    ///
    /// # Errors
    /// What is wrong with the value, and in `path` where; what was appended is to be dropped.
    #[inline]
    pub fn put(
        &self,
        out: &mut Vec<u8>,
        value: &Value<'_>,
        scratch: &mut Scratch,
        path: &mut Path,
    ) -> Result<(), Fault> {
        match value {
            Value::Null => out.extend_from_slice(self.null.as_ref().ok_or(Fault::NoNull)?),
            Value::Unavailable => {
                out.extend_from_slice(self.unavailable.as_ref().ok_or(Fault::Unavailable)?);
            }
            value => {
                let start = out.len();
                out.extend(self.present);
                match (self.node.put(out, value, scratch, path), &self.null) {
                    // Debezium sends what does not fit, NaN in a numeric above all, as NULL.
                    (Err(Fault::Unfit), Some(null)) if self.present.is_some() && self.is_cell() => {
                        path.clear();
                        out.truncate(start);
                        out.extend_from_slice(null);
                    }
                    (done, _) => return done,
                }
            }
        }
        Ok(())
    }
}

/// The branch of a present value. A default stands first in its union.
fn branch(schema: &Schema) -> Option<u8> {
    match (schema.optional, form::default(schema)) {
        (false, _) => None,
        (true, Some(_)) => Some(FIRST),
        (true, None) => Some(SECOND),
    }
}

fn node(schema: &Schema, keep_nulls: bool) -> Node {
    let step = |schema: &Schema| Step::new(schema, keep_nulls);
    if let Some(leaf) = Leaf::of(schema) {
        return Node::Leaf(leaf);
    }
    match &schema.kind {
        Kind::Array(items) => Node::Array(Box::new(step(items))),
        Kind::Map(key, value) => Node::Map { key: Box::new(step(key)), value: Box::new(step(value)) },
        _ => Node::Struct(schema.fields().iter().map(|field| step(&field.schema)).collect()),
    }
}

impl Node {
    /// Nearly all values are leaves: they take no further call.
    #[inline]
    fn put(
        &self,
        out: &mut Vec<u8>,
        value: &Value<'_>,
        scratch: &mut Scratch,
        path: &mut Path,
    ) -> Result<(), Fault> {
        match self {
            Node::Leaf(leaf) => form::put(out, *leaf, value, scratch),
            parts => parts.put_parts(out, value, scratch, path),
        }
    }

    fn put_parts(
        &self,
        out: &mut Vec<u8>,
        value: &Value<'_>,
        scratch: &mut Scratch,
        path: &mut Path,
    ) -> Result<(), Fault> {
        match (self, value) {
            (Node::Struct(steps), Value::Struct(values)) => {
                if values.len() != steps.len() {
                    return Err(Fault::Missing);
                }
                for (at, (step, value)) in steps.iter().zip(*values).enumerate() {
                    if let Err(fault) = step.put(out, value, scratch, path) {
                        path.push(at);
                        return Err(fault);
                    }
                }
                Ok(())
            }
            (Node::Array(step), Value::List(values)) => {
                put_count(out, values.len());
                for value in *values {
                    step.put(out, value, scratch, path).map_err(|fault| fault.in_list(value))?;
                }
                out.push(0);
                Ok(())
            }
            (Node::Map { key, value }, Value::Map(entries)) => {
                put_count(out, entries.len());
                for (name, content) in *entries {
                    key.put(out, name, scratch, path)?;
                    value.put(out, content, scratch, path)?;
                }
                out.push(0);
                Ok(())
            }
            _ => Err(Fault::WrongType),
        }
    }
}

/// One block with all elements, as Avro's Java library writes it; a zero ends the blocks.
fn put_count(out: &mut Vec<u8>, count: usize) {
    if count > 0 {
        put_long(out, count as i64);
    }
}
