//! Connections that spoke once and then are silent.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::{connect, work};

/// Connections that are open before the first reading, so that what a balancer allocates once is
/// not divided among the rest.
const FIRST: u32 = 100;
const MESSAGE: [u8; 64] = [b'w'; 64];

/// The client; the unit is one connection that stays open.
pub(super) fn run(to: SocketAddr, connections: u32) -> io::Result<()> {
    let mut open = Vec::new();
    grow(&mut open, to, FIRST)?;
    work(|| {
        grow(&mut open, to, connections)?;
        Ok((connections.into(), Vec::new()))
    })
}

fn grow(open: &mut Vec<TcpStream>, to: SocketAddr, connections: u32) -> io::Result<()> {
    for _ in 0..connections {
        let mut stream = connect(to)?;
        stream.write_all(&MESSAGE)?;
        stream.read_exact(&mut MESSAGE.clone())?;
        open.push(stream);
    }
    Ok(())
}
