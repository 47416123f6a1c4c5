//! Connections that carry one byte each way, some at a time.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::{connect, work};
use crate::rows::{Ending, SHORT_AT_ONCE};

const WARM_UP: u32 = 320;

/// The client; the unit is one connection from connect to close.
pub(super) fn run(to: SocketAddr, connections: u32, ending: Ending) -> io::Result<()> {
    many(to, WARM_UP, ending)?;
    work(|| many(to, connections, ending))
}

/// What all threads count together.
struct Progress {
    all: u32,
    begun: AtomicU32,
    done: AtomicU32,
    /// Of those that are done: reset, refused, out of time, or no port was left for them.
    failed: AtomicU32,
    /// When the first quarter, and the third, were done.
    marks: [OnceLock<Instant>; 2],
}

fn many(to: SocketAddr, connections: u32, ending: Ending) -> io::Result<(u64, Vec<f64>)> {
    let progress = Progress {
        all: connections,
        begun: AtomicU32::new(0),
        done: AtomicU32::new(0),
        failed: AtomicU32::new(0),
        marks: [const { OnceLock::new() }; 2],
    };
    let start = Instant::now();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..SHORT_AT_ONCE)
            .map(|_| scope.spawn(|| share(to, &progress, ending)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| io::Error::other("a connection panicked"))?
        })
    })?;
    let end = Instant::now();
    let [first, third] = progress.marks.map(|mark| mark.into_inner().unwrap_or(end));
    let ratio = (first - start).as_secs_f64() / (end - third).as_secs_f64();
    let failed = progress.failed.into_inner();
    Ok((connections.into(), vec![ratio, failed.into()]))
}

/// Takes one connection after the other from the common count.
fn share(to: SocketAddr, progress: &Progress, ending: Ending) -> io::Result<()> {
    let quarter = progress.all / 4;
    while progress.begun.fetch_add(1, Ordering::Relaxed) < progress.all {
        if let Err(error) = one(to, ending) {
            // A rate of failures is a result, nothing but failures is none.
            if progress.failed.fetch_add(1, Ordering::Relaxed) >= quarter {
                return Err(error);
            }
        }
        let done = progress.done.fetch_add(1, Ordering::Relaxed) + 1;
        for (mark, at) in progress.marks.iter().zip([quarter, 3 * quarter]) {
            if done == at {
                mark.get_or_init(Instant::now);
            }
        }
    }
    Ok(())
}

fn one(to: SocketAddr, ending: Ending) -> io::Result<()> {
    let mut stream = connect(to)?;
    stream.write_all(b"w")?;
    stream.read_exact(&mut [0])?;
    if ending == Ending::Reset {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}
