//! The agent's fuzz target `feast`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::agent_target!("feast");
