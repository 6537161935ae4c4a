//! `cargo dev fuzz TARGET`: looks for inputs that a parser of the connector cannot bear, by cargo-fuzz.
//!
//! What is found on the way stays in cargo's target folder and is gone on from the next time; `--keep` puts
//! the few inputs that together reach all that any of them reaches into `tests/fuzz/corpus`, from where the
//! unit tests replay them. An input that is a finding lies in `tests/fuzz/artifacts`; once it is mended it
//! belongs into the corpus as `finding-WHAT`, and stays there.

use crate::{root, say, target};
use stack::error::Doing;
use stack::{Error, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const USAGE: &str = "cargo dev fuzz TARGET [--seconds N] [--keep]";
const SECONDS: u32 = 60;
/// As in `connector/src/fuzz/tests.rs`.
const FILES: usize = 600;
/// Such an input is kept whatever it reaches.
const FINDING: &str = "finding-";
/// libFuzzer's own word for findings is enough: the code has no unsafe that a sanitizer would look at, and
/// is twice as fast without.
const LIMITS: [&str; 3] = ["-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"];

struct Options {
    target: String,
    seconds: u32,
    keep: bool,
}

impl Options {
    fn parse(words: &[&str], known: &[String]) -> Result<Options> {
        let usage = || format!("{USAGE}\n  targets: {}", known.join(" "));
        let [name, rest @ ..] = words else {
            return Err(Error::new("which target?").remedy(usage()));
        };
        if !known.iter().any(|target| target == name) {
            return Err(Error::new(format!("no target is called {name}")).remedy(usage()));
        }
        let mut options = Options { target: (*name).to_owned(), seconds: SECONDS, keep: false };
        let mut rest = rest.iter();
        while let Some(word) = rest.next() {
            match (*word, rest.as_slice()) {
                ("--keep", _) => options.keep = true,
                ("--seconds", [number, ..]) => {
                    let wrong = |_| Error::new(format!("{number} is no number of seconds")).remedy(usage());
                    options.seconds = number.parse().map_err(wrong)?;
                    rest.next();
                }
                _ => return Err(Error::new(format!("{word} is not known")).remedy(usage())),
            }
        }
        Ok(options)
    }
}

pub fn run(words: &[&str]) -> Result<()> {
    let home = root().join("tests/fuzz");
    let mut known: Vec<String> = names(&home.join("program"))?;
    known.sort();
    let Options { target, seconds, keep } = Options::parse(words, &known)?;
    tools()?;
    let (kept, found) = (home.join("corpus").join(&target), folder(&target)?);
    let seconds = format!("-max_total_time={seconds}");
    call(&target, &[&found, &kept], &[&seconds])?;
    if keep { merge(&target, &found, &kept) } else { Ok(()) }
}

/// The stems of a folder's files.
fn names(folder: &Path) -> Result<Vec<String>> {
    let list = std::fs::read_dir(folder).doing(|| format!("read {}", folder.display()))?;
    let stem = |entry: std::fs::DirEntry| Some(entry.path().file_stem()?.to_string_lossy().into_owned());
    Ok(list.flatten().filter_map(stem).collect())
}

/// An empty folder, or what an earlier run left there.
fn folder(name: &str) -> Result<PathBuf> {
    let folder = target().join("fuzz").join(name);
    std::fs::create_dir_all(&folder).doing(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

/// Says what is missing; it is the developer's to install.
fn tools() -> Result<()> {
    let answers = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !answers(Command::new("rustup").args(["run", "nightly", "rustc", "--version"])) {
        return Err(Error::new("fuzzing needs a nightly compiler, which rustup does not have")
            .remedy("rustup toolchain install nightly --profile minimal"));
    }
    if !answers(nightly().args(["fuzz", "--version"])) {
        return Err(Error::new("fuzzing needs cargo-fuzz").remedy("cargo install cargo-fuzz --locked"));
    }
    Ok(())
}

fn nightly() -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(root()).args(["run", "nightly", "cargo"]);
    // Links nine programs: our release profile's optimising at that would take a quarter of an hour.
    command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16");
    command
}

/// libFuzzer on these corpora, of which it writes into the first.
fn call(target: &str, corpora: &[&Path], flags: &[&str]) -> Result<()> {
    let mut command = nightly();
    command.args(["fuzz", "run", "--fuzz-dir", "tests/fuzz", "--sanitizer", "none", target]);
    command.args(corpora).arg("--").args(LIMITS).args(flags);
    let status = command.status().doing(|| "run cargo fuzz".to_owned())?;
    if status.success() { Ok(()) } else { Err(Error::new(format!("fuzzing {target} ended with {status}"))) }
}

/// Replaces what was kept, but for findings, by as few inputs as reach the same code.
fn merge(target: &str, found: &Path, kept: &Path) -> Result<()> {
    let fresh = folder(&format!("{target}.kept"))?;
    let doing = || format!("replace {}", kept.display());
    std::fs::remove_dir_all(&fresh).and_then(|()| std::fs::create_dir(&fresh)).doing(doing)?;
    call(target, &[&fresh, kept, found], &["-set_cover_merge=1", "-use_counters=0"])?;
    let count = names(&fresh)?.len();
    if count > FILES {
        return Err(Error::new(format!("{count} inputs are too many to keep")).remedy(format!(
            "put the {FILES} best of {} into {}",
            fresh.display(),
            kept.display()
        )));
    }
    for entry in std::fs::read_dir(kept).doing(doing)?.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(FINDING) {
            std::fs::remove_file(entry.path()).doing(doing)?;
        }
    }
    for entry in std::fs::read_dir(&fresh).doing(doing)?.flatten() {
        std::fs::copy(entry.path(), kept.join(entry.file_name())).doing(doing)?;
    }
    say(&format!("{count} inputs are kept in {}", kept.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let known = ["copy".to_owned()];
        let options = Options::parse(&["copy", "--keep", "--seconds", "7"], &known).expect("understood");
        assert_eq!((options.target.as_str(), options.seconds, options.keep), ("copy", 7, true));
        for wrong in [&[][..], &["none"], &["copy", "--seconds"], &["copy", "--seconds", "x"], &["copy", "x"]]
        {
            assert!(Options::parse(wrong, &known).is_err(), "{wrong:?}");
        }
    }
}
