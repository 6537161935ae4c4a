//! Both programs in memory, from a seed, in a world that is made to misbehave. A seed is a run, and the same
//! run each time: `SEED=7 cargo dev test simulate agent::one_seed`; `SEEDS=100000` runs more of them.

mod agent;
mod connector;
mod seeds;
mod training;
