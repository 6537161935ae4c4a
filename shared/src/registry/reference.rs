//! What a schema refers to, brought from one registry to another before it: the deepest first.
//!
//! Versions are numbers of one registry: those of the other take the place of these. They are asked for anew
//! whenever a referring schema is brought, so that a crash half way, or a version that was deleted on the
//! other side, needs nothing to be remembered.

use super::{Reference, Schema};
use crate::error::{Error, Kind, Result};
use std::collections::HashMap;

/// What one schema may need, those that are needed in turn included.
pub const MAX_NEEDED: usize = 200;

/// The two registries.
pub trait Sides {
    /// A version of a subject where the schema comes from.
    ///
    /// # Errors
    /// As that registry says; `Data` or `Rejected` if it is not there.
    fn fetch(&self, subject: &str, version: u32) -> Result<Schema>;

    /// Registers a schema where it goes to, under versions of there; its version there.
    ///
    /// # Errors
    /// As that registry says.
    fn register(&self, subject: &str, version: u32, schema: &Schema) -> Result<u32>;
}

/// Brings what `references` name; gives them with the versions of the other side.
///
/// # Errors
/// Those of `sides`; `Data` for a schema that needs too many others.
pub fn bring(sides: &dyn Sides, references: &[Reference]) -> Result<Vec<Reference>> {
    Walk { sides, done: HashMap::new() }.all(references, 0)
}

struct Walk<'a> {
    sides: &'a dyn Sides,
    /// Subject and version here → version there.
    done: HashMap<(String, u32), u32>,
}

impl Walk<'_> {
    fn all(&mut self, references: &[Reference], depth: usize) -> Result<Vec<Reference>> {
        let mut found = Vec::with_capacity(references.len());
        for reference in references {
            let version = self.version(reference, depth)?;
            found.push(Reference { version, ..reference.clone() });
        }
        Ok(found)
    }

    fn version(&mut self, reference: &Reference, depth: usize) -> Result<u32> {
        let Reference { subject, version, .. } = reference;
        if let Some(there) = self.done.get(&(subject.clone(), *version)) {
            return Ok(*there);
        }
        if depth >= MAX_NEEDED || self.done.len() >= MAX_NEEDED {
            let what = format!("a schema refers to more than {MAX_NEEDED} others");
            return Err(Error::new(Kind::Data, what).remedy("write some of its types into the schema itself"));
        }
        let schema = self.sides.fetch(subject, *version)?;
        let references = self.all(&schema.references, depth + 1)?;
        let there = self.sides.register(subject, *version, &Schema { text: schema.text, references })?;
        self.done.insert((subject.clone(), *version), there);
        Ok(there)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Each version refers to the two before it; there, numbers are ten times as great.
    struct Chain {
        registered: RefCell<Vec<(String, Vec<u32>)>>,
    }

    fn reference(version: u32) -> Reference {
        Reference { name: "T".to_owned(), subject: "t".to_owned(), version }
    }

    impl Sides for Chain {
        fn fetch(&self, _: &str, version: u32) -> Result<Schema> {
            let before = (version.saturating_sub(2).max(1)..version).map(reference).collect();
            Ok(Schema { text: format!("text {version}"), references: before })
        }

        fn register(&self, _: &str, version: u32, schema: &Schema) -> Result<u32> {
            let needs = schema.references.iter().map(|reference| reference.version).collect();
            self.registered.borrow_mut().push((schema.text.clone(), needs));
            Ok(version * 10)
        }
    }

    #[test]
    fn each_comes_once_and_after_what_it_needs() {
        let chain = Chain { registered: RefCell::default() };
        assert_eq!(bring(&chain, &[reference(3)]).expect("brought"), [reference(30)]);
        let text = |n: u32| format!("text {n}");
        let registered = chain.registered.into_inner();
        assert_eq!(registered, [(text(1), vec![]), (text(2), vec![10]), (text(3), vec![10, 20])]);
    }

    #[test]
    fn too_many_are_refused() {
        let chain = Chain { registered: RefCell::default() };
        let error = bring(&chain, &[reference(2 * MAX_NEEDED as u32)]).expect_err("too many");
        assert_eq!(error.kind(), Kind::Data, "{error}");
        assert!(chain.registered.borrow().len() <= MAX_NEEDED);
    }
}
