//! The real Feast SDK, reading what the agent wrote to Redis.

use crate::shop::{Answer, USERS};
use serde_json::json;
use stack::feast::Answering;
use stack::folder::Folder;
use stack::{Feast, Redis};
use std::path::Path;

const NAMES: [&str; 6] = ["count_10m", "sum_10m", "avg_spend_10m", "min_10m", "max_10m", "last_10m"];

/// The SDK, on a repository with the view.
pub struct Reader {
    feast: Answering,
    _folder: Folder,
}

impl Reader {
    pub fn start(redis: &Redis) -> Reader {
        let feast = Feast::install().expect("Feast is there");
        let folder = Folder::new("feast").expect("a folder");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/feast");
        let text = |name: &str| std::fs::read_to_string(source.join(name)).expect(name);
        folder.inner("data").expect("a folder");
        folder.write("definitions.py", &text("definitions.py")).expect("write");
        let store = text("feature_store.yaml").replace("${REDIS_PORT}", &redis.port().to_string());
        folder.write("feature_store.yaml", &store).expect("write");
        feast.apply(folder.path(), &[]).expect("feast apply");
        let feast = feast.answering(&source.join("read.py"), folder.path(), &[]).expect("the reader starts");
        Reader { feast, _folder: folder }
    }

    /// The features of users 1 to [`USERS`].
    pub fn ask(&mut self) -> Answer {
        let ids: Vec<i64> = (1..=USERS).collect();
        let answer = self.feast.ask(&json!(ids)).expect("Feast answers");
        (0..ids.len()).map(|n| NAMES.map(|name| answer[name][n].as_f64())).collect()
    }
}
