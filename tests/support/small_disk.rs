//! A disk that can be full.

use stack::Result;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A small file system in memory, gone when dropped.
pub struct SmallDisk {
    folder: stack::folder::Folder,
}

impl SmallDisk {
    /// `None`, and a word about it, where we may not mount: only root may. On CI that is a failure.
    ///
    /// # Panics
    /// On CI, if it cannot be mounted.
    pub fn new(mebibytes: u32) -> Result<Option<SmallDisk>> {
        let folder = stack::folder::Folder::new("disk")?;
        let size = format!("size={mebibytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).status();
        let disk = mounted.is_ok_and(|status| status.success()).then_some(SmallDisk { folder });
        if disk.is_none() {
            eprintln!("SKIPPED: a full disk needs the right to mount a small one");
            assert!(std::env::var_os("CI").is_none(), "on CI nothing is skipped");
        }
        Ok(disk)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Takes all that is left.
    pub fn fill(&self) -> std::io::Result<()> {
        let mut file = File::create(self.ballast())?;
        while file.write_all(&[0; 64 << 10]).is_ok() {}
        while file.write_all(&[0; 512]).is_ok() {}
        Ok(())
    }

    /// Gives it back.
    pub fn free(&self) -> std::io::Result<()> {
        std::fs::remove_file(self.ballast())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a database that is still open must not keep the test from ending.
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}
