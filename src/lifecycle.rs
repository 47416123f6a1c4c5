//! Signals, readiness and watchdog to systemd, the drain.

use std::cell::RefCell;
use std::io;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::daemon::Command;

pub mod fd_store;
mod manager;
pub mod progress;

use manager::Manager;

/// Tells systemd how the daemon is. Without systemd every call does nothing.
#[derive(Debug)]
pub struct Notifier {
    manager: Option<Manager>,
    watchdog: Option<Duration>,
    /// The line in `systemctl status`: a new one is sent, the same one is not.
    shown: RefCell<String>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`, once.
    ///
    /// # Errors
    ///
    /// `NOTIFY_SOCKET` is set but is no socket address, or no socket can be had.
    pub fn from_environment() -> io::Result<Self> {
        Ok(Self {
            manager: Manager::from_environment()?,
            shown: RefCell::default(),
            watchdog: sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()),
        })
    }

    /// The daemon serves, or has read its configuration again, or refused it. `status` is one line
    /// for `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.shown.replace(status.to_owned());
        self.send(&[NotifyState::Ready, NotifyState::Status(&one_line(status))]);
    }

    /// The configuration is being read again. [`Self::ready`] has to follow.
    pub fn reloading(&self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.send(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!(%error, "the clock cannot be read"),
        }
    }

    /// Replaces the line in `systemctl status`, unless it is the same.
    pub fn status(&self, text: &str) {
        if *self.shown.borrow() == text {
            return;
        }
        self.shown.replace(text.to_owned());
        self.send(&[NotifyState::Status(&one_line(text))]);
    }

    /// The daemon is on its way out.
    pub fn stopping(&self) {
        self.send(&[NotifyState::Stopping]);
    }

    /// The start or stop that is going on needs this much longer, counted from now.
    pub fn extend_timeout(&self, more: Duration) {
        let microseconds = u32::try_from(more.as_micros()).unwrap_or(u32::MAX);
        self.send(&[NotifyState::ExtendTimeoutUsec(microseconds)]);
    }

    /// How often to call [`Self::ping`]: half of what systemd waits for. `None`: not at all.
    #[must_use]
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// The daemon makes progress.
    pub fn ping(&self) {
        self.send(&[NotifyState::Watchdog]);
    }

    fn send(&self, states: &[NotifyState<'_>]) {
        let Some(manager) = &self.manager else {
            return;
        };
        let message: String = states.iter().map(|state| format!("{state}\n")).collect();
        manager.tell(&message, &[]);
    }
}

/// A line break would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// Holds back the signals that ask something of a running daemon, until [`signals`] takes them:
/// a process that does not know them yet is ended by them. Those that are to end it do so at any
/// time. For the main thread, before there are others.
///
/// # Errors
///
/// None that this system knows.
pub fn hold_requests() -> io::Result<()> {
    Ok(requests().thread_block()?)
}

/// The signals that ask something of a running daemon.
fn requests() -> SigSet {
    SigSet::from_iter([Signal::SIGHUP, Signal::SIGUSR1])
}

/// Turns the signals of the process into commands.
///
/// # Errors
///
/// When a handler cannot be installed.
pub fn signals(commands: mpsc::Sender<Command>) -> io::Result<()> {
    let wanted = [
        (SignalKind::terminate(), Command::Stop),
        (SignalKind::interrupt(), Command::Stop),
        (SignalKind::quit(), Command::End),
        (SignalKind::hangup(), Command::Reload),
        (SignalKind::user_defined1(), Command::Dump),
    ];
    for (kind, command) in wanted {
        let mut stream = signal(kind)?;
        let commands = commands.clone();
        tokio::task::spawn_local(async move {
            while stream.recv().await.is_some() {
                // A burst of the same signal counts once: a full queue holds enough of them.
                let _ = commands.try_send(command);
            }
        });
    }
    Ok(requests().thread_unblock()?)
}

#[cfg(test)]
mod tests {
    //! A socket plays the service manager.

    use std::ffi::OsStr;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    use super::*;

    fn pair(name: &OsStr, address: &SocketAddr) -> (Notifier, UnixDatagram) {
        let server = UnixDatagram::bind_addr(address).unwrap();
        let notifier = Notifier {
            manager: Some(Manager::at(name).unwrap()),
            watchdog: Some(Duration::from_secs(10)),
            shown: RefCell::default(),
        };
        (notifier, server)
    }

    fn heard(server: &UnixDatagram) -> String {
        let mut message = [0; 256];
        let length = server.recv(&mut message).unwrap();
        String::from_utf8(message[..length].to_vec()).unwrap()
    }

    #[test]
    fn says_what_systemd_understands() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let address = SocketAddr::from_pathname(&path).unwrap();
        let (notifier, server) = pair(path.as_os_str(), &address);
        notifier.ready("3/3 servers up\nWATCHDOG=trigger");
        assert_eq!(
            heard(&server),
            "READY=1\nSTATUS=3/3 servers up WATCHDOG=trigger\n"
        );
        notifier.status("draining");
        assert_eq!(heard(&server), "STATUS=draining\n");
        // The same line is not sent again.
        notifier.status("draining");
        notifier.stopping();
        assert_eq!(heard(&server), "STOPPING=1\n");
        notifier.extend_timeout(Duration::from_secs(2));
        assert_eq!(heard(&server), "EXTEND_TIMEOUT_USEC=2000000\n");
        notifier.ping();
        assert_eq!(heard(&server), "WATCHDOG=1\n");
        assert_eq!(notifier.watchdog_interval(), Some(Duration::from_secs(5)));
    }

    #[test]
    fn speaks_to_an_abstract_socket() {
        let name = format!("warren-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let (notifier, server) = pair(OsStr::new(&format!("@{name}")), &address);
        notifier.ping();
        assert_eq!(heard(&server), "WATCHDOG=1\n");
    }

    #[test]
    fn never_waits_for_a_manager_that_hangs_or_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let address = SocketAddr::from_pathname(&path).unwrap();
        let (notifier, server) = pair(path.as_os_str(), &address);
        for _ in 0..10_000 {
            notifier.ping();
        }
        drop(server);
        notifier.ping();
        let nobody = Notifier {
            manager: None,
            watchdog: None,
            shown: RefCell::default(),
        };
        nobody.ready("alone");
        assert_eq!(nobody.watchdog_interval(), None);
    }
}
