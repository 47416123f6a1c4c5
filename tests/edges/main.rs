//! Bad clients, bad servers, limits, balancing and accounts, with the real binary.
//!
//! Every test ends with `Warren::finish`: a good client is served, no descriptor and no open
//! connection is left, and there is one account per accepted connection.

mod bad_clients;
#[path = "../support/ports.rs"]
mod ports;
mod warren;
mod wire;
