//! Both forms of the file.

use super::*;
use crate::model::position::{Lsn, PostgresPosition};

fn position(lsn: u64) -> Position {
    Position::Postgres(PostgresPosition {
        lsn: Lsn(lsn),
        commit_lsn: Some(Lsn(lsn)),
        transaction_id: Some(1),
        commit_time_us: 2,
        ..PostgresPosition::default()
    })
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("tidegate-offsets-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("temporary folder");
    folder
}

#[test]
fn a_file_gives_back_what_was_saved_and_knows_whose_it_is() {
    let folder = folder("json");
    let path = folder.join("offsets.json");
    let mut store = FileOffsets::new(&path, "orders", "shop");
    assert_eq!(store.load().expect("no file yet"), None);
    store.save(&position(5)).expect("saved");
    assert_eq!(store.load().expect("readable"), Some(position(5)));

    let error = FileOffsets::new(&path, "other", "shop").load().expect_err("another's file");
    assert_eq!(error.kind(), Kind::Config, "{error}");
    for content in [&b"{}"[..], b"", b"\0\0", &java_map::write(&[])[..20]] {
        std::fs::write(&path, content).expect("written");
        assert_eq!(store.load().expect_err("damaged").kind(), Kind::Lost, "{content:?}");
    }
    let mut nowhere = FileOffsets::new(&folder.join("no/such"), "orders", "shop");
    assert!(nowhere.save(&position(5)).expect_err("no folder").to_string().contains("no/such"));
    std::fs::remove_dir_all(&folder).expect("clean up");
}

#[test]
fn java_s_file_stays_java_s_and_keeps_what_is_others() {
    let folder = folder("java");
    let path = folder.join("offsets.dat");
    let other = (br#"["kafka",{"server":"plant"}]"#.to_vec(), Some(b"{}".to_vec()));
    let ours = (br#"["kafka",{"server":"shop"}]"#.to_vec(), Some(br#"{"lsn":7,"lsn_commit":7}"#.to_vec()));
    std::fs::write(&path, java_map::write(&[other.clone(), ours.clone()])).expect("written");
    let entries = || java_map::read(&std::fs::read(&path).expect("readable")).expect("a map");
    let mut store = FileOffsets::new(&path, "orders", "shop");
    assert_eq!(store.load().expect("readable").map(|position| position.lsn()), Some(Lsn(7)));
    store.save(&position(8)).expect("saved");
    let stored = format::value(&position(8)).to_string().into_bytes();
    assert_eq!(entries(), [other.clone(), (ours.0.clone(), Some(stored))]);

    // A worker that still runs writes what it has in memory.
    std::fs::write(&path, java_map::write(&[other, ours])).expect("written");
    let error = store.save(&position(9)).expect_err("somebody else writes");
    assert!(error.to_string().contains("another program writes there"), "{error}");

    let fresh = folder.join("fresh.dat");
    FileOffsets::java(&fresh, "orders", "shop").save(&position(1)).expect("saved");
    let written = java_map::read(&std::fs::read(&fresh).expect("readable")).expect("a map");
    assert_eq!(written.first().map(|(key, _)| key.as_slice()), Some(&br#"["orders",{"server":"shop"}]"#[..]));
    std::fs::remove_dir_all(&folder).expect("clean up");
}
