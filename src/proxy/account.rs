//! The record of one connection and the documented ways in which it can end.

use std::net::SocketAddr;
use std::time::Duration;

/// What a connection was doing when it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum During {
    /// Reading a PROXY header or asking the allow and deny lists.
    Admitting,
    /// Choosing a server or waiting for a free slot.
    Choosing,
    /// Dialling a server.
    Connecting,
    /// Relaying bytes.
    Relaying,
    /// Relaying bytes while the process was stopping.
    Draining,
}

impl During {
    /// The word used in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Admitting => "admitting",
            Self::Choosing => "choosing",
            Self::Connecting => "connecting",
            Self::Relaying => "relaying",
            Self::Draining => "draining",
        }
    }
}

/// Who ended a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum By {
    Client,
    Server,
    Us,
}

impl By {
    /// The word used in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Us => "us",
        }
    }
}

/// Why a connection ended. The names are stable; the README explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The client closed first and both directions ended in order.
    ClientClosed,
    /// The server closed first and both directions ended in order.
    ServerClosed,
    /// The client reset the connection.
    ClientReset,
    /// The server reset the connection.
    ServerReset,
    /// The client stopped answering TCP (keepalive or retransmission gave up).
    ClientVanished,
    /// The server stopped answering TCP (keepalive or retransmission gave up).
    ServerVanished,
    /// The allow and deny lists do not let this client in.
    Denied,
    /// A PROXY header was expected from a source that is not trusted.
    UntrustedProxy,
    /// The PROXY header was malformed or missing.
    BadProxyHeader,
    /// The PROXY header did not arrive in time.
    ProxyHeaderTimeout,
    /// No server of the pool was usable.
    NoServer,
    /// Every server was at its limit and so was the queue.
    QueueFull,
    /// Every server stayed at its limit for the queue timeout.
    QueueTimeout,
    /// Every server that was tried refused; the last one by RST.
    ConnectRefused,
    /// Every server that was tried failed; the last one did not answer in time.
    ConnectTimeout,
    /// Every server that was tried failed; the last one had no route.
    ConnectUnreachable,
    /// Every server that was tried failed; the last one for a reason of this host (ports, memory).
    ConnectFailed,
    /// Both sides were silent for the pool's idle timeout.
    IdleTimeout,
    /// The server went down and the pool resets its connections then.
    ServerDown,
    /// The client had connected to a virtual address that this node gave up.
    AddressReleased,
    /// An operator ended it over the stats socket.
    EndedByOperator,
    /// Its server is being emptied.
    Drained,
    /// Its server had more than its share of the pool's connections, which are rebalanced.
    Rebalanced,
    /// The process stopped: drain timeout, or a second TERM.
    Stopped,
    /// A system call failed in a way that has no name of its own.
    InternalError,
}

impl Cause {
    /// Every cause, in the order of their numbers.
    pub const ALL: [Self; 25] = [
        Self::ClientClosed,
        Self::ServerClosed,
        Self::ClientReset,
        Self::ServerReset,
        Self::ClientVanished,
        Self::ServerVanished,
        Self::Denied,
        Self::UntrustedProxy,
        Self::BadProxyHeader,
        Self::ProxyHeaderTimeout,
        Self::NoServer,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::ConnectRefused,
        Self::ConnectTimeout,
        Self::ConnectUnreachable,
        Self::ConnectFailed,
        Self::IdleTimeout,
        Self::ServerDown,
        Self::AddressReleased,
        Self::EndedByOperator,
        Self::Drained,
        Self::Rebalanced,
        Self::Stopped,
        Self::InternalError,
    ];

    /// The documented name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClientClosed => "client-closed",
            Self::ServerClosed => "server-closed",
            Self::ClientReset => "client-reset",
            Self::ServerReset => "server-reset",
            Self::ClientVanished => "client-vanished",
            Self::ServerVanished => "server-vanished",
            Self::Denied => "denied",
            Self::UntrustedProxy => "untrusted-proxy",
            Self::BadProxyHeader => "bad-proxy-header",
            Self::ProxyHeaderTimeout => "proxy-header-timeout",
            Self::NoServer => "no-server",
            Self::QueueFull => "queue-full",
            Self::QueueTimeout => "queue-timeout",
            Self::ConnectRefused => "connect-refused",
            Self::ConnectTimeout => "connect-timeout",
            Self::ConnectUnreachable => "connect-unreachable",
            Self::ConnectFailed => "connect-failed",
            Self::IdleTimeout => "idle-timeout",
            Self::ServerDown => "server-down",
            Self::AddressReleased => "address-released",
            Self::EndedByOperator => "ended-by-operator",
            Self::Drained => "drained",
            Self::Rebalanced => "rebalanced",
            Self::Stopped => "stopped",
            Self::InternalError => "internal-error",
        }
    }

    /// Who ended it.
    #[must_use]
    pub const fn by(self) -> By {
        match self {
            Self::ClientClosed | Self::ClientReset | Self::ClientVanished => By::Client,
            Self::ServerClosed
            | Self::ServerReset
            | Self::ServerVanished
            | Self::ConnectRefused
            | Self::ConnectTimeout
            | Self::ConnectUnreachable => By::Server,
            Self::Denied
            | Self::UntrustedProxy
            | Self::BadProxyHeader
            | Self::ProxyHeaderTimeout
            | Self::NoServer
            | Self::QueueFull
            | Self::QueueTimeout
            | Self::ConnectFailed
            | Self::IdleTimeout
            | Self::ServerDown
            | Self::AddressReleased
            | Self::EndedByOperator
            | Self::Drained
            | Self::Rebalanced
            | Self::Stopped
            | Self::InternalError => By::Us,
        }
    }
}

/// How a connection ended: who and why ([`Cause`]), and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// Who ended it and why.
    pub cause: Cause,
    /// What the connection was doing.
    pub during: During,
}

impl Ending {
    /// HAProxy's two letters for this ending (configuration manual, section 8.5), so that existing
    /// log analysers understand the line.
    #[must_use]
    pub const fn haproxy_code(self) -> &'static str {
        let relaying = matches!(self.during, During::Relaying | During::Draining);
        match self.cause {
            Cause::ClientClosed | Cause::ServerClosed if relaying => "--",
            Cause::ClientClosed | Cause::ClientReset | Cause::ClientVanished => match self.during {
                During::Relaying | During::Draining => "CD",
                During::Choosing => "CQ",
                During::Admitting | During::Connecting => "CC",
            },
            Cause::ServerClosed | Cause::ServerReset => "SD",
            Cause::ServerVanished => "sD",
            Cause::Denied | Cause::UntrustedProxy | Cause::BadProxyHeader => "PR",
            Cause::ProxyHeaderTimeout => "cR",
            Cause::NoServer | Cause::ConnectRefused | Cause::ConnectUnreachable => "SC",
            Cause::QueueFull => "SQ",
            Cause::QueueTimeout => "sQ",
            Cause::ConnectTimeout => "sC",
            Cause::ConnectFailed => "RC",
            Cause::IdleTimeout => "cD",
            Cause::ServerDown => "DD",
            Cause::AddressReleased
            | Cause::EndedByOperator
            | Cause::Drained
            | Cause::Rebalanced
            | Cause::Stopped => "KD",
            Cause::InternalError => "ID",
        }
    }
}

/// The record of one connection, complete when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The client, as the PROXY header says if one was read.
    pub client: SocketAddr,
    /// Time spent choosing a server, waiting for a free slot included; all attempts added up.
    pub choosing: Duration,
    /// Time spent dialling; all attempts added up.
    pub connecting: Duration,
    /// From the first byte that could be relayed to the end.
    pub relaying: Duration,
    /// From accept to end.
    pub total: Duration,
    /// Bytes from the client that were accepted by the server's socket.
    pub to_server: u64,
    /// Bytes from the server that were accepted by the client's socket.
    pub to_client: u64,
    /// Connection attempts after the first.
    pub retries: u32,
    /// Who ended it, when, why.
    pub ending: Ending,
}
