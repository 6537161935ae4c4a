//! The real Feast SDK, reading what the agent wrote to Redis.

use crate::shop::{Answer, USERS};
use serde_json::Value;
use stack::folder::Folder;
use stack::{Feast, Redis};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

const NAMES: [&str; 6] = ["count_10m", "sum_10m", "avg_spend_10m", "min_10m", "max_10m", "last_10m"];

/// A Python process that holds a `FeatureStore` and answers a line with a line.
pub struct Reader {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
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
        let mut apply = feast.command();
        apply.args(["-m", "feast.cli.cli", "apply"]).current_dir(folder.path());
        let applied = apply.output().expect("feast apply runs");
        assert!(applied.status.success(), "feast apply: {}", String::from_utf8_lossy(&applied.stderr));
        let mut command = feast.command();
        command.arg(source.join("read.py")).arg(folder.path()).current_dir(folder.path());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the reader starts");
        let questions = child.stdin.take().expect("its input");
        let answers = BufReader::new(child.stdout.take().expect("its output"));
        let mut reader = Reader { child, questions, answers, _folder: folder };
        assert_eq!(reader.line(), "ready");
        reader
    }

    /// The features of users 1 to [`USERS`].
    pub fn ask(&mut self) -> Answer {
        let ids: Vec<i64> = (1..=USERS).collect();
        writeln!(self.questions, "{}", serde_json::json!(ids)).expect("ask Feast");
        let answer: Value = serde_json::from_str(&self.line()).expect("Feast answers JSON");
        (0..ids.len()).map(|n| NAMES.map(|name| answer[name][n].as_f64())).collect()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("Feast answers");
        line.trim().to_owned()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It ends by itself when its input closes; nothing is lost if it is killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
