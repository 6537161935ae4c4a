//! Other ways in, as people use them: Feast's own client pushing, files read while the reader is killed.

use rusqlite::OpenFlags;
use serde_json::Value;
use stack::folder::Folder;
use stack::{Feast, http};
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use support::{Binary, Launch, eventually, topics};

const LIMIT: Duration = Duration::from_secs(60);

const VIEW: &str = r#"
[db]
path = "agent.db"
[[feature_view]]
name = "pushed_spend"
topic = "pushed.spend"
entity = ["user_id"]
time = "event_timestamp"
feature = [ { name = "spend", aggregate = "last", of = "spend" } ]
"#;

#[test]
fn feasts_client_pushes_and_reads_back() {
    let feast = Feast::install().expect("Feast is there");
    let folder = Folder::new("push").expect("a folder");
    let mut launch = Launch::new(Binary::Agent, VIEW).expect("a launch");
    let features = stack::port::free().expect("a free port");
    for (key, port) in [
        ("door.listen", stack::port::free()),
        ("registry.listen", stack::port::free()),
        ("push.listen", stack::port::free()),
        ("features.listen", Ok(features)),
    ] {
        launch.set(key, format!("127.0.0.1:{}", port.expect("a free port")));
    }
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("it is ready");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/ways/push.py");
    let (home, address) = (folder.path().display().to_string(), format!("http://127.0.0.1:{features}"));
    let said = feast.run(folder.path(), &script, &[&home, &address]).expect("it ends well");
    assert_eq!(said.lines().last(), Some("ok"), "{said}");
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

/// Killed again and again as soon as some more of it is stored: each row is in the log once, in order.
#[test]
fn a_file_is_in_the_log_exactly_once_in_spite_of_kills() {
    const ROWS: usize = 300_000;
    let mut launch = Launch::new(Binary::Agent, "[db]\npath = \"agent.db\"\n").expect("a launch");
    launch.allow(&["door_coordinator_refused"]);
    let mut text = "id,name,amount\n".to_owned();
    for id in 0..ROWS {
        writeln!(text, "{id},\"name, of {id}\",{}.5", id % 1_000).expect("in memory");
    }
    let file = launch.folder().join("rows.csv");
    std::fs::write(&file, text).expect("written");
    let read = || {
        let mut command = Command::new(Binary::Agent.path().expect("the agent"));
        command.current_dir(launch.folder()).args([
            "ingest",
            "-c",
            "config.toml",
            "--set",
            "log.level=error",
        ]);
        command.args(["--topic", "backfill", "--key", "id"]).arg(&file).stdout(Stdio::null());
        command.spawn().expect("it starts")
    };
    let db = launch.folder().join("agent.db");
    let mut kills = 0;
    loop {
        let mut child = read();
        let before = place(&db);
        let ended = eventually(LIMIT, "it goes on or ends", || {
            let ended = child.try_wait().expect("its state");
            (ended.is_some() || place(&db) > before).then_some(ended)
        });
        if let Some(status) = ended {
            assert!(status.success(), "{status}");
            break;
        }
        std::thread::sleep(Duration::from_millis(fastrand::u64(0..250)));
        child.kill().expect("kill -9");
        child.wait().expect("it is gone");
        kills += 1;
    }
    println!("{kills} kills");
    assert!(kills > 2, "it was killed on its way: {kills}");
    let door = stack::port::free().expect("a free port");
    for (key, port) in [
        ("door.listen", Ok(door)),
        ("registry.listen", stack::port::free()),
        ("features.listen", stack::port::free()),
    ] {
        launch.set(key, format!("127.0.0.1:{}", port.expect("a free port")));
    }
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("it is ready");
    let bootstrap = format!("127.0.0.1:{door}");
    assert_eq!(topics::total(&bootstrap, "backfill"), ROWS as i64, "after {kills} kills");
    let records = topics::read(&bootstrap, "backfill").remove("backfill").expect("the topic");
    let ids = records.iter().map(|record| {
        let mut key = record.key.as_deref().and_then(|key| key.get(5..)).expect("a framed key");
        shared::avro::wire::take_long(&mut key).expect("a number")
    });
    assert!(ids.eq(0..ROWS as i64), "each once, in order");
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}

/// How far the file is in the log, in bytes; nothing while there is no log yet.
fn place(db: &Path) -> i64 {
    let Ok(db) = rusqlite::Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_ONLY) else {
        return 0;
    };
    db.query_row("SELECT place FROM file_position", [], |row| row.get(0)).unwrap_or(0)
}

/// A watched folder and records over HTTP, in one running agent.
#[test]
fn a_watched_folder_and_http_fill_topics() {
    let spool = Folder::new("spool").expect("a folder");
    let text = format!(
        "[db]\npath = \"agent.db\"\n[[files]]\npath = \"{}/*.jsonl\"\ntopic = \"spooled\"\nsettle = \"100ms\"\n
         [[push.topic]]\nname = \"pushed.*\"\nschema = \"derive\"\nkey = [\"id\"]\n",
        spool.path().display()
    );
    let mut launch = Launch::new(Binary::Agent, &text).expect("a launch");
    launch.allow(&["door_coordinator_refused", "file_stopped"]);
    let (door, push) = (stack::port::free().expect("a port"), stack::port::free().expect("a port"));
    for (key, port) in [
        ("door.listen", Ok(door)),
        ("push.listen", Ok(push)),
        ("registry.listen", stack::port::free()),
        ("features.listen", stack::port::free()),
    ] {
        launch.set(key, format!("127.0.0.1:{}", port.expect("a free port")));
    }
    let mut agent = launch.start().expect("the agent starts");
    agent.wait_ready(LIMIT).expect("it is ready");
    let bootstrap = format!("127.0.0.1:{door}");
    std::fs::write(spool.path().join("a.jsonl"), "{\"id\":1}\n{\"id\":2}\n").expect("written");
    eventually(LIMIT, "the file's rows are there", || {
        (topics::total(&bootstrap, "spooled") == 2).then_some(())
    });
    std::fs::write(spool.path().join("b.jsonl"), "{\"id\":3}\n{\"id\":\"x\"}\n").expect("written");
    agent.wait_event("file_stopped", LIMIT).expect("it says which row is bad");
    assert_eq!(topics::total(&bootstrap, "spooled"), 3, "what stands before it is stored");
    let url = format!("http://127.0.0.1:{push}/topics/pushed.clicks");
    let answer = http::post(&url, &serde_json::json!([{"id": 1, "page": "a"}, {"id": 2, "page": null}]));
    let answer: Value = answer.and_then(http::Answer::json).expect("it is taken");
    assert_eq!(answer["records"], 2, "{answer}");
    assert_eq!(topics::total(&bootstrap, "pushed.clicks"), 2);
    assert_eq!(agent.stop().expect("the agent stops"), 0);
}
