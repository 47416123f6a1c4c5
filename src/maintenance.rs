//! What is done so that a broker can be stopped and come back: servers are drained, and connections
//! rebalanced.
//!
//! Long-lived connections move only when somebody closes them. [`pace`] says when the next one may
//! be closed, [`share`] knows where a connection is one too many.

pub mod pace;
pub mod share;
