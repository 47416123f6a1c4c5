//! A given volume from client to server, one thread per stream.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::thread;

use nix::sys::socket::sockopt::SetStruct;
use nix::sys::socket::{MsgFlags, recv, setsockopt};

use super::{connect, work};

/// What the client writes at a time, as an ordinary program would.
const CHUNK_BYTES: usize = 64 * 1024;
const SINK_BYTES: usize = 1024 * 1024;
/// Bytes that wake the server. In production it is another machine, and waking it costs the
/// balancer nothing. Here each wake is an interrupt that the balancer sends to the server's CPU: at
/// one per segment they were half of its time, and hid what moving the bytes costs.
const SINK_WAKE_BYTES: i32 = 512 * 1024;

/// SO_RCVLOWAT (socket(7)), which nix does not have.
#[derive(Debug, Clone)]
struct ReceiveLowAt;

nix::setsockopt_impl!(
    ReceiveLowAt,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    i32,
    SetStruct<i32>
);

/// Swallows every stream to its end, then answers with the number of bytes it had.
pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        thread::spawn(move || {
            // The client notices a wrong or missing answer.
            let _ = swallow(stream);
        });
    }
}

fn swallow(mut stream: TcpStream) -> io::Result<()> {
    setsockopt(&stream, ReceiveLowAt, &SINK_WAKE_BYTES)?;
    let mut buffer = vec![0; SINK_BYTES];
    let mut total = 0u64;
    loop {
        // MSG_TRUNC drops the bytes in the kernel instead of copying them: the server should not
        // take CPU time away from the balancer.
        match recv(stream.as_raw_fd(), &mut buffer, MsgFlags::MSG_TRUNC)? {
            0 => return stream.write_all(&total.to_be_bytes()),
            bytes => total += bytes as u64,
        }
    }
}

/// The client; the unit is one byte that arrived.
pub(super) fn run(to: SocketAddr, streams: u32, bytes: u64) -> io::Result<()> {
    let mut open = (0..streams)
        .map(|_| connect(to))
        .collect::<io::Result<Vec<_>>>()?;
    let share = bytes / u64::from(streams);
    work(|| {
        thread::scope(|scope| {
            let sending: Vec<_> = open
                .iter_mut()
                .map(|stream| scope.spawn(|| send(stream, share)))
                .collect();
            let sent = sending.into_iter().try_fold(0, |total, thread| {
                let sent = thread
                    .join()
                    .map_err(|_| io::Error::other("a stream panicked"))??;
                Ok::<_, io::Error>(total + sent)
            });
            Ok((sent?, Vec::new()))
        })
    })
}

fn send(stream: &mut TcpStream, bytes: u64) -> io::Result<u64> {
    let chunk = vec![b'w'; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left)
            .unwrap_or(CHUNK_BYTES)
            .min(CHUNK_BYTES);
        stream.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    if u64::from_be_bytes(answer) == bytes {
        Ok(bytes)
    } else {
        Err(ErrorKind::InvalidData.into())
    }
}
