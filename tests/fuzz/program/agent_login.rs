//! The fuzz target `agent_login`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "agent_login");
