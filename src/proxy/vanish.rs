//! Whether a peer has gone without a word while it owes us an acknowledgement.
//!
//! Keepalive finds a peer that vanished from an idle connection, but does not ask while data waits
//! to be acknowledged: there the kernel goes on for a quarter of an hour (`tcp_retries2`, tcp(7)).
//! TCP_USER_TIMEOUT would end that sooner, and with it every peer whose window is closed although
//! it answers, as a broker's is during an alarm. So the kernel is asked what it knows (TCP_INFO),
//! of connections on which nothing has moved for a while.

use std::time::Duration;

use nix::libc;
use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::GetStruct;
use tokio::net::TcpStream;

nix::getsockopt_impl!(
    TcpInfo,
    libc::IPPROTO_TCP,
    libc::TCP_INFO,
    libc::tcp_info,
    GetStruct<libc::tcp_info>
);

/// TCP_INFO (tcp(7), `linux/tcp.h`).
#[derive(Debug, Clone, Copy)]
struct TcpInfo;

/// How long data may be on its way without any acknowledgement: as long as an idle peer may leave
/// keepalive unanswered.
pub(super) const PATIENCE: Duration = Duration::from_secs(70);
/// How long a closed window may be asked about without an answer. The kernel asks every two minutes
/// at last.
const PATIENCE_CLOSED: Duration = Duration::from_secs(240);

/// What the kernel knows of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// It owes us nothing.
    Quiet,
    /// It owes us an acknowledgement, or keeps its window closed.
    Awaited,
    /// It has owed us an acknowledgement for too long.
    Gone,
}

/// What is known of the peer of a connection on which nothing has moved for [`PATIENCE`].
pub(super) fn look(stream: &TcpStream) -> Peer {
    // A socket that does not tell has failed, as its next read will say.
    let info = getsockopt(stream, TcpInfo);
    info.map_or(Peer::Quiet, |info| {
        judge(info.tcpi_unacked, info.tcpi_probes, info.tcpi_last_ack_recv)
    })
}

/// `unacknowledged`: segments on their way. `probes`: questions without an answer. `heard`:
/// milliseconds since the peer acknowledged something.
fn judge(unacknowledged: u32, probes: u8, heard: u32) -> Peer {
    let heard = Duration::from_millis(heard.into());
    match (unacknowledged, probes) {
        (0, 0) => Peer::Quiet,
        (0, _) if heard > PATIENCE_CLOSED => Peer::Gone,
        (1.., _) if heard >= PATIENCE => Peer::Gone,
        _ => Peer::Awaited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_peer_that_owes_an_answer_can_be_gone() {
        let hours = 3 * 3_600_000;
        assert_eq!(judge(0, 0, hours), Peer::Quiet, "idle");
        assert_eq!(judge(1, 0, 69_999), Peer::Awaited);
        assert_eq!(judge(1, 0, 70_000), Peer::Gone);
        assert_eq!(judge(7, 3, 0), Peer::Awaited, "it answers");
        assert_eq!(judge(0, 1, 120_000), Peer::Awaited, "closed window");
        assert_eq!(judge(0, 1, 240_001), Peer::Gone);
    }
}
