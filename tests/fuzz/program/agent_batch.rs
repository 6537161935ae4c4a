//! The fuzz target `agent_batch`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "agent_batch");
