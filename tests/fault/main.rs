//! Broken on purpose, with real servers: each fault has an error that names the thing and the remedy,
//! the right exit code, and loses nothing.

mod check;
mod dead_letter;
mod exactly_once;
mod full;
mod kill;
mod large;
mod network;
mod peers;
mod producer;
mod start;
mod wal;
