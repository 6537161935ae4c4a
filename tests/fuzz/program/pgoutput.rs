//! The fuzz target `pgoutput`.

#![cfg_attr(fuzzing, no_main)]

tidegate_fuzz::target!("pgoutput");
