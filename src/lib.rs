//! warren: one daemon in front of a RabbitMQ cluster, and its virtual address.
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
//! [`proxy`] tells it in six steps, [`proxy::account`] knows all endings.
//!
//! An advertisement:
//!
//! ```text
//! socket.receive -> packet.decode -> receive.screen -> router.handle(event, now) -> Actions
//!                -> driver.perform -> vip.claim | vip.release | socket.send
//! ```
//!
//! # Threads
//!
//! `worker-N` threads each run one current-thread runtime with sockets of their own
//! (SO_REUSEPORT) and own every connection they accept. The main thread runs signals, the admin
//! socket, the health checks and systemd's watchdog. `vrrp` owns the virtual routers and shares no
//! lock with the workers ([`vrrp::inputs`]), so that load delays no advertisement. `log` writes
//! what the others queue, so that nobody waits for a log. They meet in [`pool::Pool`] (a short lock
//! per connection, never per byte) and in [`stats::WorkerCounters`] (one writer each, added up when
//! asked).
//!
//! # Where things are
//!
//! | module | what it knows |
//! |---|---|
//! | [`cli`] | the command line, one file per subcommand |
//! | [`config`] | from the text of the file to [`config::Config`], or to all its problems |
//! | [`daemon`] | everything: it builds, starts and stops the rest |
//! | [`lifecycle`] | signals, and what systemd wants to hear |
//! | [`proxy`] | the life of a connection: accept, admit, choose, dial, relay, account |
//! | [`pool`] | the servers, how to choose among them, and who waits for them |
//! | [`health`] | the checks, and when their results take a server out or back in |
//! | [`amqp`] | AMQP 0-9-1 as bytes, for the health check and the demo |
//! | [`stats`] | counters, and the [`stats::snapshot::Snapshot`] that every report is made from |
//! | [`admin`] | the stats socket, in HAProxy's words |
//! | [`maintenance`] | emptying a server at an even pace, and moving connections back |
//! | [`logging`] | events as text, JSON or journal fields |
//! | [`vrrp`] | who is master: packets, the state machine, the thread that drives it |
//! | [`vip`] | what "having the address" means: netlink, the lease, telling the neighbours |
//! | [`sys`] | the system calls that no library has; the only `unsafe` |
//!
//! Many files are *pure*: no IO, no clock, no runtime, no logging, no randomness; time, bytes and
//! random numbers come in as arguments. `tests/tidy.rs` lists them and keeps them so.
//!
//! # What must never break
//!
//! 1. No byte is lost, doubled, reordered or sent to a second server; a connection is tried
//!    elsewhere only before its first client byte was forwarded.
//! 2. FIN is passed on as FIN after the last byte, RST as RST, each direction for itself.
//! 3. An established connection is never cut because one side is quiet or its window is closed.
//! 4. Buffers are bounded; a stalled reader stops its writer and nobody else.
//! 5. A node that is not master does not answer on the virtual address, also when the daemon was
//!    killed or hangs; clients are reset before the address is removed.
//! 6. Every queue, table, retry and log rate has a limit, and something counts what hit it.
//! 7. Nothing that arrives from the network can panic the process or make it allocate by a
//!    claimed size.
//! 8. Every connection ends with exactly one account, whose ending has a documented name.

pub mod admin;
pub mod amqp;
pub mod calendar;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod exit;
pub mod health;
pub mod lifecycle;
pub mod logging;
pub mod maintenance;
pub mod pool;
pub mod proxy;
pub mod stats;
pub mod sys;
pub mod vip;
pub mod vrrp;
