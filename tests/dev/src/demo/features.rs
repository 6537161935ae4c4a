//! Asking for features as a model server would: from the agent's own door, or from Redis by the Feast SDK.

use serde_json::{Value, json};
use stack::error::Doing;
use stack::feast::Answering;
use stack::folder::Folder;
use stack::{Error, Feast, Redis, Result, http};
use std::path::Path;

const VIEW: &str = "user_spend";

/// The features of the view, in the order of all tables here.
pub const NAMES: [&str; 6] = ["count_10m", "sum_10m", "avg_spend_10m", "min_10m", "max_10m", "last_10m"];

/// One user's features; `None` is null.
pub type Values = [Option<f64>; 6];

/// Where to ask.
pub enum Features {
    /// `POST /get-online-features`, at this address.
    Agent(String),
    Feast(Box<Reader>),
}

impl Features {
    /// The features of users 1 to `users`.
    pub fn ask(&mut self, users: i64) -> Result<Vec<Values>> {
        let ids: Vec<i64> = (1..=users).collect();
        let columns = match self {
            Features::Agent(url) => from_agent(url, &ids)?,
            Features::Feast(reader) => reader.ask(&ids)?,
        };
        let value = |name: &str, user: usize| columns.get(name)?.as_array()?.get(user)?.as_f64();
        Ok((0..ids.len()).map(|user| NAMES.map(|name| value(name, user))).collect())
    }
}

/// A JSON object: feature → values in the order of the ids.
fn from_agent(url: &str, ids: &[i64]) -> Result<Value> {
    let names: Vec<String> = NAMES.iter().map(|name| format!("{VIEW}:{name}")).collect();
    let question = json!({ "features": names, "entities": { "user_id": ids } });
    let answer = http::post(url, &question)?.json().doing(|| "ask the agent for features".to_owned())?;
    columns(&answer).ok_or_else(|| Error::new("the agent's answer has not the shape of Feast's"))
}

/// Feast's shape: names in the metadata, and for each the values of all entities.
fn columns(answer: &Value) -> Option<Value> {
    let names = answer.get("metadata")?.get("feature_names")?;
    let names = names.get("val").unwrap_or(names).as_array()?;
    let results = answer.get("results")?.as_array()?;
    let column = |(name, result): (&Value, &Value)| {
        let name = name.as_str()?.rsplit("__").next()?.to_owned();
        Some((name, result.get("values")?.clone()))
    };
    names.iter().zip(results).map(column).collect::<Option<serde_json::Map<_, _>>>().map(Value::Object)
}

/// The Feast SDK, on the files of the end-to-end test.
pub struct Reader {
    feast: Answering,
    _folder: Folder,
}

impl Reader {
    pub fn start(redis: &Redis) -> Result<Reader> {
        let (feast, folder) = (Feast::install()?, Folder::new("feast")?);
        lay(&folder, redis)?;
        feast.apply(folder.path(), &[])?;
        let feast = feast.answering(&source().join("read.py"), folder.path(), &[])?;
        Ok(Reader { feast, _folder: folder })
    }

    fn ask(&mut self, ids: &[i64]) -> Result<Value> {
        self.feast.ask(&json!(ids))
    }
}

fn source() -> std::path::PathBuf {
    crate::root().join("tests/e2e/feast")
}

/// Lays Feast's repository out in the folder.
fn lay(folder: &Folder, redis: &Redis) -> Result<()> {
    let read = |path: &Path| std::fs::read_to_string(path).doing(|| format!("read {}", path.display()));
    folder.inner("data")?;
    folder.write("definitions.py", &read(&source().join("definitions.py"))?)?;
    let store = read(&source().join("feature_store.yaml"))?;
    folder.write("feature_store.yaml", &store.replace("${REDIS_PORT}", &redis.port().to_string()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn feasts_shape_is_read() {
        let answer = json!({
            "metadata": { "feature_names": ["user_id", "count_10m"] },
            "results": [{ "values": [1, 2] }, { "values": [5, null] }],
        });
        assert_eq!(columns(&answer), Some(json!({ "user_id": [1, 2], "count_10m": [5, null] })));
        assert_eq!(columns(&json!({})), None);
    }
}
