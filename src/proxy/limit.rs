//! How many connections there may be: per listener and in all.
//!
//! A slot is taken before a connection is accepted, so that the rest waits in the kernel's backlog
//! and the limits hold exactly across workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::Duration;

use tokio::sync::Notify;

use crate::stats::{Listener, Registry};

/// At most one complaint about accepting per this time; the rest is only counted.
const COMPLAIN: Duration = Duration::from_secs(1);

/// The limits of all listeners, shared by all workers.
pub(super) struct Limits {
    registry: Arc<Registry>,
    waiting: AtomicU32,
    freed: Notify,
    /// When the next complaint about accepting may be logged, in milliseconds since the start.
    complaint_due: AtomicU64,
}

/// The right to hold one connection; dropping it gives it back.
pub(super) struct Slot {
    limits: Arc<Limits>,
    listener: Arc<Listener>,
}

/// A slot with its connection, which counts until this is dropped.
pub(super) struct Occupied(Slot);

impl Limits {
    pub(super) fn new(registry: Arc<Registry>) -> Self {
        Self {
            registry,
            waiting: AtomicU32::new(0),
            freed: Notify::new(),
            complaint_due: AtomicU64::new(0),
        }
    }

    /// Whether a failure to accept may be logged now: once per [`COMPLAIN`], all workers together.
    pub(super) fn may_complain(&self) -> bool {
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let now = milliseconds(self.registry.started.elapsed());
        let next = |due| (now >= due).then(|| now.saturating_add(milliseconds(COMPLAIN)));
        self.complaint_due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .is_ok()
    }

    /// A slot of the listener, unless its limit or the common one is reached.
    pub(super) fn take(self: &Arc<Self>, listener: &Arc<Listener>) -> Option<Slot> {
        // The listener's own first: a full listener never holds a common slot that another one
        // could have, not even for a moment in which that one looks and goes to sleep.
        if !listener.open.reserve() {
            return None;
        }
        if !self.registry.connections.reserve() {
            // Whoever saw this one taken waits for the same common slot as we do.
            listener.open.release();
            return None;
        }
        Some(Slot {
            limits: Arc::clone(self),
            listener: Arc::clone(listener),
        })
    }

    /// A slot although there is none left.
    pub(super) fn take_anyway(self: &Arc<Self>, listener: &Arc<Listener>) -> Slot {
        listener.open.reserve_anyway();
        self.registry.connections.reserve_anyway();
        Slot {
            limits: Arc::clone(self),
            listener: Arc::clone(listener),
        }
    }

    /// How many more connections there may be in all; 0 if nothing limits them.
    pub(super) fn free(&self) -> usize {
        let connections = &self.registry.connections;
        connections.limit().saturating_sub(connections.get()) as usize
    }

    /// Makes everybody who waits for a slot look again: a limit was changed.
    pub(super) fn reconsider(&self) {
        self.freed.notify_waiters();
    }

    /// Waits until [`Limits::take`] is worth another try, or the listener is closed.
    pub(super) async fn freed(self: &Arc<Self>, listener: &Arc<Listener>) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        // Given back also when whoever waits is told something else first.
        let waiting = Waiting(&self.waiting);
        loop {
            let freed = self.freed.notified();
            fence(Ordering::SeqCst);
            if listener.open.is_closed() {
                return;
            }
            // A slot may have been given back before the notification was asked for.
            if let Some(slot) = self.take(listener) {
                drop(waiting);
                drop(slot);
                return;
            }
            freed.await;
        }
    }

    /// How long the listener has to pause after a connection was accepted.
    pub(super) fn pause(&self, listener: &Listener) -> Duration {
        let now = self.registry.started.elapsed();
        listener.rate.pause(now).max(self.registry.rate.pause(now))
    }
}

/// Somebody waits for a slot.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Slot {
    /// The slot has its connection. Before that it was only held to see whether there is one, which
    /// is nothing that people would call a connection.
    pub(super) fn occupy(self) -> Occupied {
        self.listener.open.up();
        self.limits.registry.connections.up();
        Occupied(self)
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.0.listener.open.down();
        self.0.limits.registry.connections.down();
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.listener.open.release();
        self.limits.registry.connections.release();
        // Pairs with the one in `freed`: either we see the waiter or it sees the free slot.
        fence(Ordering::SeqCst);
        if self.limits.waiting.load(Ordering::SeqCst) > 0 {
            self.limits.freed.notify_waiters();
        }
    }
}

/// An accept rate: a bucket of a tenth of a second, without a lock (the generic cell rate algorithm
/// of ITU-T I.371).
#[derive(Debug)]
pub struct AcceptRate {
    /// 0: no limit.
    per_second: AtomicU32,
    /// When the next connection is due, in microseconds since the start.
    due: AtomicU64,
}

/// Microseconds that may be used in advance.
const BURST: u64 = 100_000;

impl AcceptRate {
    /// So many connections per second; 0: no limit.
    #[must_use]
    pub fn new(per_second: u32) -> Self {
        Self {
            per_second: per_second.into(),
            due: AtomicU64::new(0),
        }
    }

    /// So many connections per second from now on; 0: no limit.
    pub fn set(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// The limit; 0: none.
    #[must_use]
    pub fn get(&self) -> u32 {
        self.per_second.load(Ordering::Relaxed)
    }

    /// Counts one connection and says how long to wait before the next.
    fn pause(&self, now: Duration) -> Duration {
        let Some(period) = 1_000_000_u64.checked_div(self.get().into()) else {
            return Duration::ZERO;
        };
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let next = |due: u64| due.max(now) + period;
        let before = self
            .due
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |d| Some(next(d)));
        let due = next(before.unwrap_or(0));
        Duration::from_micros(due.saturating_sub(now + BURST))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::time::Instant;

    use super::*;
    use crate::stats::{Budget, Gauge};

    /// Two listeners, the first with a limit of one, and a common limit of two.
    fn limits() -> (Arc<Limits>, [Arc<Listener>; 2]) {
        let text = "listen.full = { bind = '127.0.0.1:1', pool = 'p', max_connections = 1 }\n\
                    listen.open = { bind = '127.0.0.1:2', pool = 'p' }\n\
                    pool.p.servers.s = '127.0.0.1:3'";
        let (config, _) = crate::config::parse(text, "test", std::path::Path::new(".")).unwrap();
        let budget = Budget {
            descriptors: 0,
            max_connections: 2,
            max_pipes: 0,
        };
        let registry = Registry::new(config.into(), budget, Arc::default(), Instant::now());
        let scene = registry.scene();
        let listeners = [0, 1].map(|index| Arc::clone(&scene.listeners[index]));
        (Arc::new(Limits::new(registry.into())), listeners)
    }

    #[test]
    fn a_full_listener_never_holds_a_slot_that_another_could_have() {
        let (limits, [full, open]) = limits();
        let _full = limits.take(&full).unwrap();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    assert!(limits.take(&full).is_none());
                }
            });
            let refused = (0..2_000_000)
                .filter(|_| limits.take(&open).is_none())
                .count();
            done.store(true, Ordering::Relaxed);
            assert_eq!(
                refused, 0,
                "one of the two common slots was free all the time"
            );
        });
    }

    #[test]
    fn a_slot_counts_while_it_has_a_connection() {
        let (limits, [full, open]) = limits();
        let counted = || [&full.open, &open.open, &limits.registry.connections].map(Gauge::get);
        let slot = limits.take(&open).unwrap();
        assert_eq!(counted(), [0, 0, 0], "nobody is there yet");
        let occupied = slot.occupy();
        assert_eq!(counted(), [0, 1, 1]);
        drop((occupied, limits.take(&open).unwrap()));
        assert_eq!(counted(), [0, 0, 0]);
        assert_eq!((open.open.max(), limits.registry.connections.max()), (1, 1));
        // And nothing was given back twice, nor kept.
        let both = [limits.take(&open).unwrap(), limits.take(&open).unwrap()];
        assert!(limits.take(&open).is_none());
        drop(both);
    }

    #[tokio::test]
    async fn who_waits_gets_in_when_a_limit_is_raised() {
        let (limits, [full, open]) = limits();
        let _full = limits.take(&full).unwrap();
        let waiting = limits.freed(&full);
        tokio::pin!(waiting);
        let soon = Duration::from_millis(20);
        assert!(tokio::time::timeout(soon, &mut waiting).await.is_err());
        full.open.set_limit(2);
        limits.reconsider();
        waiting.await;
        let _second = limits.take(&full).unwrap();
        // A lower one takes nothing away, and a lower common one counts as well.
        full.open.set_limit(0);
        limits.registry.connections.set_limit(1);
        assert!(limits.take(&full).is_none() && limits.take(&open).is_none());
    }

    #[test]
    fn what_a_common_limit_refuses_is_given_back_to_the_listener() {
        let (limits, [full, open]) = limits();
        let others = [limits.take(&open).unwrap(), limits.take(&open).unwrap()];
        assert!(limits.take(&full).is_none());
        drop(others);
        assert!(limits.take(&full).is_some());
    }

    #[test]
    fn a_rate_of_all_listeners_counts_beside_their_own() {
        let (limits, [one, other]) = limits();
        assert!((0..1000).all(|_| limits.pause(&one).is_zero()));
        limits.registry.rate.set(10);
        // One at once and one from the burst, whichever listener it is.
        assert!(limits.pause(&one).is_zero());
        assert!(limits.pause(&other) > Duration::from_millis(50));
        assert!(limits.pause(&one) > Duration::from_millis(150));
        limits.registry.rate.set(0);
        assert!(limits.pause(&one).is_zero());
    }

    #[test]
    fn rate_lets_a_burst_through_and_then_paces() {
        let rate = AcceptRate::new(100);
        let start = Duration::from_secs(1);
        let burst = (0..10).filter(|_| rate.pause(start).is_zero()).count();
        assert_eq!(burst, 10, "a tenth of a second's worth");
        assert_eq!(rate.pause(start), Duration::from_millis(10));
        let mut now = start;
        let mut accepted = 0;
        while now < Duration::from_secs(11) {
            accepted += 1;
            now += rate.pause(now);
        }
        assert!(
            (990..=1010).contains(&accepted),
            "{accepted} in ten seconds"
        );
    }
}
