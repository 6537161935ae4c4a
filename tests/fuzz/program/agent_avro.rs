//! The fuzz target `agent_avro`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!(agent, "agent_avro");
