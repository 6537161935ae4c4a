//! The fuzz target `frame`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!("frame");
