//! The agent's file on a disk that keeps apart what is there and what is durable.
//!
//! SQLite itself writes, to a folder in memory. A copy of its files is what a process that is killed leaves
//! behind. What a power cut leaves lies between two copies, one before and one after a commit:
//!
//! ```text
//! write-ahead log: its head, synced ─> frames, synced ─> pages copied to the file, synced
//!                     └─ a cut: any sectors of what was being written, the rest as it was before
//! ```

use fastrand::Rng;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Disks write these whole.
const SECTOR: usize = 512;
/// What SQLite writes and syncs before the first frame of a log that begins anew.
const LOG_HEAD: usize = 32;

/// The bytes of the file and of its write-ahead log.
#[derive(Clone, Default)]
pub struct Image {
    file: Vec<u8>,
    log: Vec<u8>,
}

/// A folder that is gone with this value.
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    pub fn new(image: &Image) -> Disk {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = root.join(format!("tidegate-simulate-{}-{count}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let disk = Disk { folder };
        for (path, bytes) in [(disk.path(), &image.file), (disk.log_path(), &image.log)] {
            if !bytes.is_empty() {
                std::fs::write(path, bytes).expect("written");
            }
        }
        disk
    }

    pub fn path(&self) -> PathBuf {
        self.folder.join("agent.db")
    }

    /// The machine went down while an agent had the file open.
    pub fn went_down(&self) {
        std::fs::write(self.folder.join("agent.db.lock"), "running before\n").expect("written");
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("agent.db-wal")
    }

    /// What is there now.
    pub fn image(&self) -> Image {
        let read = |path| std::fs::read(path).unwrap_or_default();
        Image { file: read(self.path()), log: read(self.log_path()) }
    }
}

impl Image {
    /// Whether a checkpoint brought something into the file.
    pub fn same_file(&self, other: &Image) -> bool {
        self.file == other.file
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a power cut leaves between two states that one commit lies between.
pub fn torn(before: &Image, after: &Image, rng: &mut Rng) -> Image {
    let head = |image: &Image| image.log.get(..LOG_HEAD).map(<[u8]>::to_vec);
    let anew = head(before) != head(after);
    match rng.u32(0..4) {
        // Nothing, or only the head, which is synced before any frame.
        0 => {
            let mut image = before.clone();
            if anew && rng.bool() {
                overwrite(&mut image.log, &after.log, 0..LOG_HEAD);
            }
            image
        }
        1 | 2 => {
            let mut image = before.clone();
            if anew {
                overwrite(&mut image.log, &after.log, 0..LOG_HEAD);
            }
            image.log = mixed(&image.log, &after.log, rng);
            image
        }
        // The log is whole; what is copied to the file is not.
        _ => Image { file: mixed(&before.file, &after.file, rng), log: after.log.clone() },
    }
}

/// What a power cut leaves of a file whose commits are not synced one by one: `durable` was there at the last
/// checkpoint, which left the file itself as it is `now`; of the log that was written since, any sectors.
pub fn unsynced(durable: &Image, now: &Image, rng: &mut Rng) -> Image {
    let mut log = durable.log.clone();
    if durable.log.get(..LOG_HEAD) != now.log.get(..LOG_HEAD) {
        overwrite(&mut log, &now.log, 0..LOG_HEAD);
    }
    Image { file: now.file.clone(), log: mixed(&log, &now.log, rng) }
}

fn overwrite(bytes: &mut Vec<u8>, with: &[u8], range: std::ops::Range<usize>) {
    bytes.resize(bytes.len().max(range.end), 0);
    if let (Some(to), Some(from)) = (bytes.get_mut(range.clone()), with.get(range)) {
        to.copy_from_slice(from);
    }
}

/// Each sector as before or as after; the length anywhere in between.
fn mixed(before: &[u8], after: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = before.to_vec();
    let written = rng.u8(0..=100);
    for start in (0..after.len()).step_by(SECTOR) {
        let range = start..after.len().min(start + SECTOR);
        if before.get(range.clone()) != after.get(range.clone()) && rng.u8(0..100) < written {
            overwrite(&mut bytes, after, range);
        }
    }
    bytes
}
