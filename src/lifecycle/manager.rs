//! The socket of the service manager, sd_notify(3).

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;

use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};

/// Where its path is; unset when nobody wants to know.
const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// Whom to tell. The socket never blocks, so that a service manager that hangs cannot hang the
/// daemon.
#[derive(Debug)]
pub(super) struct Manager {
    socket: UnixDatagram,
    address: UnixAddr,
}

impl Manager {
    /// The one that started us; `None` without one.
    ///
    /// # Errors
    ///
    /// `NOTIFY_SOCKET` is set but is no socket address, or no socket can be had.
    pub(super) fn from_environment() -> io::Result<Option<Self>> {
        let name = std::env::var_os(NOTIFY_SOCKET);
        name.map(|name| Self::at(&name)).transpose()
    }

    /// A path, or an abstract name behind `@`.
    pub(super) fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => UnixAddr::new_abstract(name)?,
            None => UnixAddr::new(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, address })
    }

    /// Sends assignments, one a line, and descriptors, of which the manager gets copies. A failure
    /// is logged and forgotten: systemd draws its own conclusions from silence.
    pub(super) fn tell(&self, message: &str, descriptors: &[BorrowedFd<'_>]) {
        if let Err(error) = self.send(message, descriptors) {
            tracing::warn!(%error, "the service manager cannot be notified");
        }
    }

    fn send(&self, message: &str, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let rights = if raw.is_empty() { &[][..] } else { &rights };
        let text = [IoSlice::new(message.as_bytes())];
        let (socket, to) = (self.socket.as_raw_fd(), Some(&self.address));
        sendmsg(socket, &text, rights, MsgFlags::empty(), to)?;
        Ok(())
    }
}
