//! The connections that wait for a slot, first come, first served.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::task::{Poll, Waker};

use super::choose::Wish;

/// A place in the queue. Smaller ones came earlier; none is ever used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

/// One open connection to a server, counted, which must be given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) server: usize,
    pub(super) address: SocketAddr,
    pub(super) epoch: u32,
}

/// Who waits.
pub(super) struct Waiter {
    pub(super) wish: Wish,
    /// Servers to avoid.
    pub(super) tried: Box<[usize]>,
    /// Set once it was polled.
    waker: Option<Waker>,
}

/// Bounded by `max_queue`. An answer that was not fetched yet is not in the queue any more.
pub(super) struct Queue {
    waiters: BTreeMap<Ticket, Waiter>,
    /// `None`: no server is left to wait for.
    answers: BTreeMap<Ticket, Option<Grant>>,
    /// Of waiters that got an answer; to be woken when the lock is released.
    wakers: Vec<Waker>,
    next: Ticket,
    limit: usize,
    longest: usize,
}

impl Queue {
    pub(super) fn new(limit: u32) -> Self {
        Self {
            waiters: BTreeMap::new(),
            answers: BTreeMap::new(),
            wakers: Vec::new(),
            next: Ticket(0),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            longest: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Connections waiting now.
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Most connections that waited at once.
    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// Forgets how many waited at most: those of now.
    pub(super) fn forget_longest(&mut self) {
        self.longest = self.waiters.len();
    }

    /// Joins at the end; `None` when the queue is full.
    pub(super) fn join(&mut self, wish: Wish, tried: &[usize]) -> Option<Ticket> {
        if self.waiters.len() >= self.limit {
            return None;
        }
        let ticket = self.next;
        self.next = Ticket(ticket.0 + 1);
        let waiter = Waiter {
            wish,
            tried: tried.into(),
            waker: None,
        };
        self.waiters.insert(ticket, waiter);
        self.longest = self.longest.max(self.waiters.len());
        Some(ticket)
    }

    /// Who has waited longest of those that did not try `server`. Only the few that are on their
    /// second attempt are ever passed over.
    pub(super) fn first_for(&self, server: usize) -> Option<Ticket> {
        self.waiters
            .iter()
            .find(|(_, waiter)| !waiter.tried.contains(&server))
            .map(|(ticket, _)| *ticket)
    }

    /// The first waiter behind `ticket`, or the first of all.
    pub(super) fn after(&self, ticket: Option<Ticket>) -> Option<(Ticket, &Waiter)> {
        let from = ticket.map_or(Ticket(0), |Ticket(number)| Ticket(number + 1));
        let (ticket, waiter) = self.waiters.range(from..).next()?;
        Some((*ticket, waiter))
    }

    /// Ends the wait of `ticket`, if it still waits, with an answer.
    pub(super) fn answer(&mut self, ticket: Ticket, answer: Option<Grant>) {
        if let Some(waiter) = self.waiters.remove(&ticket) {
            self.wakers.extend(waiter.waker);
            self.answers.insert(ticket, answer);
        }
    }

    /// Fetches the answer, or leaves a waker for when there is one.
    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Poll<Option<Grant>> {
        if let Some(waiter) = self.waiters.get_mut(&ticket) {
            match &mut waiter.waker {
                Some(old) => old.clone_from(waker),
                none => *none = Some(waker.clone()),
            }
            return Poll::Pending;
        }
        Poll::Ready(self.answers.remove(&ticket).flatten())
    }

    /// Leaves without an answer. One that was there already comes back, to be given to the next.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Grant> {
        self.waiters.remove(&ticket);
        self.answers.remove(&ticket).flatten()
    }

    /// Servers have other places from now on: `moved` knows the new one, if there is one.
    pub(super) fn rearrange(&mut self, limit: u32, moved: impl Fn(usize) -> Option<usize>) {
        self.limit = usize::try_from(limit).unwrap_or(usize::MAX);
        for waiter in self.waiters.values_mut() {
            waiter.tried = waiter.tried.iter().filter_map(|&old| moved(old)).collect();
        }
        for grant in self.answers.values_mut().flatten() {
            // Who has a grant has an open connection, and so keeps its place.
            grant.server = moved(grant.server).unwrap_or(grant.server);
        }
    }

    /// Who has to be woken.
    pub(super) fn take_wakers(&mut self) -> Vec<Waker> {
        std::mem::take(&mut self.wakers)
    }
}
