//! Features at the central stores, whatever happens on the way: two agents write the same entities, stores
//! are cut off and killed and come back, and in the end each store gives what the agents themselves give.

#![expect(clippy::print_stdout, reason = "cargo shows a test's output when it fails")]

mod cluster;
mod edge;
mod feast;
mod index;
mod kafka;
mod postgres;
mod push;
mod redis;
mod refused;
mod story;
mod vector;
