//! What holds of whatever bytes the Kafka door meets: one body per fuzz target, in plain functions.
//!
//! The bodies stand beside what they test. `cargo dev fuzz TARGET` looks for new inputs on a nightly
//! compiler; the unit tests replay those that were kept in `tests/fuzz/corpus/TARGET`.

use crate::ingest::door::fuzz;

/// What a target does with an input.
type Body = fn(&[u8]);

/// All begin with the door's name: the other targets are the connector's.
pub const TARGETS: [(&str, Body); 3] =
    [("door_batch", fuzz::batch), ("door_login", fuzz::login), ("door_request", fuzz::request)];

/// # Panics
/// When something does not hold of the input, and for a target that is not there.
pub fn run(target: &str, input: &[u8]) {
    let (_, body) = TARGETS.iter().find(|(name, _)| *name == target).expect("a target of the list");
    body(input);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// Replays the inputs that were kept: those that reach new code, and those that were findings.
    #[test]
    fn the_corpus_holds() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fuzz/corpus");
        let names = |folder: &Path| -> Vec<String> {
            let list = std::fs::read_dir(folder).expect("a folder");
            let stem = |path: std::path::PathBuf| path.file_stem().map(|n| n.to_string_lossy().into_owned());
            let mut names: Vec<String> =
                list.filter_map(|entry| stem(entry.expect("an entry").path())).collect();
            names.retain(|name| name.starts_with("door_"));
            names.sort();
            names
        };
        let expected = TARGETS.map(|(name, _)| name.to_owned());
        assert_eq!(names(&corpus), expected);
        assert_eq!(names(&corpus.join("../program")), expected);
        for (target, body) in TARGETS {
            let mut count = 0;
            for entry in std::fs::read_dir(corpus.join(target)).expect("a folder") {
                let path = entry.expect("an entry").path();
                let input = std::fs::read(&path).expect("readable");
                assert!(input.len() <= 4_096, "{} is too large", path.display());
                let done = std::panic::catch_unwind(|| body(&input));
                assert!(done.is_ok(), "it does not hold of {}", path.display());
                count += 1;
            }
            assert!((1..=600).contains(&count), "{target}: {count} inputs");
        }
    }
}
