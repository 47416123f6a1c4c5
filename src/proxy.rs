//! The life of a connection.
//!
//! 1. A worker's listener accepts it, or leaves it in the kernel's backlog while a limit is hit.
//! 2. A PROXY header is read if the listener expects one; then the allow and deny lists are asked
//!    about the client that it names.
//! 3. The pool chooses a server and hands out a lease; if all are full the connection waits.
//! 4. The server is dialled; if it refuses, another one is tried.
//! 5. Bytes are relayed both ways until both directions have ended, or one was reset.
//! 6. The lease is dropped, the account closed: one log line, the counters, the histograms.

pub mod account;
mod admit;
mod connect;
mod connection;
pub mod inquiry;
pub mod limit;
pub mod listener;
mod pipe;
mod post;
pub mod proxy_protocol;
mod relay;
pub mod sight;
mod vanish;
pub mod worker;
