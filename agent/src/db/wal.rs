//! Looks at a write-ahead log before SQLite does: SQLite takes what is sound up to the first frame
//! that is not, and passes over the rest in silence. After a torn write that is right, for nobody
//! was told yes for it; after damage it would be a silent loss.
//!
//! ```text
//! header 32 │ frame │ frame │ commit ║ frame │ commit ║ …      ║: synced before the next frame
//!                      ^ broken        ^ follows a later commit: so what is broken was synced once
//! ```
//! Two things prove a loss. A frame behind the broken group that continues the checksum of a later
//! commit; and the index beside the file (`-shm`), which counts a frame only after it was synced.
//! With `synchronous = "normal"` commits are synced with the next checkpoint only, and a power cut may leave
//! any of what came after it: then neither is proof, and what is sound up to the first broken frame counts.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The index has two copies of a head of this size, and then how far it was brought into the file.
const INDEX_HEAD_BYTES: usize = 48;
/// What a file of this format begins with; the last bit tells the order of the checksum's bytes.
const MAGIC: u32 = 0x377f_0682;

/// What the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// No log, or one that ends as it should; a torn end counts as such.
    Sound,
    /// Commits that were durable are gone.
    Lost(String),
    /// Commits are gone that nobody had made durable.
    Torn(String),
}

type Sum = (u32, u32);

/// Examines the log at `wal`, with the index at `index` if that can be believed.
///
/// `same_boot`: the index was not left behind by a power cut, so also its absence from the log is proof.
/// `unsynced`: commits were not synced one by one, and there was a power cut.
pub fn examine(wal: &Path, index: &Path, same_boot: bool, unsynced: bool) -> std::io::Result<Finding> {
    let index = std::fs::read(index).ok().and_then(|bytes| Index::read(&bytes));
    let Some(scan) = Scan::of(wal)? else {
        // Nothing there, or not even a header.
        return Ok(match index {
            Some(index) if same_boot && index.frames > index.in_file => {
                Finding::Lost(format!("the write-ahead log with {} frames is gone", index.frames))
            }
            _ => Finding::Sound,
        });
    };
    Ok(match judge(&scan, index.as_ref(), same_boot) {
        // The head is synced before the first frame in any case.
        Finding::Lost(what) if unsynced && scan.salts.is_some() => Finding::Torn(what),
        found => found,
    })
}

fn judge(scan: &Scan, index: Option<&Index>, same_boot: bool) -> Finding {
    let in_file = |index: &&Index| index.frames <= index.in_file;
    if scan.salts.is_none() && scan.has_frames && !index.as_ref().is_some_and(|i| same_boot && in_file(i)) {
        return Finding::Lost("the head of the write-ahead log is damaged".to_owned());
    }
    if scan.later_commit {
        return Finding::Lost(format!("the write-ahead log is damaged behind frame {}", scan.committed));
    }
    // What the log still has hides newer pages of the file, also when all of it was brought there; only
    // a log that is empty hides nothing.
    let hidden = |index: &Index| index.frames > scan.committed && scan.committed > 0;
    match index {
        Some(index) if hidden(index) || index.frames > index.in_file.max(scan.committed) => {
            let same_log = scan.salts == Some(index.salts);
            match same_log || same_boot {
                true => Finding::Lost(format!(
                    "the write-ahead log ends with frame {}, there were {}",
                    scan.committed, index.frames
                )),
                false => Finding::Sound,
            }
        }
        _ => Finding::Sound,
    }
}

/// What the log itself tells.
#[derive(Debug, Default)]
struct Scan {
    /// `None` if the header is damaged.
    salts: Option<[u8; 8]>,
    has_frames: bool,
    /// Frames up to the last commit that is sound.
    committed: u32,
    /// Behind what is broken stands a later commit.
    later_commit: bool,
}

impl Scan {
    fn of(path: &Path) -> std::io::Result<Option<Scan>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut file = BufReader::with_capacity(1 << 18, file);
        let mut header = [0; HEADER_BYTES];
        if !fill(&mut file, &mut header)? {
            return Ok(None);
        }
        let Some((page_bytes, big_endian)) = sound_header(&header) else {
            let mut rest = [0; FRAME_HEADER_BYTES];
            return Ok(Some(Scan { has_frames: fill(&mut file, &mut rest)?, ..Scan::default() }));
        };
        let mut scan = Scan { salts: eight(&header, 16), ..Scan::default() };
        scan.frames(&mut file, page_bytes, big_endian, pair(&header, 24))?;
        Ok(Some(scan))
    }

    fn frames(
        &mut self,
        file: &mut impl Read,
        page_bytes: usize,
        big_endian: bool,
        head: Sum,
    ) -> std::io::Result<()> {
        let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes];
        let (mut before, mut sound, mut number) = (head, true, 0);
        let mut behind_commit = false;
        while fill(file, &mut frame)? {
            self.has_frames = true;
            number += 1;
            let ours = eight(&frame, 8) == self.salts;
            let mut sum = checksum(frame.get(..8).unwrap_or_default(), big_endian, before);
            sum = checksum(frame.get(FRAME_HEADER_BYTES..).unwrap_or_default(), big_endian, sum);
            let follows = ours && sum == pair(&frame, 16);
            sound &= follows;
            let commits = ours && u32_at(&frame, 4) != 0;
            if sound && commits {
                self.committed = number;
            }
            // A frame that continues a commit's checksum was written after that commit was synced.
            self.later_commit |= !sound && behind_commit && follows;
            behind_commit = !sound && commits;
            before = pair(&frame, 16);
        }
        Ok(())
    }
}

/// Page size and order of bytes of a sound header.
fn sound_header(header: &[u8]) -> Option<(usize, bool)> {
    let magic = u32_at(header, 0);
    let page_bytes = u32_at(header, 8);
    let sound = magic & !1 == MAGIC && page_bytes.is_power_of_two() && (512..=65_536).contains(&page_bytes);
    let big_endian = magic & 1 == 1;
    let sum = checksum(header.get(..24)?, big_endian, (0, 0));
    (sound && sum == pair(header, 24)).then_some((page_bytes as usize, big_endian))
}

/// The head of the index: only two equal, sound copies count.
struct Index {
    salts: [u8; 8],
    frames: u32,
    /// Frames that were brought into the file.
    in_file: u32,
}

impl Index {
    fn read(bytes: &[u8]) -> Option<Index> {
        let (first, rest) = bytes.split_at_checked(INDEX_HEAD_BYTES)?;
        let (second, rest) = rest.split_at_checked(INDEX_HEAD_BYTES)?;
        let native = |bytes: &[u8], at: usize| {
            bytes.get(at..).and_then(|rest| rest.first_chunk()).map(|four| u32::from_ne_bytes(*four))
        };
        let sum = checksum(first.get(..40)?, cfg!(target_endian = "big"), (0, 0));
        let sound = first == second && first.get(12) == Some(&1);
        if !sound || (native(first, 40)?, native(first, 44)?) != sum {
            return None;
        }
        Some(Index { salts: eight(first, 32)?, frames: native(first, 16)?, in_file: native(rest, 0)? })
    }
}

/// SQLite's sum over pairs of words.
fn checksum(bytes: &[u8], big_endian: bool, from: Sum) -> Sum {
    let word = |four: &[u8]| {
        let four = four.first_chunk().copied().unwrap_or_default();
        if big_endian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) }
    };
    let (mut first, mut second) = from;
    for eight in bytes.chunks_exact(8) {
        let (left, right) = eight.split_at(4);
        first = first.wrapping_add(word(left)).wrapping_add(second);
        second = second.wrapping_add(word(right)).wrapping_add(first);
    }
    (first, second)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let four = bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
    u32::from_be_bytes(four)
}

fn pair(bytes: &[u8], at: usize) -> Sum {
    (u32_at(bytes, at), u32_at(bytes, at + 4))
}

fn eight(bytes: &[u8], at: usize) -> Option<[u8; 8]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied()
}

/// Whether there was enough to fill `buffer`.
fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<bool> {
    match file.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
