//! Group commit, savepoints, rollbacks, and files that must not be touched.
