//! The real binary from its start to its end, and its health checks, against servers that fail in
//! every way there is.
//!
//! Every test has a daemon, servers and a scratch folder of its own. What is said in the log and on
//! the admin socket is compared with what clients see.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod checks;
mod down;
mod fake;
mod interleaved;
mod logs;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/daemon.rs"]
mod process;
mod reload;
mod signals;
#[path = "../support/skip.rs"]
mod skip;
mod start;
mod stop;
mod systemd;
#[path = "../support/wait.rs"]
mod wait;
mod warren;
