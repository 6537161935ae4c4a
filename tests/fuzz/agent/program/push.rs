//! The agent's fuzz target `push`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::agent_target!("push");
