//! One end of a relayed connection, and what it has said and heard.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use socket2::SockRef;

/// What everybody's stream is a part of; longer than a stream can become.
pub(crate) struct Noise(Vec<u8>);

impl Noise {
    const LENGTH: usize = 16 << 20;
    /// A stream ends here at the latest.
    pub(crate) const STREAM: usize = 8 << 20;

    /// Nothing in it repeats (xorshift64*).
    pub(crate) fn new() -> Self {
        let mut bytes = Vec::with_capacity(Self::LENGTH);
        let mut x = 1u64;
        while bytes.len() < Self::LENGTH {
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            bytes.extend(x.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
        }
        Self(bytes)
    }

    /// The stream number `key`.
    pub(crate) fn stream(&self, key: usize) -> &[u8] {
        let start = key * 7_919 % (Self::LENGTH - Self::STREAM);
        &self.0[start..start + Self::STREAM]
    }
}

thread_local! {
    /// What is read, until it was compared.
    static BUFFER: Cell<Vec<u8>> = Cell::default();
}

/// A client or a server.
pub(crate) struct Side {
    /// `None`: not connected yet, or reset.
    pub(crate) socket: Option<TcpStream>,
    /// What it says.
    says: &'static [u8],
    /// Bytes that its socket took.
    pub(crate) said: usize,
    /// Bytes that it read.
    pub(crate) heard: usize,
    pub(crate) has_ended: bool,
    pub(crate) has_reset: bool,
    /// It has read the other side's FIN.
    pub(crate) heard_end: bool,
    /// Its connection was reset under it.
    pub(crate) is_cut: bool,
}

impl Side {
    pub(crate) fn new(socket: Option<TcpStream>, says: &'static [u8]) -> Self {
        Self {
            socket,
            says,
            said: 0,
            heard: 0,
            has_ended: false,
            has_reset: false,
            heard_end: false,
            is_cut: false,
        }
    }

    /// Says so many bytes more, or as many as the socket takes.
    pub(crate) fn write(&mut self, length: usize) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if self.has_ended || self.is_cut {
            return;
        }
        let to = self.says.len().min(self.said + length);
        match socket.write(&self.says[self.said..to]) {
            Ok(count) => self.said += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.is_cut = true,
        }
    }

    /// Reads so many bytes at most, which must be what the `other` one says.
    pub(crate) fn read(&mut self, length: usize, other: &Self) {
        let Some(socket) = &mut self.socket else {
            return;
        };
        if self.heard_end || self.is_cut {
            return;
        }
        let mut buffer = BUFFER.take();
        buffer.resize(buffer.len().max(length), 0);
        match socket.read(&mut buffer[..length]) {
            Ok(0) if length > 0 => {
                assert!(other.has_ended, "a FIN that nobody has sent");
                assert_eq!(self.heard, other.said, "a FIN before the last byte");
                self.heard_end = true;
            }
            Ok(count) => {
                assert!(self.heard + count <= other.said, "more than was said");
                let said = &other.says[self.heard..self.heard + count];
                assert!(buffer[..count] == *said, "other bytes, from {}", self.heard);
                self.heard += count;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.is_cut = true,
        }
        BUFFER.set(buffer);
    }

    pub(crate) fn end(&mut self) {
        if let Some(socket) = &self.socket
            && !self.has_ended
        {
            self.has_ended = true;
            if socket.shutdown(Shutdown::Write).is_err() {
                self.is_cut = true;
            }
        }
    }

    pub(crate) fn reset(&mut self) {
        if let Some(socket) = self.socket.take() {
            SockRef::from(&socket)
                .set_linger(Some(Duration::ZERO))
                .expect("SO_LINGER");
            // One whose connection was over by then has reset nothing.
            self.has_reset = !self.is_cut && !(self.has_ended && self.heard_end);
        }
    }

    /// It has nothing more to hear.
    pub(crate) fn is_done(&self) -> bool {
        self.heard_end || self.is_cut || self.has_reset
    }
}
