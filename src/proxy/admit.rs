//! Who may connect: allow and deny lists, and the PROXY header that says who it really is.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::TcpStream;

use super::account::Cause;
use super::connection::Connection;
use super::proxy_protocol::{self, Header, MAX_HEADER};
use super::relay::{Side, cause_of};
use crate::config::Listener;

/// A trusted proxy sends its header with its first packet; this is for lost packets.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Lets the client in, or says why not. Returns what arrived behind the PROXY header.
pub(super) async fn admit(connection: &Connection, client: &TcpStream) -> Result<Vec<u8>, Cause> {
    let config = connection.config();
    let mut early = Vec::new();
    if config.proxy_protocol {
        if !contains(&config.trusted, connection.peer().ip()) {
            return Err(Cause::UntrustedProxy);
        }
        let header = tokio::time::timeout(HEADER_TIMEOUT, read_header(client, &mut early));
        let header = connection.unless_ordered(client, header).await?;
        match header.map_err(|_elapsed| Cause::ProxyHeaderTimeout)?? {
            // An IPv4 client is one, also in IPv6 clothes: the lists name it as IPv4.
            Header::Proxied {
                source,
                destination,
            } => {
                let canonical = |a: SocketAddr| SocketAddr::new(a.ip().to_canonical(), a.port());
                connection.set_ends(canonical(source), canonical(destination));
            }
            Header::Local => {}
        }
    }
    if !is_allowed(config, connection.peer().ip()) {
        return Err(Cause::Denied);
    }
    connection.admitted();
    Ok(early)
}

/// Reads until the header is complete; what came behind it stays in `buffer`.
async fn read_header(client: &TcpStream, buffer: &mut Vec<u8>) -> Result<Header, Cause> {
    let failed = |error: std::io::Error| cause_of(Side::Client, &error);
    buffer.reserve_exact(MAX_HEADER);
    loop {
        client.readable().await.map_err(failed)?;
        let room = MAX_HEADER - buffer.len();
        let mut chunk = [0; 512];
        let chunk = &mut chunk[..room.min(512)];
        match client.try_read(chunk) {
            // As a check of the balancer in front does it: it has not said anything wrong.
            Ok(0) if buffer.is_empty() => return Err(Cause::ClientClosed),
            Ok(0) => return Err(Cause::BadProxyHeader),
            Ok(count) => buffer.extend_from_slice(&chunk[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(failed(error)),
        }
        match proxy_protocol::decode(buffer) {
            Ok(Some((header, length))) => {
                buffer.drain(..length);
                buffer.shrink_to_fit();
                return Ok(header);
            }
            Ok(None) if buffer.len() < MAX_HEADER => {}
            Ok(None) | Err(_) => return Err(Cause::BadProxyHeader),
        }
    }
}

fn is_allowed(config: &Listener, client: IpAddr) -> bool {
    !contains(&config.deny, client) && (config.allow.is_empty() || contains(&config.allow, client))
}

fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}
