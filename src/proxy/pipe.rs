//! The bounded pool of splice pipes.
//!
//! A large pipe is what makes splice cheap, and a process without CAP_SYS_RESOURCE may hold 16,384
//! pipe pages in all (`fs.pipe-user-pages-soft`, pipe(7)). So pipes are few, made when a stream
//! wants one, and given back empty when it falls quiet.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use nix::unistd::pipe2;

use crate::stats::WorkerCounters;

/// A pipe and how many bytes are in it.
pub(super) struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    /// Bytes inside.
    pub(super) filled: usize,
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipe")
            .field("filled", &self.filled)
            .finish_non_exhaustive()
    }
}

impl Pipe {
    /// Bytes that a pipe of the pool can hold.
    const SIZE: i32 = 1024 * 1024;
    /// A smaller one costs more than copying.
    const SMALLEST: i32 = 256 * 1024;

    /// `None` when the kernel gives no pipe, or only a small one.
    fn new() -> Option<Self> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK).ok()?;
        let size = fcntl(&write, FcntlArg::F_SETPIPE_SZ(Self::SIZE)).unwrap_or(0);
        (size >= Self::SMALLEST).then_some(Self {
            read,
            write,
            filled: 0,
        })
    }

    /// Moves what the socket has, up to the size of the pipe. 0 is the end of the stream.
    pub(super) fn fill_from(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let moved = Self::splice(socket, &self.write, Self::SIZE as usize)?;
        self.filled += moved;
        Ok(moved)
    }

    /// Moves what the socket takes.
    pub(super) fn drain_into(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let moved = Self::splice(&self.read, socket, self.filled)?;
        self.filled -= moved;
        Ok(moved)
    }

    /// SPLICE_F_MORE is never set: it corks the end of a message for 200 ms.
    fn splice(from: impl AsFd, to: impl AsFd, length: usize) -> io::Result<usize> {
        let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
        Ok(splice(from, None, to, None, length, flags)?)
    }
}

/// The pipes of one worker.
pub(super) struct PipePool {
    free: RefCell<Vec<Pipe>>,
    held: Cell<usize>,
    limit: usize,
    counters: Arc<WorkerCounters>,
}

impl PipePool {
    /// A pool that holds at most `limit` pipes.
    pub(super) fn new(limit: usize, counters: Arc<WorkerCounters>) -> Self {
        Self {
            free: RefCell::default(),
            held: Cell::new(0),
            limit,
            counters,
        }
    }

    /// An empty pipe, or `None` when all are in use: the stream goes on copying.
    pub(super) fn take(&self) -> Option<Box<Pipe>> {
        let free = self.free.borrow_mut().pop();
        let pipe = free.or_else(|| {
            if self.held.get() >= self.limit {
                return None;
            }
            let made = Pipe::new()?;
            self.held.set(self.held.get() + 1);
            Some(made)
        });
        if pipe.is_none() {
            self.counters.pipes_refused.add(1);
        }
        self.publish();
        // Boxed, so that the many directions without a pipe stay small.
        pipe.map(Box::new)
    }

    /// Takes a pipe back. One that still holds bytes is closed: its bytes belong to nobody else.
    pub(super) fn give_back(&self, pipe: Pipe) {
        if pipe.filled == 0 {
            self.free.borrow_mut().push(pipe);
        } else {
            self.held.set(self.held.get() - 1);
        }
        self.publish();
    }

    /// Closes the pipes that nobody uses.
    pub(super) fn trim(&self) {
        let closed = std::mem::take(&mut *self.free.borrow_mut()).len();
        if closed > 0 {
            self.held.set(self.held.get() - closed);
            self.publish();
        }
    }

    fn publish(&self) {
        let held = u32::try_from(self.held.get()).unwrap_or(u32::MAX);
        let free = u32::try_from(self.free.borrow().len()).unwrap_or(u32::MAX);
        self.counters.pipes_held.store(held, Ordering::Relaxed);
        self.counters
            .pipes_used
            .store(held - free, Ordering::Relaxed);
    }
}
