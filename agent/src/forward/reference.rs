//! What a schema refers to, brought to the centre before it: each under its own subject.

use super::schema_id::{Asked, Known};
use shared::error::{Context, Error, Kind, Result};
use shared::registry::reference::{self, Sides};
use shared::registry::{Reference, Registry, Schema};
use tokio::runtime::Handle;

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
    reference::bring(&Up { central, known, runtime }, references)
}

struct Up<'a> {
    central: &'a Registry,
    known: &'a Known,
    runtime: &'a Handle,
}

impl Sides for Up<'_> {
    fn fetch(&self, subject: &str, local: u32) -> Result<Schema> {
        let found = (self.known)(Asked::Version(subject, local))?.ok_or_else(|| {
            let what = format!("a schema refers to version {local} of subject {subject}, which is not here");
            Error::new(Kind::Data, what).remedy("register it again at the agent's registry")
        })?;
        Ok(Schema { text: found.text.to_string(), references: found.references })
    }

    fn register(&self, subject: &str, local: u32, schema: &Schema) -> Result<u32> {
        let Schema { text, references } = schema;
        let registered = async {
            self.central.register_with(subject, text, references).await?;
            self.central.version_of(subject, text, references).await
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
        Ok(version)
    }
}
