//! Whether the tables' present content is read, in which pieces, and how its rows are marked: pure
//! decisions.

pub mod chunk;
pub mod marker;
pub mod mode;
pub mod window;
