//! Ports for servers that a test starts, stops and starts again.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicU16, Ordering};

use socket2::{Domain, Socket, Type};

/// Below Linux's ephemeral range (32768), so that no outgoing connection takes the port of a
/// broker while it is down.
const FIRST: u16 = 15_000;
const COUNT: u16 = 17_000;

/// A TCP port of 127.0.0.1 that is free now. Processes start at different places, so that test
/// programs that run at the same time rarely look at the same port.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(u32::from(FIRST) + std::process::id() * 61 % u32::from(COUNT))
        .expect("below 32768");
    for _ in 0..COUNT {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + (start - FIRST + offset) % COUNT;
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Whether nobody listens there. The socket that finds out does not listen: a process that another
/// thread starts now has a copy of it until its exec, which would keep the port from its user.
fn is_free(port: u16) -> bool {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket
        .set_reuse_address(true)
        .expect("set an option of a socket");
    socket
        .bind(&SocketAddrV4::new(Ipv4Addr::LOCALHOST, port).into())
        .is_ok()
}
