//! The fuzz target `offset`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!("signal");
