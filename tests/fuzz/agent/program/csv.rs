//! The agent's fuzz target `csv`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::agent_target!("csv");
