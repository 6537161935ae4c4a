//! Group commit, savepoints, rollbacks, and files that must not be touched.

use super::*;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("tidegate-db-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("temporary folder");
        Folder(folder)
    }

    fn config(&self) -> DbConfig {
        DbConfig { path: self.0.join("agent.db"), ..DbConfig::default() }
    }

    fn open(&self) -> Db {
        Db::open(&self.config()).expect("opens")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn put(transaction: &Transaction<'_>, name: &str) -> Result<()> {
    transaction.execute("INSERT INTO buffer_meta (name, value) VALUES (?, 1)", [name]).map(drop).or_db("put")
}

fn names(db: &Db) -> Vec<String> {
    let reader = db.reader().expect("opens");
    let mut statement = reader.prepare("SELECT name FROM buffer_meta ORDER BY name").expect("valid");
    let names = statement.query_map([], |row| row.get(0)).expect("reads");
    names.collect::<rusqlite::Result<_>>().expect("texts")
}

#[test]
fn what_fails_is_undone_alone() {
    let folder = Folder::new("alone");
    let db = folder.open();
    let pause = db.clone();
    // All of these wait behind one that takes its time, and so share a group.
    let slow = std::thread::spawn(move || {
        pause.write(|_| {
            std::thread::sleep(std::time::Duration::from_millis(100));
            Ok(())
        })
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    let threads: Vec<_> = (0..20)
        .map(|number| {
            let db = db.clone();
            std::thread::spawn(move || {
                db.write(move |transaction| {
                    put(transaction, &format!("{number:02}"))?;
                    match number % 3 {
                        0 => Err(Error::new(Kind::Data, "refused")),
                        _ => Ok(number),
                    }
                })
            })
        })
        .collect();
    slow.join().expect("runs").expect("commits");
    for (number, thread) in threads.into_iter().enumerate() {
        let answer = thread.join().expect("runs");
        match number % 3 {
            0 => assert_eq!(answer.expect_err("failed").kind(), Kind::Data),
            _ => assert_eq!(answer.expect("commits"), number),
        }
    }
    let want: Vec<String> = (0..20).filter(|n| n % 3 != 0).map(|n| format!("{n:02}")).collect();
    assert_eq!(names(&db), want);
}

struct Counting(Arc<[AtomicUsize; 3]>);

impl Follower for Counting {
    fn before_commit(&mut self, _: &Transaction<'_>) -> Result<()> {
        self.0[0].fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
    fn committed(&mut self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }
    fn rolled_back(&mut self, _: &Error) {
        self.0[2].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_full_file_fails_the_group_and_the_next_goes_on() {
    let folder = Folder::new("full");
    let config = DbConfig { max_file_bytes: 500_000, ..folder.config() };
    let db = Db::open(&config).expect("opens");
    let counts = Arc::new([const { AtomicUsize::new(0) }; 3]);
    db.follow(Box::new(Counting(Arc::clone(&counts)))).expect("queued");
    let error = db
        .write(|transaction| {
            transaction
                .execute("INSERT INTO buffer_meta (name, value) VALUES ('big', zeroblob(1000000))", [])
                .or_db("put")
        })
        .expect_err("does not fit");
    assert_eq!(error.kind(), Kind::Full, "{error}");
    db.write(|transaction| put(transaction, "small")).expect("commits");
    assert_eq!(names(&db), ["small"]);
    assert_eq!(counts[1].load(Ordering::Relaxed) + counts[2].load(Ordering::Relaxed), 2);
}

#[test]
fn commits_are_there_after_a_restart() {
    let folder = Folder::new("restart");
    for round in 0..3 {
        let db = folder.open();
        db.write(move |transaction| put(transaction, &format!("{round}"))).expect("commits");
    }
    assert_eq!(names(&folder.open()), ["0", "1", "2"]);
}

#[test]
fn readers_cannot_write() {
    let folder = Folder::new("reader");
    let db = folder.open();
    let reader = db.reader().expect("opens");
    assert!(reader.execute("DELETE FROM buffer_meta", []).is_err());
}

#[tokio::test]
async fn async_writes_and_reads() {
    let folder = Folder::new("async");
    let db = folder.open();
    db.write_async(|transaction| put(transaction, "a")).await.expect("commits");
    let count: i64 = db
        .readers(2)
        .run(|reader| reader.query_row("SELECT count(*) FROM buffer_meta", [], |r| r.get(0)).or_db("count"))
        .await
        .expect("reads");
    assert_eq!(count, 1);
}

/// What stands in the place of the file is never overwritten, and the error says what to do.
#[test]
fn other_files_are_not_touched() {
    type Prepare = fn(&std::path::Path);
    let cases: &[(&str, Prepare, Kind, &str)] = &[
        ("garbage", |path| std::fs::write(path, vec![b'x'; 9_000]).expect("writes"), Kind::Lost, "backup"),
        ("another program's", foreign, Kind::Config, "place of its own"),
        ("newer layout", newer, Kind::Config, "newer"),
        ("file gone, log left", orphan, Kind::Lost, "-wal"),
    ];
    for (name, prepare, kind, remedy) in cases {
        let folder = Folder::new("foreign");
        let path = folder.config().path;
        prepare(&path);
        let before = std::fs::read(&path).ok();
        let error = Db::open(&folder.config()).err().unwrap_or_else(|| panic!("{name} was opened"));
        assert_eq!(error.kind(), *kind, "{name}: {error}");
        assert!(error.hint().contains(remedy), "{name}: {}", error.hint());
        assert!(error.to_string().contains("agent.db"), "{name}: {error}");
        assert!(std::fs::read(&path).ok() == before, "{name} was changed");
    }
}

fn foreign(path: &std::path::Path) {
    let other = Connection::open(path).expect("opens");
    other.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 3;").expect("writes");
}

fn newer(path: &std::path::Path) {
    drop(Db::open(&DbConfig { path: path.to_owned(), ..DbConfig::default() }).expect("opens"));
    let connection = Connection::open(path).expect("opens");
    connection.execute_batch("PRAGMA user_version = 9999; PRAGMA journal_mode = DELETE;").expect("writes");
}

fn orphan(path: &std::path::Path) {
    std::fs::write(path.with_extension("db-wal"), b"frames").expect("writes");
}

#[test]
fn a_second_agent_is_kept_out() {
    let folder = Folder::new("second");
    let first = folder.open();
    let error = Db::open(&folder.config()).err().expect("is locked");
    assert!(error.to_string().contains("another process"), "{error}");
    drop(first);
    folder.open();
}

#[test]
fn a_missing_folder_is_named() {
    let folder = Folder::new("missing");
    let config = DbConfig { path: folder.0.join("no/such/agent.db"), ..DbConfig::default() };
    let error = Db::open(&config).err().expect("cannot be made");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("no/such/agent.db"), "{error}");
}
