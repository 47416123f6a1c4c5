//! Both directions of a connection; half-close, reset, back-pressure.
//!
//! A direction is in one of three phases. *Copying*: bytes go from one socket to the other through
//! the worker's one buffer, so that an idle connection owns none; what the other socket does not
//! take at once is kept aside, and nothing more is read until it has gone. *Splicing*: a direction
//! that read much several times in a row is a stream and moves through a kernel pipe,
//! until it falls quiet. *Ended*: the FIN has been passed on after the last byte.
//!
//! Counts live in the [`Connection`], outside the future, so that an account is right however the
//! relay ends.

use std::cell::RefCell;
use std::future::Future;
use std::io::{self, Read};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use nix::libc::ECONNRESET;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::account::Cause;
use super::connection::Connection;
use super::pipe::{Pipe, PipePool};

/// Bytes that one direction may move before other connections get their turn.
const WAKE_BUDGET: usize = 256 * 1024;
/// A stream moves more per wake: its bytes do not pass through the processor.
const SPLICE_BUDGET: usize = 4 * 1024 * 1024;
/// What a single read or splice of a stream moves at least. One full segment of loopback is a few
/// bytes shorter than the buffer, so the whole buffer would be too much to ask.
const MUCH: usize = Scratch::BUFFER / 2;
/// Reads of so much in a row make a stream.
const STREAK_TO_SPLICE: u8 = 4;
/// Splices of less in a row end it.
const STREAK_TO_COPY: u8 = 16;

/// What a worker's relays share.
pub(super) struct Scratch {
    /// The one buffer, used within one poll.
    pub(super) buffer: RefCell<Box<[u8]>>,
    /// Pipes for streams.
    pub(super) pipes: PipePool,
}

impl Scratch {
    /// Bytes read at once.
    pub(super) const BUFFER: usize = 64 * 1024;

    pub(super) fn new(pipes: PipePool) -> Self {
        Self {
            buffer: RefCell::new(vec![0; Self::BUFFER].into_boxed_slice()),
            pipes,
        }
    }
}

/// The side a failure came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Client,
    Server,
}

/// Bytes read but not yet written.
#[derive(Debug)]
struct Pending {
    bytes: Vec<u8>,
    sent: usize,
}

#[derive(Debug)]
enum Phase {
    Copying,
    Splicing(Box<Pipe>),
    Ended,
}

/// One direction.
#[derive(Debug)]
struct Direction {
    from: Side,
    phase: Phase,
    pending: Option<Box<Pending>>,
    /// The source has sent its FIN.
    finished: bool,
    /// The source has had our FIN: the other direction has ended.
    answered: bool,
    /// Read also without being told that there is something, until the kernel says that there is
    /// nothing. tokio takes a short read for the last one; a read that ends where urgent data was
    /// (tcp(7)) is short, too, and splice never gets past that place.
    insisting: bool,
    /// Full reads in a row while copying, small ones in a row while splicing.
    streak: u8,
    nagle: Nagle,
}

/// Whether the sink's kernel may hold a small segment back until the one before it has arrived
/// (Nagle's algorithm, RFC 1122, section 4.2.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nagle {
    /// It may, but nothing was sent yet, and the first segment never waits.
    First,
    /// It may.
    On,
    /// It may not: TCP_NODELAY is set, or was inherited.
    Off,
}

impl Nagle {
    /// To be called before every write of a copying direction.
    fn let_through(&mut self, sink: &TcpStream) {
        match self {
            Self::Off => {}
            Self::First => *self = Self::On,
            Self::On => {
                // A socket that refuses the option is gone, as the write will say.
                let _ = sink.set_nodelay(true);
                *self = Self::Off;
            }
        }
    }
}

/// A system call on one side failed, or somebody gave an order.
struct Failure {
    side: Side,
    error: io::Error,
}

/// Both directions of one connection.
pub(super) struct Relay {
    to_server: Direction,
    to_client: Direction,
    /// The side whose FIN came first.
    first: Option<Side>,
}

impl Relay {
    /// A relay whose first bytes to the server are `early`: what arrived behind a PROXY header.
    pub(super) fn new(early: Vec<u8>) -> Self {
        let pending = (!early.is_empty()).then(|| {
            Box::new(Pending {
                bytes: early,
                sent: 0,
            })
        });
        Self {
            // A connection that says one thing does not pay for TCP_NODELAY.
            to_server: Direction::new(Side::Client, pending, Nagle::First),
            to_client: Direction::new(Side::Server, None, Nagle::Off),
            first: None,
        }
    }

    /// Moves what can be moved. Ready when both directions have ended, or one has failed; the
    /// caller closes the sockets as [`Cause`] demands.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        client: &mut TcpStream,
        server: &mut TcpStream,
        connection: &Connection,
    ) -> Poll<Cause> {
        let looking = connection.has_order();
        if let Some(cause) = connection.order(client, Some(server)) {
            return Poll::Ready(cause);
        }
        if looking && connection.is_quiet() {
            if !self.is_stalled() {
                self.release(&connection.scratch().pipes);
            }
            self.to_server.insisting = true;
            self.to_client.insisting = true;
        }
        self.to_server.answered = self.to_client.has_ended();
        let mut moved = Moved::default();
        let up = self
            .to_server
            .poll(cx, client, server, connection, &mut moved.to_server);
        self.to_client.answered = self.to_server.has_ended();
        let down = self
            .to_client
            .poll(cx, server, client, connection, &mut moved.to_client);
        connection.moved(moved.to_server, moved.to_client);
        connection
            .watched
            .set(self.is_stalled() || self.is_splicing() || self.is_half_closed());
        if self.first.is_none() {
            if self.to_server.finished {
                self.first = Some(Side::Client);
            } else if self.to_client.finished {
                self.first = Some(Side::Server);
            }
        }
        match (up, down) {
            (Poll::Ready(Err(failure)), _) | (_, Poll::Ready(Err(failure))) => {
                Poll::Ready(failure.cause())
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(match self.first {
                Some(Side::Server) => Cause::ServerClosed,
                Some(Side::Client) | None => Cause::ClientClosed,
            }),
            (Poll::Pending, _) | (_, Poll::Pending) => Poll::Pending,
        }
    }

    fn is_stalled(&self) -> bool {
        self.to_server.is_stalled() || self.to_client.is_stalled()
    }

    /// Whether one side has said all, so that it is not being read any more.
    fn is_half_closed(&self) -> bool {
        [&self.to_server, &self.to_client]
            .iter()
            .any(|direction| direction.has_ended())
    }

    fn is_splicing(&self) -> bool {
        [&self.to_server, &self.to_client]
            .iter()
            .any(|d| matches!(d.phase, Phase::Splicing(_)))
    }

    /// Gives the pipes back; the last thing that happens to a relay.
    pub(super) fn release(&mut self, pipes: &PipePool) {
        self.to_server.leave_splice(pipes);
        self.to_client.leave_splice(pipes);
    }
}

#[derive(Default)]
struct Moved {
    to_server: u64,
    to_client: u64,
}

impl Direction {
    fn new(from: Side, pending: Option<Box<Pending>>, nagle: Nagle) -> Self {
        Self {
            from,
            phase: Phase::Copying,
            pending,
            finished: false,
            answered: false,
            insisting: false,
            streak: 0,
            nagle,
        }
    }

    fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// The source has nothing more to read: by its FIN, or by a reset whose error the kernel no
    /// longer has. A socket that was reset has no peer any more; one with a FIN still has. Once we
    /// have sent a FIN of our own both look alike.
    fn finish(&mut self, source: &TcpStream) -> Result<(), Failure> {
        if !self.answered && source.peer_addr().is_err() {
            return Err(self.source_failed(io::Error::from_raw_os_error(ECONNRESET)));
        }
        self.finished = true;
        Ok(())
    }

    /// Whether bytes wait for the sink, so that the source is not being read.
    fn is_stalled(&self) -> bool {
        match &self.phase {
            Phase::Copying => self.pending.is_some(),
            Phase::Splicing(pipe) => pipe.filled > 0,
            Phase::Ended => false,
        }
    }

    /// Moves to splice if the direction has proved to be a stream. Nothing is pending then.
    fn enter_splice(&mut self, pipes: &PipePool) {
        if matches!(self.phase, Phase::Copying) && self.streak >= STREAK_TO_SPLICE {
            self.streak = 0;
            if let Some(pipe) = pipes.take() {
                self.phase = Phase::Splicing(pipe);
            }
        }
    }

    fn leave_splice(&mut self, pipes: &PipePool) {
        self.streak = 0;
        if matches!(self.phase, Phase::Splicing(_))
            && let Phase::Splicing(pipe) = std::mem::replace(&mut self.phase, Phase::Copying)
        {
            pipes.give_back(*pipe);
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        connection: &Connection,
        moved: &mut u64,
    ) -> Poll<Result<(), Failure>> {
        let scratch = connection.scratch();
        let before = *moved;
        loop {
            let budget = match self.phase {
                Phase::Ended => return Poll::Ready(Ok(())),
                Phase::Copying => WAKE_BUDGET,
                Phase::Splicing(_) => SPLICE_BUDGET,
            };
            if usize::try_from(*moved - before).unwrap_or(usize::MAX) >= budget {
                // Still work to do, but it is somebody else's turn, also of those that the kernel
                // has news of: a task that only wakes itself is polled 60 times before epoll is.
                let _pending = pin!(tokio::task::yield_now()).poll(cx);
                return Poll::Pending;
            }
            ready!(self.poll_flush(cx, sink, moved))?;
            if self.finished {
                ready!(Pin::new(&mut *sink).poll_shutdown(cx)).map_err(|e| self.sink_failed(e))?;
                self.leave_splice(&scratch.pipes);
                self.phase = Phase::Ended;
                continue;
            }
            self.enter_splice(&scratch.pipes);
            if matches!(self.phase, Phase::Copying) {
                ready!(self.poll_copy(cx, source, sink, scratch, moved))?;
            } else {
                ready!(self.poll_fill(cx, source, scratch))?;
            }
            if let Phase::Splicing(pipe) = &self.phase {
                connection.spliced(pipe.filled);
            }
        }
    }

    /// Writes what was read earlier, from memory or from the pipe.
    fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        sink: &mut TcpStream,
        moved: &mut u64,
    ) -> Poll<Result<(), Failure>> {
        while let Some(pending) = &mut self.pending {
            self.nagle.let_through(sink);
            let rest = &pending.bytes[pending.sent..];
            let written = ready!(Pin::new(&mut *sink).poll_write(cx, rest));
            let count = written.map_err(|error| self.sink_failed(error))?;
            *moved += count as u64;
            let Some(pending) = &mut self.pending else {
                break;
            };
            pending.sent += count;
            if pending.sent == pending.bytes.len() {
                self.pending = None;
            }
        }
        while let Phase::Splicing(pipe) = &mut self.phase
            && pipe.filled > 0
        {
            let side = self.from.other();
            ready!(sink.poll_write_ready(cx)).map_err(|error| Failure { side, error })?;
            match sink.try_io(Interest::WRITABLE, || pipe.drain_into(&*sink)) {
                Ok(count) => *moved += count as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(Failure { side, error })),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once and writes at once; keeps aside what the sink does not take.
    fn poll_copy(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut TcpStream,
        sink: &mut TcpStream,
        scratch: &Scratch,
        moved: &mut u64,
    ) -> Poll<Result<(), Failure>> {
        let mut buffer = scratch.buffer.borrow_mut();
        let received = ready!(self.poll_receive(cx, source, &mut buffer));
        let bytes = &buffer[..received.map_err(|e| self.source_failed(e))?];
        if bytes.is_empty() {
            return Poll::Ready(self.finish(source));
        }
        let is_much = bytes.len() >= MUCH;
        self.streak = if is_much {
            self.streak.saturating_add(1)
        } else {
            0
        };
        let mut sent = 0;
        while sent < bytes.len() {
            self.nagle.let_through(sink);
            match Pin::new(&mut *sink).poll_write(cx, &bytes[sent..]) {
                Poll::Ready(Ok(count)) => sent += count,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(self.sink_failed(error))),
                Poll::Pending => {
                    self.pending = Some(Box::new(Pending {
                        bytes: bytes[sent..].to_vec(),
                        sent: 0,
                    }));
                    break;
                }
            }
        }
        *moved += sent as u64;
        Poll::Ready(Ok(()))
    }

    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut TcpStream,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut read = ReadBuf::new(buffer);
        if let Poll::Ready(received) = Pin::new(&mut *source).poll_read(cx, &mut read) {
            return Poll::Ready(received.map(|()| read.filled().len()));
        }
        if self.insisting {
            match (&*SockRef::from(&*source)).read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.insisting = false,
                received => return Poll::Ready(received),
            }
        }
        Poll::Pending
    }

    /// Fills the empty pipe from the source. Only an empty one: then EAGAIN means that the socket
    /// is empty, or that urgent data is next, and tokio may forget that it was readable.
    fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        source: &TcpStream,
        scratch: &Scratch,
    ) -> Poll<Result<(), Failure>> {
        let Phase::Splicing(pipe) = &mut self.phase else {
            return Poll::Ready(Ok(()));
        };
        let side = self.from;
        ready!(source.poll_read_ready(cx)).map_err(|error| Failure { side, error })?;
        match source.try_io(Interest::READABLE, || pipe.fill_from(source)) {
            Ok(0) => {
                // The end, or urgent data with more behind it and then the end: recv can tell.
                self.leave_splice(&scratch.pipes);
                self.insisting = true;
            }
            Ok(count) if count >= MUCH => self.streak = 0,
            Ok(_) => self.streak += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if self.streak >= STREAK_TO_COPY {
                    self.leave_splice(&scratch.pipes);
                }
            }
            Err(error) => return Poll::Ready(Err(Failure { side, error })),
        }
        self.streak = self.streak.min(STREAK_TO_COPY);
        Poll::Ready(Ok(()))
    }

    fn source_failed(&self, error: io::Error) -> Failure {
        Failure {
            side: self.from,
            error,
        }
    }

    fn sink_failed(&self, error: io::Error) -> Failure {
        Failure {
            side: self.from.other(),
            error,
        }
    }
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

impl Failure {
    fn cause(&self) -> Cause {
        cause_of(self.side, &self.error)
    }
}

/// The name of what a failed system call on one side means.
pub(super) fn cause_of(side: Side, error: &io::Error) -> Cause {
    use nix::libc::{EHOSTUNREACH, ENETUNREACH, EPIPE, ETIMEDOUT};
    match (error.raw_os_error(), side) {
        (Some(ECONNRESET | EPIPE), Side::Client) => Cause::ClientReset,
        (Some(ECONNRESET | EPIPE), Side::Server) => Cause::ServerReset,
        (Some(ETIMEDOUT | EHOSTUNREACH | ENETUNREACH), Side::Client) => Cause::ClientVanished,
        (Some(ETIMEDOUT | EHOSTUNREACH | ENETUNREACH), Side::Server) => Cause::ServerVanished,
        _ => Cause::InternalError,
    }
}
