//! Whether the tables' present content is read first: pure decisions, no I/O.
