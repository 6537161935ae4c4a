//! Whether the tables' present content is read, in which pieces, how its rows are marked, and what of the
//! stream they make superfluous: pure decisions.

pub mod chunk;
pub mod marker;
pub mod mode;
pub mod piece;
pub mod visible;
pub mod window;
