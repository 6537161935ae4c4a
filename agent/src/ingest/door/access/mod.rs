//! Who may come in: TLS, passwords, and how much each may take.

pub(super) mod limit;
pub(super) mod sasl;
pub(super) mod scram;
pub(super) mod tls;
pub(super) mod users;
