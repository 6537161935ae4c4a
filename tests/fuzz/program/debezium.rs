//! The fuzz target `debezium`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!("debezium");
