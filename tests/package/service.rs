//! The unit under systemd: privileges, readiness, status, reload, watchdog.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::deb::Packages;
use crate::machine::{Machine, in_network};
use crate::restart::{configure, listening_at, machine};
use crate::traffic::{ENTRANCE, SERVER};

pub(crate) fn runs_without_privileges(packages: &Packages) {
    let (machine, _server) = machine(packages, &listening_at(&["127.0.0.1:80"], 1));
    machine.ok("systemctl start warren");
    let daemon = machine.daemon().unwrap();
    let status = fs::read_to_string(format!("/proc/{daemon}/status")).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap().split_whitespace().collect::<Vec<_>>()
    };
    let number = machine.ok("id --user warren");
    assert_ne!(number, "0");
    assert_eq!(field("Uid:"), [number.as_str(); 4]);
    assert_eq!(field("Groups:"), [machine.ok("id --group warren")]);
    // CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW.
    let few = format!("{:016x}", 1 << 10 | 1 << 12 | 1 << 13);
    for set in ["CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
        assert_eq!(field(set), [few.as_str()], "{set}");
    }
    assert_eq!(field("NoNewPrivs:"), ["1"]);
    assert_eq!(field("Seccomp:"), ["2"]);
    // Members of the group may ask it, others may not.
    machine.ok("runuser -u warren -- warren status");
    machine.fails("runuser -u nobody -- warren status");
    let exposure = "systemd-analyze security --no-pager --threshold=20 warren";
    let last = machine.ok(&format!("{exposure} | tail -n 1"));
    assert!(last.contains("exposure level for warren.service"), "{last}");
    machine.ok(exposure);
}

pub(crate) fn is_ready_when_the_first_checks_are_in(packages: &Packages) {
    let machine = Machine::boot("lb-1", &packages.folder);
    machine.ok("dpkg -i /srv/warren.deb");
    let config = listening_at(&[ENTRANCE], 1);
    let config = config.replace("\"tcp\"", "\"http\"\ntimeout = \"1m\"");
    configure(&machine, &config);
    // A server that answers when it is told to.
    let (answer, told) = std::sync::mpsc::channel();
    let (tell, asked) = std::sync::mpsc::channel();
    in_network(machine.network(), move || {
        let listener = TcpListener::bind(SERVER).unwrap();
        tell.send(()).unwrap();
        let (mut check, _) = listener.accept().unwrap();
        let _ = check.read(&mut [0; 999]).unwrap();
        tell.send(()).unwrap();
        told.recv().unwrap();
        check
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        // Later checks find nobody.
    });
    asked.recv().unwrap();
    machine.ok("systemctl start --no-block warren");
    asked.recv().unwrap();
    // The check is on its way, and has no answer.
    assert_eq!(machine.property("ActiveState"), "activating");
    assert_eq!(machine.property("StatusText"), "");
    answer.send(()).unwrap();
    machine.until("it is ready", || {
        (machine.property("ActiveState") == "active").then_some(())
    });
    let says = |line: &str| {
        machine.until(line, || {
            (machine.property("StatusText") == line).then_some(())
        });
    };
    says("0/1 servers usable, down: rabbit/one; 0 connections");
    let shown = machine.ok("systemctl status warren");
    assert!(
        shown.contains("Status: \"0/1 servers usable, down: rabbit/one;"),
        "{shown}"
    );
}

pub(crate) fn reloads_in_two_steps(packages: &Packages) {
    let (machine, _server) = machine(packages, &listening_at(&[ENTRANCE], 1));
    machine.ok("systemctl start warren");
    let process = machine.property("MainPID");
    // What the daemon itself has said since its start.
    let said = || {
        let mine = format!("journalctl --output cat --no-pager _PID={process}");
        machine.ok(&mine)
    };
    let before = said();
    let bad = listening_at(&[ENTRANCE], 1).replace("pool = \"rabbit\"", "pool = \"rabit\"");
    configure(&machine, &bad);
    let refused = machine.fails("systemctl reload warren");
    assert!(refused.contains("warren.service"), "{refused}");
    // Whoever reloads finds why.
    let journal = machine.journal();
    assert!(
        journal.contains("error[E0108]: there is no pool `rabit`"),
        "{journal}"
    );
    assert_eq!(said(), before, "a bad file does not reach the daemon");
    configure(&machine, &listening_at(&[ENTRANCE], 1));
    machine.ok("systemctl reload warren");
    machine.until("the daemon hears of it", || {
        said()[before.len()..].contains("reload").then_some(())
    });
    assert_eq!(machine.property("MainPID"), process);
    assert_eq!(machine.property("ActiveState"), "active");
    // What only the daemon can find out, its status line tells.
    configure(&machine, &listening_at(&[ENTRANCE, SERVER], 1));
    machine.ok("systemctl reload warren");
    let refused = format!("the last reload was refused: listener l1 cannot bind {SERVER}");
    machine.until("it is refused", || {
        let status = machine.property("StatusText");
        status.starts_with(&refused).then_some(())
    });
    configure(&machine, &listening_at(&[ENTRANCE], 1));
    machine.ok("systemctl reload warren");
    machine.until("it is applied", || {
        let status = machine.property("StatusText");
        (!status.contains("refused")).then_some(())
    });
    checks_the_file_of_a_drop_in(&machine);
}

/// A drop-in names another file in one place, for the start and for the check before a reload.
fn checks_the_file_of_a_drop_in(machine: &Machine) {
    machine.ok("mkdir /etc/systemd/system/warren.service.d
cat >/etc/systemd/system/warren.service.d/file.conf <<'END'
[Service]
Environment=WARREN_CONFIG=/etc/warren/other.toml
END
mv /etc/warren/warren.toml /etc/warren/other.toml
systemctl daemon-reload && systemctl restart warren && systemctl reload warren
mv /etc/warren/other.toml /etc/warren/warren.toml
echo wrong >/etc/warren/other.toml");
    machine.fails("systemctl reload warren");
    let journal = machine.journal();
    assert!(journal.contains("--> /etc/warren/other.toml:"), "{journal}");
}

/// Units that are copies of ours, by what stands still in each: a thread, or all of them.
const STILL: [&str; 4] = ["warren", "worker-0", "vrrp", "all"];

pub(crate) fn is_killed_when_a_thread_stands_still(packages: &Packages) {
    let machine = Machine::boot("lb-1", &packages.folder);
    machine.ok("dpkg -i /srv/warren.deb");
    machine.ok(
        "ip link add eth0 type veth peer name eth1; ip link set eth0 up; \
         ip link set eth1 up; ip address add 192.0.2.11/24 dev eth0",
    );
    for (number, what) in STILL.iter().enumerate() {
        start_copy(&machine, what, number);
    }
    let frozen: Vec<_> = STILL.map(|what| (what, freeze(&machine, what))).into();
    for (what, thread) in frozen {
        let unit = format!("copy-{what}");
        machine.until(&format!("{unit} is killed and started again"), || {
            if what != "all" {
                // Somebody has to take note of its end, or its process stays.
                let _ = waitpid(thread, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL));
            }
            let again = machine.property_of(&unit, "NRestarts") == "1";
            let active = machine.property_of(&unit, "ActiveState") == "active";
            (again && active).then_some(())
        });
        let journal = machine.ok(&format!("journalctl --unit {unit} --output cat --no-pager"));
        assert!(journal.contains("Watchdog timeout"), "{journal}");
        let named = match what {
            "worker-0" => Some("worker 0 makes no progress"),
            "vrrp" => Some("the vrrp thread makes no progress"),
            _ => None,
        };
        assert!(named.is_none_or(|line| journal.contains(line)), "{journal}");
    }
}

/// A copy of the unit with a configuration of its own and a shorter watchdog.
fn start_copy(machine: &Machine, what: &str, number: usize) {
    let port = 6000 + number;
    machine.ok(&format!(
        "cat >/etc/warren/{what}.toml <<'END'
[global]
workers = 2
[admin]
socket = \"/run/copy-{what}/admin.sock\"
http = \"\"
[listen.l]
bind = \"127.0.0.1:{port}\"
pool = \"p\"
[pool.p.servers]
one = \"{SERVER}\"
[pool.p.check]
type = \"none\"
[vrrp.v]
interface = \"eth0\"
router_id = 5{number}
priority = 150
addresses = [\"192.0.2.10{number}/24\"]
END
sed -e 's#^Environment=.*#Environment=WARREN_CONFIG=/etc/warren/{what}.toml#' \
    -e 's#^RuntimeDirectory=.*#RuntimeDirectory=copy-{what}#' \
    -e 's#^WatchdogSec=.*#WatchdogSec=1#' /usr/lib/systemd/system/warren.service \
    >/etc/systemd/system/copy-{what}.service
grep -qx WatchdogSec=1 /etc/systemd/system/copy-{what}.service
systemctl start copy-{what}"
    ));
}

/// Stops a thread of that name; the others do not notice. The main thread has the program's name.
fn freeze(machine: &Machine, what: &str) -> Pid {
    let daemon = machine.daemon_of(&format!("copy-{what}")).unwrap();
    if what == "all" {
        kill(daemon, Signal::SIGSTOP).unwrap();
        return daemon;
    }
    let threads = fs::read_dir(format!("/proc/{daemon}/task")).unwrap();
    let named = threads.map(|thread| thread.unwrap()).find(|thread| {
        let name = fs::read_to_string(thread.path().join("comm")).unwrap();
        name.trim() == what
    });
    let id = named.unwrap().file_name().into_string().unwrap();
    let thread = Pid::from_raw(id.parse().unwrap());
    ptrace::attach(thread).unwrap();
    waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
    thread
}
