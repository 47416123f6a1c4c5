//! Messages that go there and come back, on one thread each for client and server.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::{STALL, connect, work};

const EVENTS: usize = 256;
const BUFFER_BYTES: usize = 64 * 1024;
/// The longest round trip that is told apart, in nanoseconds: after it the client gives up.
const LONGEST: u64 = STALL.as_secs() * 1_000_000_000;
/// Long enough for the balancer to have touched all its code and buffers.
const WARM_UP: Duration = Duration::from_millis(300);

/// Sends back whatever comes, for ever.
///
/// Sockets are blocking and polled level-triggered: a read follows its event, and a message is
/// far smaller than a send buffer, so neither call ever blocks.
pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    let listening = watch(&epoll, listener)?;
    let mut streams: HashMap<u64, TcpStream> = HashMap::new();
    let mut events = [EpollEvent::empty(); EVENTS];
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in &events[..ready] {
            if event.data() == listening {
                accept_all(listener, &epoll, &mut streams)?;
            } else if let Some(stream) = streams.get_mut(&event.data())
                && !send_back(stream, &mut buffer)
            {
                // Closing it also takes it out of the epoll set.
                streams.remove(&event.data());
            }
        }
    }
}

fn accept_all(
    listener: &TcpListener,
    epoll: &Epoll,
    streams: &mut HashMap<u64, TcpStream>,
) -> io::Result<()> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                streams.insert(watch(epoll, &stream)?, stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Whether the stream is still good.
fn send_back(stream: &mut TcpStream, buffer: &mut [u8]) -> bool {
    match stream.read(buffer) {
        Ok(0) | Err(_) => false,
        Ok(bytes) => stream.write_all(&buffer[..bytes]).is_ok(),
    }
}

/// The client: round trips on all connections for a while; the unit is one round trip.
pub(super) fn run(
    to: SocketAddr,
    connections: u32,
    bytes: usize,
    time: Duration,
) -> io::Result<()> {
    let message = vec![b'w'; bytes];
    let connect = |_| Ok((connect(to)?, message.clone()));
    let streams = (0..connections).map(connect).collect::<io::Result<_>>()?;
    play(streams, bytes, time)
}

/// Round trips for a while on streams that each send a message of their own, again when the answer
/// of so many bytes is there.
pub(super) fn play(
    streams: Vec<(TcpStream, Vec<u8>)>,
    answer: usize,
    time: Duration,
) -> io::Result<()> {
    let mut echoes = Echoes::new(streams, answer)?;
    echoes.run(WARM_UP)?;
    work(|| {
        echoes.times.reset();
        let round_trips = echoes.run(time)?;
        let microseconds = |quantile| echoes.times.value_at_quantile(quantile) as f64 / 1e3;
        Ok((round_trips, [0.5, 0.99, 0.999].map(microseconds).to_vec()))
    })
}

struct Echoes {
    epoll: Epoll,
    /// By descriptor.
    streams: HashMap<u64, Echo>,
    /// Bytes of an answer.
    answer: usize,
    /// Of round trips, in nanoseconds.
    times: Histogram<u64>,
}

struct Echo {
    stream: TcpStream,
    message: Vec<u8>,
    /// Bytes of the answer that are still to come.
    missing: usize,
    sent: Instant,
}

impl Echo {
    fn send(&mut self, now: Instant, answer: usize) -> io::Result<()> {
        (self.sent, self.missing) = (now, answer);
        self.stream.write_all(&self.message)
    }
}

impl Echoes {
    fn new(streams: Vec<(TcpStream, Vec<u8>)>, answer: usize) -> io::Result<Self> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let add = |(stream, message)| {
            let echo = Echo {
                stream,
                message,
                missing: 0,
                sent: Instant::now(),
            };
            Ok((watch(&epoll, &echo.stream)?, echo))
        };
        let streams = streams.into_iter().map(add).collect::<io::Result<_>>()?;
        Ok(Self {
            epoll,
            streams,
            answer,
            times: Histogram::new_with_bounds(1, LONGEST, 3).map_err(io::Error::other)?,
        })
    }

    /// Plays ping-pong on every connection until the time is over and every answer is there.
    fn run(&mut self, time: Duration) -> io::Result<u64> {
        let end = Instant::now() + time;
        for echo in self.streams.values_mut() {
            echo.send(Instant::now(), self.answer)?;
        }
        let stall = EpollTimeout::try_from(STALL).map_err(io::Error::other)?;
        let mut events = [EpollEvent::empty(); EVENTS];
        let mut buffer = vec![0; self.answer];
        let mut outstanding = self.streams.len();
        let mut round_trips = 0;
        while outstanding > 0 {
            let ready = self.epoll.wait(&mut events, stall)?;
            if ready == 0 {
                return Err(ErrorKind::TimedOut.into());
            }
            for event in &events[..ready] {
                let Some(echo) = self.streams.get_mut(&event.data()) else {
                    continue;
                };
                let bytes = echo.stream.read(&mut buffer[..echo.missing])?;
                if bytes == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
                echo.missing -= bytes;
                if echo.missing > 0 {
                    continue;
                }
                let now = Instant::now();
                let took = u64::try_from((now - echo.sent).as_nanos()).unwrap_or(u64::MAX);
                self.times.saturating_record(took);
                round_trips += 1;
                if now >= end {
                    outstanding -= 1;
                } else {
                    echo.send(now, self.answer)?;
                }
            }
        }
        Ok(round_trips)
    }
}

/// Adds a socket under its descriptor, and returns that.
fn watch<S: AsFd + AsRawFd>(epoll: &Epoll, socket: &S) -> io::Result<u64> {
    let key = u64::try_from(socket.as_raw_fd()).map_err(io::Error::other)?;
    epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, key))?;
    Ok(key)
}
