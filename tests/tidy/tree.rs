//! The repository's files.

use std::path::{Path, PathBuf};
use std::process::Command;

/// One text file: its path from the repository's root with forward slashes, and its text.
#[derive(Debug)]
pub struct File {
    pub path: String,
    pub text: String,
}

/// The folder that holds the workspace's manifest.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All Rust files.
pub fn rust() -> Vec<File> {
    let files: Vec<File> = all().into_iter().filter(|file| file.path.ends_with(".rs")).collect();
    assert!(files.len() > 20, "the walk found too few files to be right: {}", files.len());
    files
}

/// All text files but the lock file, which names what it must.
pub fn all() -> Vec<File> {
    let read = |path: String| Some(File { text: std::fs::read_to_string(root().join(&path)).ok()?, path });
    paths().into_iter().filter(|path| path != "Cargo.lock").filter_map(read).collect()
}

/// What git has or would take: what a person's tools leave beside it is no part of the repository.
pub fn paths() -> Vec<String> {
    let mut git = Command::new("git");
    git.current_dir(root()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().expect("git can be run");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let list = String::from_utf8_lossy(&output.stdout).into_owned();
    list.split('\0').filter(|path| !path.is_empty()).map(str::to_owned).collect()
}
