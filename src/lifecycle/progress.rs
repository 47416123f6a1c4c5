//! Whether every thread makes progress: for systemd's watchdog and `/healthz`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A thread that was not seen to go on in so many looks is stuck. There is one look a second, the
/// workers sweep every second, and the vrrp thread goes round more often. Time is counted in looks:
/// a process that was stopped and continued has no stuck thread.
const STUCK: u32 = 3;

/// What is known of a thread.
#[derive(Debug, Clone, Copy)]
struct Progress {
    /// Sweeps or rounds counted so far.
    count: u64,
    /// Looks in a row that found no further one.
    without: u32,
}

/// What is known of all threads.
#[derive(Debug, Default)]
pub struct Watch(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// By worker, and then the vrrp thread if there is one.
    threads: Vec<Progress>,
    workers: usize,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the sweeps of the workers and the rounds of the vrrp thread; to be called once a
    /// second.
    pub fn look(&self, workers: impl Iterator<Item = u64>, vrrp: Option<u64>) {
        let unseen = Progress {
            count: u64::MAX,
            without: 0,
        };
        let mut seen = self.lock();
        let mut counts: Vec<u64> = workers.collect();
        seen.workers = counts.len();
        counts.extend(vrrp);
        seen.threads.resize(counts.len(), unseen);
        for (count, progress) in counts.into_iter().zip(&mut seen.threads) {
            let without = match count == progress.count {
                true => progress.without.saturating_add(1),
                false => 0,
            };
            *progress = Progress { count, without };
        }
    }

    /// Nobody is expected to go on any more.
    pub fn end(&self) {
        self.lock().threads.clear();
    }

    /// The first thread that makes no progress, in words.
    #[must_use]
    pub fn stuck(&self) -> Option<String> {
        let seen = self.lock();
        let mut threads = seen.threads.iter();
        let stuck = threads.position(|thread| thread.without >= STUCK)?;
        Some(match stuck < seen.workers {
            true => format!("worker {stuck} makes no progress"),
            false => "the vrrp thread makes no progress".to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_stands_still_is_named() {
        let watch = Watch::default();
        assert_eq!(watch.stuck(), None);
        for round in 0..3 {
            watch.look([round, 7].into_iter(), Some(round));
            assert_eq!(watch.stuck(), None, "{round}");
        }
        watch.look([3, 7].into_iter(), Some(3));
        assert_eq!(watch.stuck().unwrap(), "worker 1 makes no progress");
        watch.look([4, 8].into_iter(), Some(3));
        assert_eq!(watch.stuck(), None);
        for round in 5..7 {
            watch.look([round, round].into_iter(), Some(3));
        }
        assert_eq!(watch.stuck().unwrap(), "the vrrp thread makes no progress");
        watch.end();
        assert_eq!(watch.stuck(), None);
    }
}
