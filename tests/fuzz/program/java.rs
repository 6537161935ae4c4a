//! The fuzz target `java`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!("java");
