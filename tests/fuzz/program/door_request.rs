//! The fuzz target `door_request`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "door_request");
