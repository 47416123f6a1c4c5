//! The fault catalogue: sixty things that happen to a TCP proxy. `catalogue.txt` says of each where
//! it is tested, or why it is not; here are those that have no better place.
//!
//! Every test ends with `Warren::finish`: a good client is served, no descriptor, pipe or open
//! connection is left, hardly any memory, and there is one account per accepted connection.
//! Streams are keyed, so that loss, doubling, reordering and the bytes of another connection are
//! told apart.

#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

mod catalogue;
mod crowd;
#[path = "../exactness/keyed.rs"]
mod keyed;
mod paths;
#[path = "../support/ports.rs"]
mod ports;
mod relay;
mod servers;
#[path = "../edges/warren.rs"]
#[expect(dead_code, reason = "shared with the tests of edges")]
mod warren;
#[path = "../edges/wire.rs"]
#[expect(dead_code, reason = "shared with the tests of edges")]
mod wire;
