//! Four threads, three servers with few slots, a short queue: at the end nothing is open, nobody
//! waits, and nobody was forgotten.

use std::task::Wake;
use std::thread::{self, Thread};

use super::*;

/// Unparks the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a slot at most `patience`; `Err` is the end of patience.
fn wait_at_most(mut waiting: Waiting, patience: Duration) -> Result<Option<Lease>, ()> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let deadline = Instant::now() + patience;
    loop {
        let polled = std::pin::Pin::new(&mut waiting).poll(&mut Context::from_waker(&waker));
        if let Poll::Ready(lease) = polled {
            return Ok(lease);
        }
        let Some(left) = deadline.checked_duration_since(Instant::now()) else {
            return Err(());
        };
        thread::park_timeout(left);
    }
}

/// One client after the other, until `end`. Every eighth waiter leaves at once, so that leaving
/// meets handing over. Nobody else waits longer than a second: slots are held for microseconds.
fn work(pool: &Arc<Pool>, seed: u64, end: Instant) {
    let mut numbers = Numbers(seed);
    let mut held = std::collections::VecDeque::new();
    while Instant::now() < end {
        let draw = numbers.next();
        if held.len() > (draw >> 20) as usize % 3 {
            held.pop_front();
        }
        match choose_by(pool, 1, draw, &[]) {
            Choice::Leased(lease) => held.push_back(lease),
            Choice::Wait(waiting) if draw.is_multiple_of(8) => drop(waiting),
            Choice::Wait(waiting) => {
                // Who holds slots while it waits could wait for itself.
                held.clear();
                let answer = wait_at_most(waiting, Duration::from_secs(1));
                held.extend(answer.expect("a slot within a second"));
            }
            Choice::QueueFull | Choice::NoServer => held.clear(),
        }
    }
}

#[test]
fn threads_leave_nothing_behind() {
    for balance in [Balance::Leastconn, Balance::Random] {
        let mut settings = limited(balance, &[1, 2, 1]);
        settings.max_queue = 3;
        let pool = up(settings);
        let end = Instant::now() + Duration::from_millis(800);
        thread::scope(|scope| {
            for seed in 1..=4 {
                let pool = &pool;
                scope.spawn(move || work(pool, seed, end));
            }
            scope.spawn(|| {
                while Instant::now() < end {
                    pool.report(0, report(Some(Health::Down)), Instant::now());
                    thread::sleep(Duration::from_micros(200));
                    pool.report(0, report(Some(Health::Up)), Instant::now());
                    thread::sleep(Duration::from_millis(1));
                }
            });
        });
        let snapshot = pool.snapshot(Instant::now());
        assert!(snapshot.iter().all(|server| server.open == 0));
        assert!(snapshot.iter().all(|server| server.leased_total > 0));
        assert_eq!(pool.queued().0, 0);
        assert!(pool.queued().1 > 0, "nobody ever waited");
    }
}
