//! Moves a damaged file out of the way, with what lies beside it: nothing of it is ever removed.

use super::open::beside;
use shared::error::{Context, OrKind};
use shared::time::Clock;
use shared::{Kind, Result};
use std::path::{Path, PathBuf};

/// SQLite's companions of a file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Renames `agent.db` to `agent.db.damaged-<time>`; gives back the new name.
pub fn move_away(path: &Path) -> Result<PathBuf> {
    let to = free_name(path);
    let rename = |from: &Path, to: &Path| match std::fs::rename(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    // The file first: should we be stopped in between, a log without its file is noticed.
    let moved = rename(path, &to).and_then(|()| {
        COMPANIONS.iter().try_for_each(|suffix| rename(&beside(path, suffix), &beside(&to, suffix)))
    });
    moved.and_then(|()| sync_folder(path)).or_kind(Kind::Config).doing(|| "move the damaged file aside")?;
    Ok(to)
}

fn free_name(path: &Path) -> PathBuf {
    let seconds = Clock::System.now().millis() / 1_000;
    let time =
        jiff::Timestamp::from_second(seconds).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string();
    let name = |number: u32| match number {
        0 => beside(path, &format!(".damaged-{time}")),
        _ => beside(path, &format!(".damaged-{time}-{number}")),
    };
    (0..).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(u32::MAX))
}

/// Makes renames in the file's folder durable.
pub fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder)?.sync_all()
}
