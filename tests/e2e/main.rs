//! The products as users have them: real databases, clients and stores on both ends.

mod door;
mod edge_to_redis;
mod feast;
mod shop;
