//! The registry through its REST API, as a client uses it.
