//! Whether the tables' present content is read first, and how its rows are marked: pure decisions.

pub mod marker;
pub mod mode;
