//! The products as users have them: real databases, clients and stores on both ends.

#![expect(clippy::print_stdout, reason = "cargo shows a test's output when it fails")]

mod access;
mod certificate;
mod clients;
mod compact;
mod consume;
mod delete;
mod door;
mod edge_to_redis;
mod feast;
mod full;
mod java;
mod registry;
mod shop;
mod serving;
mod signal;
mod slo;
mod transactions;
mod ways;
