//! The fuzz target `door_batch`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "door_batch");
