//! The fuzz target `stream`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!("stream");
