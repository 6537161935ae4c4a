//! Replays the inputs that were kept: those that reach new code, and those that were findings.

use super::{TARGETS, run};
use std::path::{Path, PathBuf};

/// A corpus is small enough to be read and to be replayed in every test run.
const FILES: usize = 600;
const FILE_BYTES: usize = 4096;
const STACK_BYTES: usize = 8 * 1024 * 1024;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus")
}

/// What lies in a folder, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let list = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut found: Vec<PathBuf> = list.map(|entry| entry.expect("an entry").path()).collect();
    found.sort();
    found
}

/// With the stack of a main thread, where the connector compiles what it is given: regular expressions nest.
fn replay(target: &'static str) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || replay_all(target));
    let done = thread.expect("a thread").join();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn replay_all(target: &str) {
    let files = entries(&corpus().join(target));
    assert!(!files.is_empty() && files.len() <= FILES, "{target}: {} inputs", files.len());
    for file in files {
        let input = std::fs::read(&file).expect("readable");
        assert!(input.len() <= FILE_BYTES, "{} is too large", file.display());
        let done = std::panic::catch_unwind(|| run(target, &input));
        assert!(done.is_ok(), "it does not hold of {}", file.display());
    }
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(#[test] fn $name() { replay(stringify!($name)); })*

        #[test]
        fn each_target_has_a_corpus_a_program_and_a_test() {
            let names = |folder: PathBuf| -> Vec<String> {
                let stem = |path: &PathBuf| path.file_stem().map(|name| name.to_string_lossy().into_owned());
                // Those of the agent stand beside.
                entries(&folder).iter().filter_map(stem).filter(|name| !name.starts_with("agent_")).collect()
            };
            let mut expected: Vec<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
            expected.sort();
            assert_eq!(names(corpus()), expected);
            assert_eq!(names(corpus().join("../program")), expected);
            let mut tests = [$(stringify!($name)),*];
            tests.sort_unstable();
            assert_eq!(tests.to_vec(), expected);
        }
    };
}

targets!(frame pgoutput stream value copy default debezium expression offset java signal);
