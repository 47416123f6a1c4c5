//! What a check is: a question to a server whose answer decides whether new connections go there.
//!
//! One task per server ([`monitor`]) waits, probes, observes and tells the pool.

pub mod amqp;
pub mod monitor;
pub mod probe;
pub mod resolve;
pub mod verdict;
