//! Whether a peer has gone without a word while it owes us an acknowledgement.
//!
//! Keepalive finds a peer that vanished from an idle connection, but does not ask while data waits
//! to be acknowledged: there the kernel goes on for a quarter of an hour (`tcp_retries2`, tcp(7)).
//! TCP_USER_TIMEOUT would end that sooner, and with it every peer whose window is closed although
//! it answers, as a broker's is during an alarm. So the kernel is asked what it knows (TCP_INFO),
//! of connections on which nothing has moved for a while.

use std::io;
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

/// The state of a socket whose connection is over (`include/net/tcp_states.h`).
const TCP_CLOSE: u8 = 7;

/// Why the connection is over, if it is.
///
/// SO_ERROR alone would not do: it also tells, and forgets, what TCP goes on after, such as a
/// neighbour that cannot be reached for a while ("soft" errors, RFC 1122, section 4.2.3.9).
pub(super) fn failure(stream: &TcpStream) -> Option<io::Error> {
    let info = getsockopt(stream, TcpInfo).ok()?;
    if info.tcpi_state != TCP_CLOSE {
        return None;
    }
    stream.take_error().ok().flatten()
}

/// What the kernel knows of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    /// It owes us nothing.
    Quiet,
    /// It owes us an acknowledgement, or keeps its window closed while there is something for it.
    Awaited,
    /// It has owed us an acknowledgement for too long.
    Gone,
}

/// What is known of the peer of a connection on which nothing has moved for [`PATIENCE`].
pub(super) fn look(stream: &TcpStream) -> Peer {
    // A socket that does not tell has failed, as its next read will say.
    let info = getsockopt(stream, TcpInfo);
    info.map_or(Peer::Quiet, |info| {
        let heard = Duration::from_millis(info.tcpi_last_ack_recv.into());
        let waiting = info.tcpi_notsent_bytes > 0;
        judge(info.tcpi_unacked, info.tcpi_probes, waiting, heard)
    })
}

/// `unacknowledged`: segments on their way. `probes`: questions without an answer. `waiting`: bytes
/// are kept back by its window. `heard`: since when it has acknowledged nothing.
fn judge(unacknowledged: u32, probes: u8, waiting: bool, heard: Duration) -> Peer {
    match (unacknowledged, probes) {
        (1.., _) if heard >= PATIENCE => Peer::Gone,
        (0, 1..) if heard > PATIENCE_CLOSED => Peer::Gone,
        (0, 0) if !waiting => Peer::Quiet,
        _ => Peer::Awaited,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_peer_that_owes_an_answer_can_be_gone() {
        let seconds = |count: f64| Duration::from_secs_f64(count);
        let hours = seconds(10_000.0);
        assert_eq!(judge(0, 0, false, hours), Peer::Quiet, "idle");
        assert_eq!(judge(1, 0, false, seconds(69.999)), Peer::Awaited);
        assert_eq!(judge(1, 0, false, seconds(70.0)), Peer::Gone);
        assert_eq!(judge(7, 3, false, seconds(0.0)), Peer::Awaited, "answers");
    }

    #[test]
    fn a_closed_window_is_asked_about_again_and_again() {
        let seconds = Duration::from_secs;
        // Every question has been answered, the last one a minute ago. It may go at any time.
        assert_eq!(judge(0, 0, true, seconds(60)), Peer::Awaited);
        assert_eq!(judge(0, 1, true, seconds(120)), Peer::Awaited);
        assert_eq!(judge(0, 1, true, seconds(240)), Peer::Awaited);
        assert_eq!(judge(0, 1, true, seconds(241)), Peer::Gone);
        assert_eq!(judge(0, 1, false, seconds(241)), Peer::Gone);
    }
}
