//! The repository's files.

use std::path::{Path, PathBuf};

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
    let mut files = Vec::new();
    walk(&root(), "", &mut files);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

fn walk(folder: &Path, prefix: &str, files: &mut Vec<File>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository can be read").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = format!("{prefix}{name}");
        if matches!(name.as_str(), ".git" | "target" | "Cargo.lock") {
            continue;
        }
        if entry.path().is_dir() {
            walk(&entry.path(), &format!("{path}/"), files);
        } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
            files.push(File { path, text });
        }
    }
}
