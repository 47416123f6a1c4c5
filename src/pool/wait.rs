//! A connection that waits for a slot.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::queue::Ticket;
use super::{Lease, Pool};

/// Resolves when a slot was handed over. Dropping it leaves the queue; a slot that was handed over
/// at that very moment goes to the next in line.
#[must_use = "a place in the queue is lost when it is dropped"]
pub struct Waiting {
    pool: Arc<Pool>,
    /// `None` once the answer was fetched.
    ticket: Option<Ticket>,
}

impl Waiting {
    pub(super) fn new(pool: Arc<Pool>, ticket: Ticket) -> Self {
        Self {
            pool,
            ticket: Some(ticket),
        }
    }
}

impl Future for Waiting {
    /// `None`: no server that this connection has not tried is usable any more.
    type Output = Option<Lease>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(ticket) = self.ticket else {
            return Poll::Ready(None);
        };
        let answer = self.pool.with(|inside| {
            let answer = inside.table.poll(ticket, cx.waker());
            answer.map(|grant| grant.map(|grant| inside.served(grant)))
        });
        answer.map(|granted| {
            self.ticket = None;
            granted.map(|(server, grant)| Lease::new(Arc::clone(&self.pool), server, grant))
        })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.pool.with(|inside| inside.table.leave(ticket));
        }
    }
}
