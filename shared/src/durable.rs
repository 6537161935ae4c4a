//! Writing a file so that it survives a power cut: temporary, sync, rename, sync folder.

use crate::error::{Context, Kind, OrKind, Result};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Replaces `path` by `content`; afterwards the old or the new content is on disk, never a mix. Owner and
/// permissions stay, as far as this process may give a file away.
pub fn write(path: &Path, content: &[u8]) -> Result<()> {
    replace(path, content)
        .map_err(|e| {
            let kind =
                if e.kind() == std::io::ErrorKind::StorageFull { Kind::Full } else { Kind::Unreachable };
            Err::<(), _>(e).or_kind(kind).expect_err("is an error")
        })
        .doing(|| format!("write {}", path.display()))
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let temporary: PathBuf = folder.join(name);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?;
    if let Ok(before) = std::fs::metadata(path) {
        file.set_permissions(before.permissions())?;
        let _ = std::os::unix::fs::fchown(&file, Some(before.uid()), Some(before.gid()));
    }
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #[test]
    fn replaces_and_names_the_path() {
        let folder = std::env::temp_dir().join(format!("tidegate-durable-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let path = folder.join("offsets.json");
        super::write(&path, b"one").expect("first");
        super::write(&path, b"two").expect("second");
        assert_eq!(std::fs::read(&path).expect("written"), b"two");
        let error = super::write(&folder.join("no/such/x"), b"").expect_err("no folder");
        assert!(error.to_string().contains("no/such/x"), "{error}");
        std::fs::remove_dir_all(&folder).expect("clean up");
    }
}
