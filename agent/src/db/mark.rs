//! The lock beside the file: keeps a second agent out, and tells the next start how this one ended.
//!
//! ```text
//! recovering <file>   a new file is being filled from that damaged one: a start goes on with it
//! running <boot>      while an agent has the file open; still there after a kill or a power cut
//! stopped <length>    after a clean stop: one file of this length, nothing in a write-ahead log
//! ```

use shared::error::OrKind;
use shared::{Error, Kind, Result};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How the last agent left the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Cleanly, and nobody changed the file since.
    Cleanly,
    /// Killed, or by a power cut if the machine has started since.
    Abruptly { same_boot: bool },
    /// The file came from elsewhere, or an older version wrote it.
    Unknown,
}

/// Held while the file is open.
pub struct Mark {
    file: File,
    ended: Ended,
    had_file: bool,
    recovering: Option<PathBuf>,
}

impl Mark {
    /// Takes the lock at `path`; `length` is that of the database file.
    ///
    /// # Errors
    /// `Config` if another process holds it, or the folder cannot be written to.
    pub fn take(path: &Path, length: u64) -> Result<Mark> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .or_kind(Kind::Config)
            .map_err(|e| e.remedy("the folder must exist and be writable for the agent"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(Kind::Config, "another process has it open")
                    .remedy("stop the other agent, or give this one its own db.path"));
            }
            Err(TryLockError::Error(error)) => return Err(Error::from_source(Kind::Config, error)),
        }
        let mut text = String::new();
        // Not text: not ours to understand.
        let _ = file.read_to_string(&mut text);
        let ended = read(&text, length, &boot());
        let had_file = text.starts_with("running") || text.starts_with("stopped");
        let recovering = text.trim_end().strip_prefix("recovering ").map(PathBuf::from);
        Ok(Mark { file, ended, had_file, recovering })
    }

    pub fn ended(&self) -> Ended {
        self.ended
    }

    /// Whether a database was here before.
    pub fn had_file(&self) -> bool {
        self.had_file
    }

    /// The damaged file from which this one has still to be filled.
    pub fn recovering(&self) -> Option<&Path> {
        self.recovering.as_deref()
    }

    /// The database was moved to `aside`; the new one is not whole before all that is sound is in it.
    pub fn recover(&mut self, aside: &Path) -> Result<()> {
        (self.ended, self.had_file) = (Ended::Unknown, false);
        self.write(&format!("recovering {}\n", aside.display())).or_kind(Kind::Full)?;
        self.recovering = Some(aside.to_owned());
        Ok(())
    }

    /// From now on a stop without [`Mark::stopped`] was abrupt.
    pub fn running(&mut self) -> Result<()> {
        self.recovering = None;
        self.write(&format!("running {}\n", boot())).or_kind(Kind::Full)
    }

    /// The file is whole and closed, `length` bytes long.
    pub fn stopped(&mut self, length: u64) -> std::io::Result<()> {
        match self.recovering {
            Some(_) => Ok(()),
            None => self.write(&format!("stopped {length}\n")),
        }
    }

    fn write(&mut self, text: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_all()
    }
}

fn read(text: &str, length: u64, boot: &str) -> Ended {
    match text.trim_end().split_once(' ') {
        Some(("running", then)) => Ended::Abruptly { same_boot: then == boot },
        Some(("stopped", then)) if then.parse() == Ok(length) => Ended::Cleanly,
        _ => Ended::Unknown,
    }
}

/// A name that changes with each start of the machine.
fn boot() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    match id.trim() {
        "" => "unknown".to_owned(),
        id => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_how_the_last_one_ended() {
        for (text, want) in [
            ("", Ended::Unknown),
            ("running b1\n", Ended::Abruptly { same_boot: true }),
            ("running b0\n", Ended::Abruptly { same_boot: false }),
            ("stopped 8192\n", Ended::Cleanly),
            ("stopped 4096\n", Ended::Unknown),
            ("stop", Ended::Unknown),
        ] {
            assert_eq!(read(text, 8_192, "b1"), want, "{text:?}");
        }
    }
}
