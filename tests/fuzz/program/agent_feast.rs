//! The fuzz target `agent_feast`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "agent_feast");
