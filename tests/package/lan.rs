//! The network of the documentation, 192.0.2.0/24: machines, three brokers, clients.

use std::process::{Child, Stdio};
use std::time::Instant;

use nix::unistd::Pid;

use crate::machine::{Machine, SOON, mortal};
use crate::traffic::Server;

/// As in the example configurations.
const BROKERS: &[&str] = &["192.0.2.21:5672", "192.0.2.22:5672", "192.0.2.23:5672"];

/// A bridge with brokers that echo. It goes when it is dropped.
pub(crate) struct Lan {
    /// The process whose network namespace it is.
    holder: Child,
    _brokers: Server,
}

impl Lan {
    pub(crate) fn new() -> Self {
        let mut command = mortal("unshare");
        command.args(["--net", "sleep", "600"]).stdin(Stdio::null());
        let holder = command.spawn().unwrap();
        let network = Pid::from_raw(i32::try_from(holder.id()).unwrap());
        // Until it is in its own namespace, entering it would mean entering ours.
        let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
        let its = format!("/proc/{network}/ns/net");
        let begun = Instant::now();
        while std::fs::read_link(&its).map_or(true, |link| link == ours) {
            assert!(begun.elapsed() < SOON, "no namespace");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        for command in [
            "link set lo up",
            "link add br0 type bridge",
            "link set br0 up",
            "address add 192.0.2.50/24 dev br0",
            "address add 192.0.2.21/24 dev br0",
            "address add 192.0.2.22/24 dev br0",
            "address add 192.0.2.23/24 dev br0",
        ] {
            ip(network, command);
        }
        Self {
            holder,
            _brokers: Server::start(network, BROKERS),
        }
    }

    /// Where the clients are.
    pub(crate) fn network(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.holder.id()).unwrap())
    }

    /// Gives a machine its `eth0`, 192.0.2.NUMBER.
    pub(crate) fn plug_in(&self, machine: &Machine, number: u8) {
        let init = machine.network();
        let (lan, port) = (self.network(), format!("port{number}"));
        ip(
            lan,
            &format!("link add {port} type veth peer name eth0 netns {init}"),
        );
        ip(lan, &format!("link set {port} master br0 up"));
        ip(init, &format!("address add 192.0.2.{number}/24 dev eth0"));
        ip(init, "link set eth0 up");
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        // It has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// `ip` in the network of a process.
fn ip(network: Pid, words: &str) {
    let mut command = mortal("nsenter");
    command.args(["-t", &network.to_string(), "--net", "ip"]);
    let output = command.args(words.split(' ')).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {words}: {said}");
}
