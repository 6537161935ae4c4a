//! Outside → batches in the log. A sender is told yes only after the commit.

pub mod consume;
pub mod door;
