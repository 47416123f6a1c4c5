//! *pure* One connection as somebody sees it who asks for it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::account::During;

/// Names one connection for as long as it lives, and no later one: worker, place and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Id(pub u64);

impl Id {
    const STAMP_BITS: u32 = 29;
    const KEY_BITS: u32 = 24;

    /// The id of the connection at place `key` of a worker, accepted so long after the start.
    pub(super) fn new(worker: usize, key: usize, accepted: Duration) -> Self {
        let low = |number: u128, bits: u32| u64::try_from(number % (1 << bits)).unwrap_or(0);
        // The worker counts from 1, so that no id is 0.
        let worker = worker as u64 + 1;
        let place = worker << Self::KEY_BITS | low(key as u128, Self::KEY_BITS);
        Self(place << Self::STAMP_BITS | low(accepted.as_millis(), Self::STAMP_BITS))
    }

    /// Index of the worker; may be out of range.
    #[must_use]
    pub fn worker(self) -> usize {
        let worker = self.0 >> (Self::STAMP_BITS + Self::KEY_BITS);
        usize::try_from(worker).unwrap_or(0).wrapping_sub(1)
    }

    pub(super) fn key(self) -> usize {
        let key = self.0 >> Self::STAMP_BITS & ((1 << Self::KEY_BITS) - 1);
        usize::try_from(key).unwrap_or(usize::MAX)
    }
}

/// What is known of one connection at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Its name.
    pub id: Id,
    /// The client.
    pub client: SocketAddr,
    /// Its listener.
    pub listener: Arc<str>,
    /// The listener's number.
    pub listener_number: usize,
    /// The listener's pool when it was accepted.
    pub pool: Arc<str>,
    /// The pool's number.
    pub pool_number: usize,
    /// The server used last: its own [`crate::pool::Server::name`], by which it can be told from
    /// another one of the same name.
    pub server: Option<Arc<str>>,
    /// The server's number in the pool; `None` without a server.
    pub server_number: Option<usize>,
    /// What it is doing.
    pub during: During,
    /// When it was accepted, since 1970 by the clock as it is now.
    pub accepted_at: Duration,
    /// Since accept.
    pub age: Duration,
    /// No byte has moved for so long, give or take a second.
    pub silence: Duration,
    /// Bytes from the client.
    pub to_server: u64,
    /// Bytes from the server.
    pub to_client: u64,
    /// Connection attempts after the first.
    pub retries: u32,
    /// What its sockets say, if they were asked.
    pub ends: Ends,
}

/// The addresses of a connection's sockets, besides the client's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ends {
    /// Whom the client connected to: an address of ours, or what its PROXY header says.
    pub listener: Option<SocketAddr>,
    /// Our own address towards the server, which is how the server knows the connection; there is
    /// none before it is relayed.
    pub local: Option<SocketAddr>,
    /// The server's address.
    pub server: Option<SocketAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_holds_worker_and_place_and_differs_by_time() {
        let day = Duration::from_secs(86_400);
        for (worker, key) in [(0, 0), (1023, (1 << 24) - 1), (7, 12_345)] {
            let id = Id::new(worker, key, day);
            assert_eq!((id.worker(), id.key()), (worker, key));
            assert_ne!(id, Id::new(worker, key, day + Duration::from_millis(1)));
            assert!(id.0 > 0);
        }
        // What somebody has made up belongs to no worker that there is.
        assert_eq!(Id(0x123).worker(), usize::MAX);
    }
}
