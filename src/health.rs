//! What a check is: a question to a server whose answer decides whether new connections go there.
//!
//! One task per server ([`monitor`]) waits, probes, observes and tells the pool. What the answers
//! mean is decided by [`verdict`]; `tcp` and `http` questions are asked by [`probe`], one
//! connection each; `amqp` questions go over one long-lived connection ([`session`], whose bytes
//! [`amqp`] knows). Names are turned into addresses by [`resolve`].
//!
//! Everything runs on the control thread and waits for the network only, never for a disk or a
//! lock: a slow server delays its own check and nothing else. What a server sends is read into
//! buffers of a few KiB and ends up in one line of text.

pub mod amqp;
mod dial;
pub mod http;
pub mod monitor;
pub mod pace;
pub mod probe;
pub mod resolve;
pub mod session;
pub mod verdict;
