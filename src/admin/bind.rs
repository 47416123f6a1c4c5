//! Making the stats socket.

use std::fs::Permissions;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, umask};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Binds the stats socket so that it never exists with wider permissions than `mode`: it is made
/// under a closed umask and under another name, gets its mode, and is then renamed. A stale socket
/// (nobody answers) is replaced in the same step.
///
/// # Errors
///
/// `AddrInUse` when another daemon answers on it, `AlreadyExists` when something else than a socket
/// is there, `NotFound` when its directory is missing; whatever the file system says.
pub fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() && !parent.is_dir() => {
            return Err(io::Error::new(
                ErrorKind::NotFound,
                format!("there is no directory {}", parent.display()),
            ));
        }
        _ => {}
    }
    refuse_unless_free(path)?;
    let unfinished = unfinished_name(path);
    remove_if_there(&unfinished)?;
    let listener = bind_closed(&unfinished)?;
    std::fs::set_permissions(&unfinished, Permissions::from_mode(mode & 0o777))
        .and_then(|()| std::fs::rename(&unfinished, path))
        .inspect_err(|_| {
            // The first error is the one worth telling.
            let _ = remove_if_there(&unfinished);
        })?;
    Ok(listener)
}

/// Binds with no permission for anybody but the owner. The umask belongs to the process, so another
/// thread that makes a file at this moment gets a narrower one; never a wider one.
fn bind_closed(path: &Path) -> io::Result<UnixListener> {
    let before = umask(Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(path);
    umask(before);
    listener
}

fn unfinished_name(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Good when there is nothing, or a socket on which nobody answers.
fn refuse_unless_free(path: &Path) -> io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            ErrorKind::AlreadyExists,
            "something that is not a socket is in its place",
        ));
    }
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A daemon that hangs has a full backlog; waiting for it would hang us too.
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Err(io::Error::new(
            ErrorKind::AddrInUse,
            "another daemon answers on it",
        )),
    }
}
