//! A network of our own, in namespaces that need no root: this process on a bridge, and hosts.
//!
//! ```text
//!   this process: user namespace, network "lan"
//!     bridge, 192.0.2.1/24 ---- node-a ==(veth)== eth0, 192.0.2.11/24: network of host node-a
//!                         `---- node-b ==(veth)== eth0, 192.0.2.12/24: network of host node-b
//! ```
//!
//! Threads: one per host, which is in the host's network namespace, holds it open and starts the
//! processes that run on the host. Nothing has a name outside, so all of it goes with this process.

use std::io;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

use crate::sys;
use crate::vip::netlink::{Netlink, NetlinkError, NewLink};

const BRIDGE: &str = "bridge";

/// Why there is no such network.
#[derive(Debug, thiserror::Error)]
pub(super) enum NetworkError {
    #[error("user namespaces are not allowed here, see user_namespaces(7)")]
    Namespace(#[source] io::Error),
    #[error("the kernel does not give us {0}")]
    Link(&'static str, #[source] NetlinkError),
    #[error("a thread cannot be started")]
    Thread(#[source] io::Error),
    #[error("a host's thread has ended")]
    Gone,
}

impl From<io::Error> for NetworkError {
    fn from(error: io::Error) -> Self {
        Self::Namespace(error)
    }
}

/// The network, seen from this process.
pub(super) struct Network {
    netlink: Netlink,
    bridge: u32,
}

impl Network {
    /// Moves this process into namespaces of its own, where `address` is its address on the bridge.
    ///
    /// # Errors
    ///
    /// As unshare(2), which is EINVAL once there are other threads; and where the kernel or an
    /// administrator keeps users from namespaces or what is done in them.
    pub(super) fn enter(address: IpNet) -> Result<Self, NetworkError> {
        let (user, group) = (getuid(), getgid());
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
        // We are root inside, and nobody else is anybody (user_namespaces(7)).
        std::fs::write("/proc/self/setgroups", "deny")?;
        std::fs::write("/proc/self/uid_map", format!("0 {user} 1"))?;
        std::fs::write("/proc/self/gid_map", format!("0 {group} 1"))?;
        let mut netlink = Netlink::open()?;
        let link = |what| move |error| NetworkError::Link(what, error);
        set_up(&mut netlink, "lo", None).map_err(link("a loopback interface"))?;
        let bridge = netlink.make(NewLink::Bridge(BRIDGE));
        let bridge = bridge.and_then(|()| set_up(&mut netlink, BRIDGE, None));
        let bridge = bridge.map_err(link("a bridge"))?;
        let kept = netlink.keep(bridge, address);
        kept.map_err(link("an address"))?;
        Ok(Self { netlink, bridge })
    }

    /// Adds a host with an interface `eth0` that has this address; the other end of its cable gets
    /// the host's name.
    pub(super) fn add(&mut self, name: &'static str, address: IpNet) -> Result<Host, NetworkError> {
        let (commands, to_start) = channel();
        let (tell, started) = channel();
        let (tell_ready, ready) = channel();
        let live = move || match furnish(name, address) {
            Ok(netlink) => {
                let _ = tell_ready.send(Ok(netlink));
                start_all(&to_start, &tell);
            }
            Err(error) => {
                let _ = tell_ready.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name(format!("host {name}"));
        thread.spawn(live).map_err(NetworkError::Thread)?;
        let netlink = ready.recv().map_err(|_| NetworkError::Gone)??;
        set_up(&mut self.netlink, name, Some(self.bridge))
            .map_err(|error| NetworkError::Link("a port of the bridge", error))?;
        Ok(Host {
            netlink,
            commands,
            started,
        })
    }
}

/// A host of the network.
pub(super) struct Host {
    netlink: Netlink,
    commands: Sender<Command>,
    started: Receiver<io::Result<Child>>,
}

impl Host {
    /// Starts a process on this host. It is killed when the host goes.
    pub(super) fn start(&self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other(NetworkError::Gone);
        self.commands.send(command).map_err(|_| gone())?;
        self.started.recv().map_err(|_| gone())?
    }

    /// Whether an interface of this host has the address; processes have no part in that.
    pub(super) fn has(&mut self, address: std::net::IpAddr) -> Result<bool, NetlinkError> {
        let addresses = self.netlink.addresses()?;
        Ok(addresses.iter().any(|one| one.address.addr() == address))
    }
}

/// Makes the network of a host around this thread, and connects it.
fn furnish(name: &'static str, address: IpNet) -> Result<Netlink, NetworkError> {
    unshare(CloneFlags::CLONE_NEWNET).map_err(io::Error::from)?;
    let mut netlink = Netlink::open()?;
    let pair = NewLink::Veth {
        name: "eth0",
        peer: name,
        process: std::process::id(),
    };
    let made = set_up(&mut netlink, "lo", None)
        .and_then(|_| netlink.make(pair))
        .and_then(|()| set_up(&mut netlink, "eth0", None))
        .and_then(|eth0| netlink.keep(eth0, address));
    made.map_err(|error| NetworkError::Link("an Ethernet", error))?;
    Ok(netlink)
}

/// Starts processes until nobody can ask for one any more.
fn start_all(commands: &Receiver<Command>, tell: &Sender<io::Result<Child>>) {
    for mut command in commands {
        // This thread lives as long as the host.
        sys::die_with_this_thread(&mut command);
        if tell.send(command.spawn()).is_err() {
            return;
        }
    }
}

/// Sets the interface with this name up and returns its index.
fn set_up(netlink: &mut Netlink, name: &str, bridge: Option<u32>) -> Result<u32, NetlinkError> {
    let links = netlink.links()?;
    let link = links.iter().find(|link| link.name == name);
    let index = link.ok_or(NetlinkError::NoInterface)?.index;
    netlink.set_up(index, bridge)?;
    Ok(index)
}
