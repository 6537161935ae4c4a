//! Runs from seeds, and how to see one of them again.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A number from the environment.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Runs each seed; one that fails is named, with the line that runs it alone.
pub fn each(whose: &str, seeds: impl Iterator<Item = u64>, mut run: impl FnMut(u64)) {
    for seed in seeds {
        if let Err(cause) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!("replay: SEED={seed} cargo dev test simulate {whose}::one_seed");
            resume_unwind(cause);
        }
    }
}
