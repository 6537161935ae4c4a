//! A thing without a room is a missing noun; and a drawer is no room.

use crate::assert_clean;
use crate::tree::{paths, rust};
use std::collections::BTreeSet;

const DRAWERS: &[&str] =
    &["util", "utils", "helper", "helpers", "common", "misc", "types", "manager", "handler", "handlers"];

/// What may lie at the top of the repository.
const TOP: &[&str] = &[
    ".cargo",
    ".ci",
    ".clippy.toml",
    ".config",
    ".deny.toml",
    ".github",
    ".gitattributes",
    ".gitignore",
    ".rustfmt.toml",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "agent",
    "config",
    "connector",
    "packaging",
    "shared",
    "tests",
];

#[test]
fn there_are_no_drawers() {
    let found: Vec<String> =
        rust().into_iter().map(|file| file.path).filter(|path| drawer(path).is_some()).collect();
    assert_clean("no module is called util, helpers, common, misc, types, manager, handler", &found);
}

fn drawer(path: &str) -> Option<&str> {
    path.split('/').map(|part| part.trim_end_matches(".rs")).find(|part| DRAWERS.contains(part))
}

#[test]
fn a_drawer_is_recognised_as_file_and_as_folder() {
    assert_eq!(drawer("agent/src/gate/helpers.rs"), Some("helpers"));
    assert_eq!(drawer("agent/src/common/mod.rs"), Some("common"));
    assert_eq!(drawer("agent/src/gate/rule.rs"), None);
}

#[test]
fn the_top_holds_only_what_is_listed() {
    let top: BTreeSet<String> =
        paths().iter().filter_map(|path| path.split('/').next()).map(str::to_owned).collect();
    let found: Vec<String> = top.into_iter().filter(|name| !TOP.contains(&name.as_str())).collect();
    assert_clean("the top of the repository holds only what tidy lists", &found);
}
