//! Drains and rebalances of the real binary, by its own command line, with clients that connect
//! again when they lose their connection. What was closed, and when, is read from the log.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../support/accounts.rs"]
mod accounts;
mod drains;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/daemon.rs"]
#[expect(dead_code, reason = "shared with tests that stop it")]
mod process;
mod rebalances;
#[path = "../support/wait.rs"]
mod wait;
mod world;
