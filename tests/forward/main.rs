//! From the agent's log to a real central Kafka with its own registry: byte for byte, once, in order, whatever
//! is killed or cut.

#![expect(clippy::print_stdout, reason = "cargo shows a test's output when it fails")]

mod arrive;
mod copy;
mod delete;
mod distant;
mod hang;
mod kill;
mod outage;
mod reference;
mod refuse;
mod slow;
mod soak;
mod world;
