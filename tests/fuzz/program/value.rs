//! The fuzz target `value`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!("value");
