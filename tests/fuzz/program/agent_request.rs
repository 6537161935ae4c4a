//! The fuzz target `agent_request`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "agent_request");
