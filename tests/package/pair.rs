//! Two machines with a virtual address between them, set up as the README says.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};

use crate::deb::{Packages, version};
use crate::lan::Lan;
use crate::machine::{Machine, SOON, in_network};
use crate::traffic::visit;

/// The virtual address of the example configurations.
const VIRTUAL: &str = "192.0.2.100:5672";

/// The commands that the README prints for a node, in their order.
fn printed() -> Vec<String> {
    let readme = include_str!("../../README.md");
    let section = readme
        .split("\n## ")
        .find(|text| text.starts_with("Run it\n"));
    let blocks = section.unwrap().split("```sh\n").skip(1);
    let lines = blocks.flat_map(|block| block.split("```").next().unwrap().lines());
    lines.map(str::to_owned).collect()
}

/// Does on a machine what the README says, with the example of this name.
fn set_up(machine: &Machine, example: &str) {
    let architecture = machine.ok("dpkg --print-architecture");
    let file = format!("warren_{}_{architecture}.deb", version());
    machine.ok(&format!("cp /srv/warren.deb /root/{file}"));
    // Nothing to edit: the network is that of the examples.
    machine.ok("ln -s /bin/true /usr/local/bin/editor");
    let commands = printed();
    assert!(commands.len() >= 5, "{commands:?}");
    assert!(commands.iter().any(|line| line.contains("master.toml")));
    for command in commands {
        // "On the second node it is backup.toml."
        let command = command.replace("master.toml", example);
        // The README has the version of one architecture.
        let command = command.replace("_amd64.deb", &format!("_{architecture}.deb"));
        machine.ok(&command);
    }
}

/// Waits until the virtual router of a machine is in this state.
fn becomes(machine: &Machine, state: &str) {
    let line = format!("VIRTUAL ROUTER amqp  {state}");
    machine.until(&line, || {
        let output = machine.run("warren vrrp");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.contains(&line).then_some(())
    });
}

/// A client of the virtual address is served.
fn serves(lan: &Lan, machine: &Machine) {
    let network = lan.network();
    machine.until("clients of the virtual address are served", || {
        let visited = in_network(network, || visit(VIRTUAL.parse().unwrap()));
        visited.join().unwrap().ok()
    });
}

pub(crate) fn the_quick_start_works_as_printed(packages: &Packages) {
    let lan = Lan::new();
    let first = Machine::boot("lb-1", &packages.folder);
    let second = Machine::boot("lb-2", &packages.folder);
    lan.plug_in(&first, 11);
    lan.plug_in(&second, 12);
    set_up(&first, "master.toml");
    set_up(&second, "backup.toml");
    becomes(&first, "master");
    becomes(&second, "backup");
    serves(&lan, &first);
    let says = |machine: &Machine, line: &str| {
        machine.until(line, || {
            machine
                .property("StatusText")
                .starts_with(line)
                .then_some(())
        });
    };
    says(&first, "master of amqp; 3/3 servers usable; ");
    says(&second, "backup of amqp; 3/3 servers usable; ");
    // Both come up with their machines, and the other one takes over.
    first.ok("systemctl is-enabled warren && systemctl stop warren");
    becomes(&second, "master");
    serves(&lan, &second);
    assert!(!first.ok("ip address show dev eth0").contains("192.0.2.100"));
}

pub(crate) fn clients_who_came_to_a_dead_master_are_reset(packages: &Packages) {
    let lan = Lan::new();
    let machine = Machine::boot("lb-1", &packages.folder);
    lan.plug_in(&machine, 11);
    set_up(&machine, "master.toml");
    becomes(&machine, "master");
    serves(&lan, &machine);
    kill(machine.daemon().unwrap(), Signal::SIGKILL).unwrap();
    // The kernel has the address for a while, and systemd the socket. The while is made longer, as
    // this machine may be too busy to start again in it.
    machine.ok("ip address change 192.0.2.100/24 dev eth0 valid_lft 60 preferred_lft 0");
    let client = in_network(lan.network(), || {
        let mut client = TcpStream::connect_timeout(&VIRTUAL.parse().unwrap(), SOON).unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        client.write_all(b"ping").unwrap();
        // The address goes to another node, where nobody knows this connection.
        client.read(&mut [0; 4]).map_err(|error| error.kind())
    });
    assert_eq!(
        client.join().unwrap(),
        Err(ErrorKind::ConnectionReset),
        "{}",
        machine.journal()
    );
}
