//! warren: one daemon in front of a RabbitMQ cluster.
//!
//! # The guided tour
//!
//! A *listener* is a set of addresses that clients connect to. Behind it stands a *pool* of
//! *servers*. A *connection* is one client from accept to *account*: warren chooses a server, dials
//! it, *relays* bytes both ways, and closes the account with an *ending* that says who ended it,
//! when, and why.
//!
//! The path of a connection reads top to bottom:
//!
//! ```text
//! listener.accept -> connection.run -> pool.choose -> connect.dial
//!                 -> relay.both_ways -> account.close   (exactly once, whatever happened)
//! ```
//!
//! # Threads
//!
//! `worker-N` threads each run one current-thread runtime with sockets of their own
//! (SO_REUSEPORT) and own every connection they accept. The main thread, `control`, runs signals,
//! the admin socket and the health checks. They meet in [`pool::Pool`] (a short lock per
//! connection, never per byte) and in [`stats::WorkerCounters`] (one writer each, added up
//! when asked).
//! Only [`daemon`] knows everything.
//!
//! # What must never break
//!
//! 1. No byte is lost, doubled, reordered or sent to a second server; a connection is tried
//!    elsewhere only before its first client byte was forwarded.
//! 2. FIN is passed on as FIN after the last byte, RST as RST, each direction for itself.
//! 3. An established connection is never cut because one side is quiet or its window is closed.
//! 4. Buffers are bounded; a stalled reader stops its writer and nobody else.
//! 5. Every queue, table, retry and log rate has a limit, and something counts what hit it.
//! 6. Nothing that arrives from the network can panic the process or make it allocate by a
//!    claimed size.
//! 7. Every connection ends with exactly one account, whose ending has a documented name.

pub mod admin;
pub mod amqp;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod health;
pub mod lifecycle;
pub mod logging;
pub mod pool;
pub mod proxy;
pub mod stats;
pub mod sys;
