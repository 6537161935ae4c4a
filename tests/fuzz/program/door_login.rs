//! The fuzz target `door_login`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "door_login");
