//! Listening sockets outlive the daemon, whatever way it ends, and clients wait meanwhile.

use std::io::ErrorKind;

use nix::sys::signal::{Signal, kill};

use crate::deb::Packages;
use crate::machine::Machine;
use crate::traffic::{Clients, ENTRANCE, SERVER, Server, is_refused};

/// A machine with the package, `config` and a server.
pub(crate) fn machine(packages: &Packages, config: &str) -> (Machine, Server) {
    let machine = Machine::boot("lb-1", &packages.folder);
    let server = Server::start(machine.network(), &[SERVER]);
    machine.ok("dpkg -i /srv/warren.deb");
    configure(&machine, config);
    (machine, server)
}

pub(crate) fn configure(machine: &Machine, config: &str) {
    machine.ok(&format!(
        "cat >/etc/warren/warren.toml <<'END'\n{config}\nEND"
    ));
}

/// A configuration with one listener for each of `addresses`.
pub(crate) fn listening_at(addresses: &[&str], workers: usize) -> String {
    let mut text = format!(
        "[global]\nworkers = {workers}\n\
         [pool.rabbit.servers]\none = \"{SERVER}\"\n\
         [pool.rabbit.check]\ntype = \"tcp\"\n"
    );
    for (number, address) in addresses.iter().enumerate() {
        text += &format!("[listen.l{number}]\nbind = \"{address}\"\npool = \"rabbit\"\n");
    }
    text
}

fn restart(machine: &Machine) {
    let before = machine.property("MainPID");
    machine.ok("systemctl restart warren");
    assert_ne!(machine.property("MainPID"), before);
}

fn kept(machine: &Machine) -> String {
    machine.property("NFileDescriptorStore")
}

pub(crate) fn a_restart_refuses_nobody(packages: &Packages) {
    let (machine, _server) = machine(packages, &listening_at(&[ENTRANCE], 2));
    machine.ok("systemctl start warren");
    assert_eq!(kept(&machine), "2");
    let clients = Clients::start(&machine);
    for _ in 0..3 {
        clients.are_served(&machine);
        restart(&machine);
        assert_eq!(kept(&machine), "2");
    }
    clients.are_served(&machine);
    let failures = clients.stop();
    assert!(failures.is_empty(), "{failures:?}\n{}", machine.journal());
    // An end is an end.
    machine.ok("systemctl stop warren");
    assert!(is_refused(&machine, ENTRANCE));
    assert_eq!(kept(&machine), "0");
}

pub(crate) fn a_killed_daemon_refuses_nobody(packages: &Packages) {
    let (machine, _server) = machine(packages, &listening_at(&[ENTRANCE], 2));
    machine.ok("systemctl start warren");
    let clients = Clients::start(&machine);
    clients.are_served(&machine);
    kill(machine.daemon().unwrap(), Signal::SIGKILL).unwrap();
    machine.until("it is started again", || {
        (machine.property("NRestarts") == "1").then_some(())
    });
    clients.are_served(&machine);
    let failures = clients.stop();
    // Those that were connected when it died; each client had one connection at most.
    let reset = |failure: &&(&str, ErrorKind)| failure.1 != ErrorKind::ConnectionRefused;
    let cut = failures.iter().filter(reset).count();
    assert_eq!(cut, failures.len(), "{failures:?}\n{}", machine.journal());
    assert!(cut <= 4, "{failures:?}");
}

pub(crate) fn workers_and_addresses_may_change(packages: &Packages) {
    const SIX: &str = "[::1]:5672";
    const OTHER: &str = "127.0.0.1:5680";
    let config = listening_at(&[ENTRANCE, SIX, OTHER], 3);
    let (machine, _server) = machine(packages, &config);
    machine.ok("systemctl start warren");
    assert_eq!(kept(&machine), "9");
    let clients = Clients::start(&machine);
    // Fewer workers have all sockets between them; an address that is gone is refused.
    clients.are_served(&machine);
    configure(&machine, &listening_at(&[ENTRANCE, SIX], 1));
    restart(&machine);
    assert_eq!(kept(&machine), "6", "{}", machine.journal());
    assert!(is_refused(&machine, OTHER));
    clients.are_served(&machine);
    // More workers get further sockets, and so does a new address.
    configure(&machine, &listening_at(&[OTHER, SIX, ENTRANCE], 4));
    restart(&machine);
    assert_eq!(kept(&machine), "12", "{}", machine.journal());
    assert!(!is_refused(&machine, OTHER));
    assert!(!is_refused(&machine, SIX));
    clients.are_served(&machine);
    let failures = clients.stop();
    assert!(failures.is_empty(), "{failures:?}\n{}", machine.journal());
    // All addresses of the host overlap with each of them.
    configure(&machine, &listening_at(&["0.0.0.0:5672"], 2));
    restart(&machine);
    assert_eq!(kept(&machine), "2", "{}", machine.journal());
    assert!(!is_refused(&machine, ENTRANCE));
}

pub(crate) fn a_reload_keeps_the_copies_in_step(packages: &Packages) {
    const OTHER: &str = "127.0.0.1:5680";
    let (machine, _server) = machine(packages, &listening_at(&[ENTRANCE], 2));
    machine.ok("systemctl start warren");
    let keeps = |count: &str| {
        machine.until(&format!("{count} copies"), || {
            (kept(&machine) == count).then_some(())
        });
    };
    configure(&machine, &listening_at(&[ENTRANCE, OTHER], 2));
    machine.ok("systemctl reload warren");
    keeps("4");
    restart(&machine);
    assert_eq!(kept(&machine), "4");
    assert!(!is_refused(&machine, OTHER));
    configure(&machine, &listening_at(&[ENTRANCE], 2));
    machine.ok("systemctl reload warren");
    keeps("2");
    assert!(is_refused(&machine, OTHER));
    assert!(!is_refused(&machine, ENTRANCE));
}

pub(crate) fn what_shall_refuse_refuses(packages: &Packages) {
    let (machine, _server) = machine(packages, &listening_at(&[ENTRANCE], 2));
    machine.ok("systemctl start warren");
    let tell = |words: &str| {
        let script = "import socket,sys; s=socket.socket(socket.AF_UNIX); \
                      s.connect('/run/warren/admin.sock'); s.sendall(sys.argv[1].encode()+b'\\n'); \
                      print(s.recv(999).decode())";
        let answer = machine.ok(&format!("python3 -c \"{script}\" '{words}'"));
        assert_eq!(answer, "", "{words}");
    };
    // A listener that an operator has closed is not kept open by the copies.
    tell("disable frontend l0");
    machine.until("clients are refused", || {
        is_refused(&machine, ENTRANCE).then_some(())
    });
    machine.until("the copies are gone", || {
        (kept(&machine) == "0").then_some(())
    });
    tell("enable frontend l0");
    machine.until("new copies are kept", || {
        (kept(&machine) == "2").then_some(())
    });
    let clients = Clients::start(&machine);
    clients.are_served(&machine);
    restart(&machine);
    clients.are_served(&machine);
    assert_eq!(clients.stop(), []);
    // Nobody waits for a daemon that does not start. This one is not even tried again.
    configure(&machine, "[listen.l0]");
    machine.fails("systemctl restart warren");
    machine.until("clients are refused", || {
        is_refused(&machine, ENTRANCE).then_some(())
    });
    assert_eq!(kept(&machine), "0");
    // And this one again and again.
    let config = listening_at(&[ENTRANCE], 2);
    configure(&machine, &config);
    machine.ok("systemctl restart warren");
    assert_eq!(kept(&machine), "2");
    configure(
        &machine,
        &format!("{config}\n[admin]\nsocket = \"/run/nowhere/admin.sock\""),
    );
    machine.fails("timeout 20 systemctl restart warren");
    machine.until("clients are refused", || {
        is_refused(&machine, ENTRANCE).then_some(())
    });
    let journal = machine.journal();
    assert!(
        journal.contains("/run/nowhere/admin.sock cannot be made"),
        "{journal}"
    );
}
