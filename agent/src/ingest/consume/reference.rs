//! What a central schema refers to, brought into the local registry before it: each under its own subject.

use super::schema_id::Adopt;
use shared::error::{Context, Result};
use shared::registry::reference::{self, Sides};
use shared::registry::{Reference, Registry, Schema};
use tokio::runtime::Handle;

/// Adopts what `references` name, by the centre's versions; gives them with local versions.
///
/// # Errors
/// As the central registry says; `Rejected` for a schema that cannot be read here.
pub fn local(
    central: &Registry,
    adopt: &Adopt,
    references: &[Reference],
    runtime: &Handle,
) -> Result<Vec<Reference>> {
    reference::bring(&Down { central, adopt, runtime }, references)
}

struct Down<'a> {
    central: &'a Registry,
    adopt: &'a Adopt,
    runtime: &'a Handle,
}

impl Sides for Down<'_> {
    fn fetch(&self, subject: &str, central: u32) -> Result<Schema> {
        self.runtime.block_on(self.central.version(subject, central))
    }

    fn register(&self, subject: &str, central: u32, schema: &Schema) -> Result<u32> {
        let adopted = (self.adopt)(subject, schema)
            .doing(|| format!("register the centre's {subject} version {central}, which others refer to"))?;
        tracing::info!(
            event = "consume_reference_paired",
            subject,
            central,
            local = adopted.version,
            "a schema of the centre that others refer to is known here"
        );
        Ok(adopted.version)
    }
}
