//! What the registry knows already, fetched before it is asked for: a restart with thousands of tables
//! would else wait for two answers at the first change of each.

use sha2::{Digest, Sha256};
use shared::avro::wire::SchemaId;
use shared::error::Result;
use shared::registry::Registry;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

/// Requests at a time: a registry serves others too.
const AT_A_TIME: usize = 4;
/// Subjects fetched at most.
const SUBJECTS: usize = 16_384;
/// Answers that wait to be taken over.
const WAITING: usize = 256;

/// A subject and a schema's text in few bytes.
pub type Print = [u8; 32];

pub fn print(subject: &str, schema: &str) -> Print {
    Sha256::new().chain_update(subject).chain_update([0]).chain_update(schema).finalize().into()
}

/// The latest schema of each subject, as they come. Ends with this value.
#[derive(Debug)]
pub struct Warm {
    found: Receiver<(Print, SchemaId)>,
    _tasks: JoinSet<()>,
}

impl Warm {
    pub fn start(registry: &Registry, runtime: &Handle, prefix: &str) -> Warm {
        let (send, found) = channel(WAITING);
        let (registry, prefix) = (registry.clone(), prefix.to_owned());
        let mut tasks = JoinSet::new();
        let fetch = async move {
            // Whoever needs a schema that is not there asks again, and says what is wrong then.
            if let Err(error) = fetch(&registry, &prefix, &send).await {
                tracing::debug!(event = "schemas_not_fetched", %error, "schemas are asked for one by one");
            }
        };
        tasks.spawn_on(fetch, runtime);
        Warm { found, _tasks: tasks }
    }

    /// What has come meanwhile.
    pub fn next(&mut self) -> Option<(Print, SchemaId)> {
        self.found.try_recv().ok()
    }
}

async fn fetch(registry: &Registry, prefix: &str, send: &Sender<(Print, SchemaId)>) -> Result<()> {
    let subjects = registry.subjects(prefix).await?;
    let ours = subjects.into_iter().filter(|subject| subject.starts_with(prefix)).take(SUBJECTS);
    let (mut running, mut schemas) = (JoinSet::new(), 0);
    for subject in ours {
        if running.len() >= AT_A_TIME {
            running.join_next().await;
        }
        schemas += 1;
        let (registry, send) = (registry.clone(), send.clone());
        running.spawn(async move {
            if let Ok((id, schema)) = registry.latest(&subject).await {
                // Nobody listens once the connector ends.
                let _ = send.send((print(&subject, &schema), id)).await;
            }
        });
    }
    while running.join_next().await.is_some() {}
    tracing::info!(event = "schemas_fetched", schemas, "the registry's schemas are known");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_and_text_do_not_run_into_each_other() {
        assert_eq!(print("a", "b"), print("a", "b"));
        assert_ne!(print("ab", "c"), print("a", "bc"));
    }
}
