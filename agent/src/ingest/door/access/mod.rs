//! Who may come in: TLS, passwords, and how much each may take.

pub(super) mod limit;
pub(super) mod sasl;
mod scram;
pub(super) mod tls;
pub(super) mod users;
