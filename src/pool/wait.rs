//! A connection that waits for a slot.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::Lease;

/// Resolves when a slot was handed over. Dropping it leaves the queue; a slot that was handed over
/// at that very moment goes to the next in line.
pub struct Waiting {}

impl Future for Waiting {
    /// `None`: the last usable server went away while waiting.
    type Output = Option<Lease>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!("pool helper")
    }
}
