//! Bad clients, bad servers, limits, balancing and accounts, with the real binary.
//!
//! Every test ends with `Warren::finish`: a good client is served, no descriptor and no open
//! connection is left, and there is one account per accepted connection.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod accounts;
mod bad_clients;
mod bad_servers;
mod balance;
mod descriptors;
mod instructions;
mod limits;
#[path = "../support/ports.rs"]
mod ports;
mod proxy_header;
#[path = "../support/skip.rs"]
mod skip;
mod sockets;
mod system_calls;
#[expect(dead_code, reason = "shared with the tests of faults")]
mod warren;
mod wire;
