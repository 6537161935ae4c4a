//! What a machine may lack, fetched once by the ordinary package clients into the user's cache folder.
//!
//! A step owns a folder. It is done when its marker file, written last, names the same recipe; a folder
//! without it is a broken half and is made anew. A lock file keeps two processes off the same step. Files
//! are checked by the clients: Maven fails on a wrong checksum (`-C`), pip on a wrong hash.

pub mod apt;
pub mod go;
pub mod java;
pub mod maven;
pub mod python;

use crate::error::{Doing, Error, Result};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

const MARKER: &str = ".complete";

/// `$XDG_CACHE_HOME/tidegate`, else `~/.cache/tidegate`.
pub fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .ok_or_else(|| Error::new("no cache folder").remedy("set HOME or XDG_CACHE_HOME"))?;
    Ok(base.join("tidegate"))
}

/// Gives the folder `name` of the cache after making sure that it was filled by this `recipe` (the
/// versions and all else that decides its content).
pub fn step(name: &str, recipe: &str, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = cache()?.join(name);
    if is_complete(&folder, recipe) {
        return Ok(folder);
    }
    let _lock = lock(name)?;
    if is_complete(&folder, recipe) {
        return Ok(folder);
    }
    eprintln!("installing {name} into {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).doing(|| format!("remove the unfinished {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    fill(&folder).doing(|| format!("install {name}"))?;
    mark(&folder, recipe).doing(|| format!("install {name}"))?;
    Ok(folder)
}

/// Holds the lock `name` for as long as the file lives; waits for whoever holds it.
pub fn lock(name: &str) -> Result<File> {
    let folder = cache()?.join("lock");
    let path = folder.join(name);
    let what = || format!("lock {}", path.display());
    std::fs::create_dir_all(&folder).doing(what)?;
    let file = File::create(&path).doing(what)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            eprintln!("waiting for another process that is installing {name}");
            file.lock().doing(what)?;
        }
        Err(TryLockError::Error(error)) => return Err(error).doing(what),
    }
    Ok(file)
}

fn is_complete(folder: &Path, recipe: &str) -> bool {
    std::fs::read_to_string(folder.join(MARKER)).is_ok_and(|found| found == recipe)
}

/// By rename, so that a full disk or a power cut leaves no half marker.
fn mark(folder: &Path, recipe: &str) -> std::io::Result<()> {
    let fresh = folder.join(".complete.new");
    std::fs::write(&fresh, recipe)?;
    File::open(&fresh)?.sync_all()?;
    std::fs::rename(fresh, folder.join(MARKER))
}

/// Makes sure that what the programs build with is there, beside Rust and a C compiler: librdkafka is
/// built by make and links OpenSSL.
pub fn toolchain() -> Result<()> {
    apt::program("make", "make")?;
    apt::program("g++", "g++")?;
    let pkg_config = apt::program("pkg-config", "pkg-config")?;
    let openssl = || {
        let found = Command::new(&pkg_config).args(["--exists", "openssl"]).status();
        found.is_ok_and(|status| status.success()).then_some(())
    };
    apt::need(&["libssl-dev"], openssl)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    /// Story: a download that broke in the middle must not pass for a finished one.
    #[test]
    fn a_half_is_not_complete_and_a_new_recipe_is_another_step() {
        let folder = Folder::new("step").expect("temporary folder");
        std::fs::write(folder.path().join("half"), "x").expect("write");
        assert!(!is_complete(folder.path(), "a 1"));
        mark(folder.path(), "a 1").expect("mark");
        assert!(is_complete(folder.path(), "a 1"));
        assert!(!is_complete(folder.path(), "a 2"));
    }
}
