//! The network that everything runs in.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::failure::Failure;

const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Moves this process, and so its children, to a network namespace with nothing but a loopback
/// interface, and says where it is then. Without root it stays where it is.
///
/// There nobody else's connections are in the way, and the congestion control is known: where a
/// host has BBR, a timer paces every stream, also on loopback, and bulk rows measure that timer.
/// Reno is in every kernel, and without loss all that do not pace are alike.
pub(crate) fn isolate() -> Result<String, Failure> {
    let place = match unshare(CloneFlags::CLONE_NEWNET) {
        Ok(()) => {
            raise_loopback()?;
            fs::write(CONGESTION_CONTROL, "reno").map_err(Failure::io(CONGESTION_CONTROL))?;
            "a network namespace of its own"
        }
        Err(Errno::EPERM) => "the host's loopback (root would get a namespace)",
        Err(errno) => return Err(Failure::io("make a network namespace")(errno.into())),
    };
    let control =
        fs::read_to_string(CONGESTION_CONTROL).map_err(Failure::io(CONGESTION_CONTROL))?;
    Ok(format!("{place}, congestion control {}", control.trim()))
}

fn raise_loopback() -> Result<(), Failure> {
    let status = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status()
        .map_err(|source| Failure::Missing {
            program: PathBuf::from("ip"),
            hint: "apt-get install iproute2",
            source,
        })?;
    if status.success() {
        Ok(())
    } else {
        Err(Failure::Early {
            role: "ip link set lo up".into(),
        })
    }
}
