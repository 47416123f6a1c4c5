//! Connections that carry one byte each way, some at a time.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::{connect, work};
use crate::rows::{Ending, SHORT_AT_ONCE};

const WARM_UP: u32 = 320;

/// The client; the unit is one connection from connect to close.
pub(super) fn run(port: u16, connections: u32, ending: Ending) -> io::Result<()> {
    many(port, WARM_UP, ending)?;
    work(|| many(port, connections, ending))
}

fn many(port: u16, connections: u32, ending: Ending) -> io::Result<u64> {
    let begun = AtomicU32::new(0);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..SHORT_AT_ONCE)
            .map(|_| scope.spawn(|| share(port, &begun, connections, ending)))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            thread
                .join()
                .map_err(|_| io::Error::other("a connection panicked"))?
        })
    })?;
    Ok(connections.into())
}

/// Takes one connection after the other from the common count.
fn share(port: u16, begun: &AtomicU32, connections: u32, ending: Ending) -> io::Result<()> {
    while begun.fetch_add(1, Ordering::Relaxed) < connections {
        one(port, ending)?;
    }
    Ok(())
}

fn one(port: u16, ending: Ending) -> io::Result<()> {
    let mut stream = connect(port)?;
    stream.write_all(b"w")?;
    stream.read_exact(&mut [0])?;
    if ending == Ending::Reset {
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}
