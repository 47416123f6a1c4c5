//! The network that everything runs in.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};

use crate::failure::Failure;
use crate::process::{Side, Worker, prepare};

const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";
/// Where it is 1, a port in TIME_WAIT is used again after a second, as it is on loopback by itself;
/// with it, who closes first can open more than 28,000 connections a minute to one address. It is
/// what the operators of balancers set, whichever they have.
const REUSE: &str = "/proc/sys/net/ipv4/tcp_tw_reuse";

/// Where client, balancer and server are, and how they reach each other. The client is where this
/// process is.
#[derive(Debug)]
pub(crate) struct Scene {
    /// What the server binds.
    pub(crate) server: IpAddr,
    pub(crate) server_seen_by_balancer: IpAddr,
    /// By a link of its own: without a balancer there is no hop in between.
    pub(crate) server_seen_by_client: IpAddr,
    /// What the balancer binds.
    pub(crate) balancer: IpAddr,
    /// For people.
    pub(crate) description: String,
    /// None: all are on one loopback.
    others: Option<Others>,
}

/// The namespaces that are not ours. They end with their keepers, and those with this process,
/// whatever it dies of.
#[derive(Debug)]
struct Others {
    balancer: PathBuf,
    server: PathBuf,
    _keepers: [Worker; 2],
}

impl Scene {
    /// Everything on loopback: as root in a network namespace with nothing else, else the host's.
    ///
    /// There nobody else's connections are in the way, and the congestion control is known: where
    /// a host has BBR, a timer paces every stream, also on loopback, and bulk rows measure that
    /// timer. Reno is in every kernel, and without loss all that do not pace are alike.
    pub(crate) fn loopback() -> Result<Self, Failure> {
        let place = match isolate() {
            Ok(()) => "loopback in a network namespace of its own",
            Err(Failure::Io { source, .. })
                if source.raw_os_error() == Some(Errno::EPERM as i32) =>
            {
                "the host's loopback (root would get a namespace)"
            }
            Err(failure) => return Err(failure),
        };
        let here = IpAddr::from(Ipv4Addr::LOCALHOST);
        Ok(Self {
            server: here,
            server_seen_by_balancer: here,
            server_seen_by_client: here,
            balancer: here,
            description: describe(place)?,
            others: None,
        })
    }

    /// Client, balancer and server in a namespace each, every two of them joined by a pair of veth
    /// devices.
    pub(crate) fn namespaces() -> Result<Self, Failure> {
        isolate().map_err(|failure| Failure::Namespaces {
            doing: "make a network namespace".to_owned(),
            said: failure.to_string(),
        })?;
        let keep = || {
            let mut keeper = Worker::start(&["keep".to_owned()], None)?;
            keeper.hear()?;
            Ok(keeper)
        };
        let keepers = [keep()?, keep()?];
        let [balancer, server] = [keepers[0].pid(), keepers[1].pid()];
        let client = std::process::id();
        join((client, "balancer"), (balancer, "client"), 1)?;
        join((balancer, "server"), (server, "balancer"), 2)?;
        join((client, "server"), (server, "client"), 3)?;
        let file = |pid: u32| PathBuf::from(format!("/proc/{pid}/ns/net"));
        Ok(Self {
            server: Ipv4Addr::UNSPECIFIED.into(),
            server_seen_by_balancer: address(2, 2),
            server_seen_by_client: address(3, 2),
            balancer: address(1, 2),
            description: describe("three network namespaces joined by veth")?,
            others: Some(Others {
                balancer: file(balancer),
                server: file(server),
                _keepers: keepers,
            }),
        })
    }

    /// The balancer's namespace, if it is not ours.
    pub(crate) fn balancer_namespace(&self) -> Option<&Path> {
        self.others.as_ref().map(|others| others.balancer.as_path())
    }

    /// The server's namespace, if it is not ours.
    pub(crate) fn server_namespace(&self) -> Option<&Path> {
        self.others.as_ref().map(|others| others.server.as_path())
    }
}

/// What the keeper of a namespace does: make it, say so, and stay until its input ends.
pub(crate) fn keep() -> Result<(), Failure> {
    prepare(Side::Load)?;
    isolate()?;
    println!("kept");
    let mut line = String::new();
    let ended = std::io::stdin().read_line(&mut line);
    ended.map(drop).map_err(Failure::io("wait"))
}

/// Moves this process, and so its children, to a network namespace with nothing but a loopback
/// interface.
fn isolate() -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNET)
        .map_err(|errno| Failure::io("make a network namespace")(errno.into()))?;
    ip(std::process::id(), "link set lo up")?;
    fs::write(REUSE, "1").map_err(Failure::io(REUSE))?;
    fs::write(CONGESTION_CONTROL, "reno").map_err(Failure::io(CONGESTION_CONTROL))
}

fn describe(place: &str) -> Result<String, Failure> {
    let control =
        fs::read_to_string(CONGESTION_CONTROL).map_err(Failure::io(CONGESTION_CONTROL))?;
    Ok(format!("{place}, congestion control {}", control.trim()))
}

/// The address of one end, 1 or 2, of a link.
fn address(link: u8, end: u8) -> IpAddr {
    [10, 8, link, end].into()
}

/// Joins the namespaces of two processes, each with a device of the given name.
fn join(one: (u32, &str), two: (u32, &str), link: u8) -> Result<(), Failure> {
    let ((pid, name), (other_pid, other_name)) = (one, two);
    ip(
        pid,
        &format!("link add {name} type veth peer name {other_name} netns {other_pid}"),
    )?;
    for (end, (pid, name)) in [(1, one), (2, two)] {
        ip(
            pid,
            &format!("address add {}/24 dev {name}", address(link, end)),
        )?;
        ip(pid, &format!("link set {name} up"))?;
    }
    Ok(())
}

/// Runs `ip` in the network namespace of a process.
fn ip(pid: u32, words: &str) -> Result<(), Failure> {
    let output = Command::new("nsenter")
        .args(["-t", &pid.to_string(), "-n", "ip"])
        .args(words.split(' '))
        .output()
        .map_err(|source| Failure::Missing {
            program: PathBuf::from("nsenter"),
            hint: "apt-get install util-linux iproute2",
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(Failure::Namespaces {
        doing: format!("ip {words}"),
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
