//! Both ends of a connection as plain blocking sockets, held by the test.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use crate::warren::{SOON, Warren};

/// A server whose connections the test accepts by itself.
pub(crate) struct Server {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    pub(crate) fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    /// A connection that is there already.
    pub(crate) fn accept_now(&self) -> Option<TcpStream> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).unwrap();
                Some(patient(stream))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// The next connection.
    pub(crate) fn accept(&self) -> TcpStream {
        self.accept_within(SOON).expect("a connection")
    }

    pub(crate) fn accept_within(&self, limit: Duration) -> Option<TcpStream> {
        let start = Instant::now();
        loop {
            let accepted = self.accept_now();
            if accepted.is_some() || start.elapsed() > limit {
                return accepted;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl std::os::fd::AsFd for Server {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

/// A stream on which nothing blocks for ever.
fn patient(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.set_write_timeout(Some(SOON)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// A client.
pub(crate) fn connect(warren: &Warren) -> TcpStream {
    connect_from(warren.address, [127, 0, 0, 1])
}

/// A client from one of the addresses of loopback.
pub(crate) fn connect_from(address: SocketAddr, source: [u8; 4]) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&address.into()).unwrap();
    patient(socket.into())
}

/// Both ends of a connection through warren.
pub(crate) fn pair(warren: &Warren, server: &Server) -> (TcpStream, TcpStream) {
    let client = connect(warren);
    let server = server.accept();
    (client, server)
}

pub(crate) fn address_of(stream: &TcpStream) -> SocketAddr {
    stream.local_addr().unwrap()
}

/// Sends on one end and expects exactly that on the other.
pub(crate) fn pass(from: &mut TcpStream, to: &mut TcpStream, bytes: &[u8]) {
    from.write_all(bytes).unwrap();
    let mut came = vec![0; bytes.len()];
    to.read_exact(&mut came).unwrap();
    assert!(came == bytes, "other bytes came");
}

/// A round trip.
pub(crate) fn ping(client: &mut TcpStream, server: &mut TcpStream, bytes: &[u8]) {
    pass(client, server, bytes);
    pass(server, client, bytes);
}

/// Closes with RST.
pub(crate) fn reset(stream: TcpStream) {
    SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

pub(crate) fn finish_writing(stream: &TcpStream) {
    stream.shutdown(Shutdown::Write).unwrap();
}

/// Expects FIN and nothing before it.
pub(crate) fn expect_end(stream: &mut TcpStream) {
    assert_eq!(
        stream.read(&mut [0; 64]).unwrap(),
        0,
        "bytes instead of the end"
    );
}

/// Expects RST, whatever comes before it.
pub(crate) fn expect_reset(stream: &mut TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("FIN instead of RST"),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return,
            Err(error) => panic!("{error} instead of RST"),
        }
    }
}

/// Expects RST on a stream whose other side has said all: reading tells only of that.
pub(crate) fn expect_reset_after_end(stream: &TcpStream) {
    let start = Instant::now();
    while stream.take_error().unwrap().is_none() {
        assert!(start.elapsed() < SOON, "no RST");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Expects that nothing comes for `time` and that the connection stays open.
pub(crate) fn expect_silence(stream: &mut TcpStream, time: Duration) {
    stream.set_read_timeout(Some(time)).unwrap();
    match stream.read(&mut [0; 64]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        other => panic!("{other:?} instead of silence"),
    }
    stream.set_read_timeout(Some(SOON)).unwrap();
}

/// Writes until nothing has been taken for half a second; returns how much that was.
pub(crate) fn stuff(stream: &mut TcpStream) -> u64 {
    let chunk = vec![7; 64 * 1024];
    let mut sent = 0;
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    loop {
        match stream.write(&chunk) {
            Ok(count) => sent += count as u64,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_write_timeout(Some(SOON)).unwrap();
    sent
}

/// Reads to FIN and returns how much came; every byte must be `byte`.
pub(crate) fn drain(stream: &mut TcpStream, byte: u8) -> u64 {
    let mut buffer = vec![0; 256 * 1024];
    let mut came = 0;
    loop {
        match stream.read(&mut buffer).unwrap() {
            0 => return came,
            count => {
                assert!(buffer[..count].iter().all(|b| *b == byte), "a wrong byte");
                came += count as u64;
            }
        }
    }
}

/// Writes `length` times `byte`.
pub(crate) fn send(stream: &mut TcpStream, byte: u8, length: u64) {
    let chunk = vec![byte; 256 * 1024];
    let mut left = length;
    while left > 0 {
        let count = usize::try_from(left).unwrap().min(chunk.len());
        stream.write_all(&chunk[..count]).unwrap();
        left -= count as u64;
    }
}
