//! The fuzz target `agent_push`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "agent_push");
