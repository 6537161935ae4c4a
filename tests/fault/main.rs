//! Broken on purpose, with real servers: each fault has an error that names the thing and the remedy,
//! the right exit code, and loses nothing.

mod check;
mod dead_letter;
mod full;
mod kill;
mod network;
mod peers;
mod start;
mod wal;
