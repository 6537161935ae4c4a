//! JSON → Avro by a registered schema, and a schema for data that came without one. Pure.

pub mod derive;
mod encode;
pub mod key;
mod text;
#[cfg(test)]
mod tests;

pub use encode::{Encoder, Misfit};
pub use text::moment_nanos;
