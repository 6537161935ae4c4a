//! The agent's fuzz target `avro`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::agent_target!("avro");
