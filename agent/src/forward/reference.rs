//! What a schema refers to, brought to the centre before it: each under its own subject, the deepest first.
//!
//! Versions are numbers of one registry: those of the centre take the place of the local ones. They are asked for
//! anew whenever a referring schema is paired, so that a crash half way, or a version that was deleted at
//! the centre, needs nothing to be remembered.

use super::schema_id::{Asked, Known};
use shared::error::{Context, Error, Kind, Result};
use shared::registry::{Reference, Registry};
use std::collections::HashMap;
use tokio::runtime::Handle;

/// As many as the local registry takes for one schema, those that they need in turn included.
const MAX_NEEDED: usize = 200;

/// Registers what `references` name, by local versions; gives them with the centre's versions.
///
/// # Errors
/// `Data`: the local registry lacks one. Else as the central registry says.
pub fn central(
    central: &Registry,
    known: &Known,
    references: &[Reference],
    runtime: &Handle,
) -> Result<Vec<Reference>> {
    Walk { central, known, runtime, done: HashMap::new() }.all(references, 0)
}

struct Walk<'a> {
    central: &'a Registry,
    known: &'a Known,
    runtime: &'a Handle,
    /// Subject and local version → central version.
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
        let Reference { subject, version: local, .. } = reference;
        if let Some(version) = self.done.get(&(subject.clone(), *local)) {
            return Ok(*version);
        }
        if depth >= MAX_NEEDED || self.done.len() >= MAX_NEEDED {
            let what = format!("a schema refers to more than {MAX_NEEDED} others");
            return Err(Error::new(Kind::Data, what).remedy("write some of its types into the schema itself"));
        }
        let schema = (self.known)(Asked::Version(subject, *local))?.ok_or_else(|| {
            let what = format!("a schema refers to version {local} of subject {subject}, which is not here");
            Error::new(Kind::Data, what).remedy("register it again at the agent's registry")
        })?;
        let references = self.all(&schema.references, depth + 1)?;
        let registered = async {
            self.central.register_with(subject, &schema.text, &references).await?;
            self.central.version_of(subject, &schema.text, &references).await
        };
        let version = self.runtime.block_on(registered).doing(|| {
            format!("bring {subject} version {local}, which others refer to, to the central registry")
        })?;
        tracing::info!(
            event = "forward_reference_paired",
            subject,
            local,
            central = version,
            "a schema that others refer to is known at the centre"
        );
        self.done.insert((subject.clone(), *local), version);
        Ok(version)
    }
}
