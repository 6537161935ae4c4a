//! The fuzz target `agent_csv`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "agent_csv");
