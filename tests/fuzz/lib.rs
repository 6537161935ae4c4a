//! libFuzzer around `connector::fuzz` and `agent::fuzz`, which have the targets and say what holds of any input.
//!
//! `cargo dev fuzz TARGET` builds and runs these with cargo-fuzz, on a nightly compiler. Everything
//! else builds them as programs that do nothing, so that nobody else compiles libFuzzer.

#[cfg(fuzzing)]
pub use libfuzzer_sys;

/// The program of one target.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| connector::fuzz::run($name, input));
    };
    (agent, $name:literal) => {
        $crate::libfuzzer_sys::fuzz_target!(|input: &[u8]| agent::fuzz::run($name, input));
    };
}

#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! target {
    ($name:literal) => {
        fn main() {}
    };
    (agent, $name:literal) => {
        fn main() {}
    };
}
