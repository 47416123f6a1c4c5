//! Hosts on a bridge, each a network namespace that a process of its own holds open.

use std::cell::Cell;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A network of some hosts. It goes when it is dropped: nothing of it has a name outside.
pub(crate) struct Lab {
    bridge: Host,
    pub(crate) hosts: Vec<Host>,
    folder: TempDir,
    capture: Option<Child>,
}

/// One host with one interface, `eth0`: 10.9.0.N/24 and fe80::N/64.
pub(crate) struct Host {
    /// The process whose namespace it is.
    pub(crate) holder: Child,
    pub(crate) number: usize,
    folder: PathBuf,
    files: Cell<u32>,
}

/// A process on a host, killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

fn holder() -> Child {
    let mut command = mortal();
    command.args(["unshare", "--net", "sleep", "600"]);
    let child = command.stdin(Stdio::null()).spawn().unwrap();
    // Until it is in its own namespace, entering it would mean entering ours.
    let ours = std::fs::read_link("/proc/self/ns/net").unwrap();
    let its = format!("/proc/{}/ns/net", child.id());
    let begun = Instant::now();
    while std::fs::read_link(&its).map_or(true, |link| link == ours) {
        assert!(begun.elapsed() < Duration::from_secs(5), "no namespace");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

/// A command that dies with the thread that starts it.
fn mortal() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    command
}

impl Lab {
    /// A network of `count` hosts.
    pub(crate) fn new(count: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // FRR's daemons run as another user.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let host = |number: usize| Host {
            holder: holder(),
            number,
            folder: folder.path().to_owned(),
            files: Cell::new(0),
        };
        let bridge = host(0);
        bridge.ip("link add br0 type bridge");
        bridge.ip("link set br0 up");
        let mut lab = Self {
            hosts: (1..=count).map(host).collect(),
            bridge,
            folder,
            capture: None,
        };
        for number in 1..=count {
            lab.plug_in(number, "eth0");
        }
        lab.listen();
        lab
    }

    /// Gives a host an interface and connects it.
    pub(crate) fn plug_in(&mut self, number: usize, name: &str) {
        let host = &self.hosts[number - 1];
        let port = format!("{name}-{number}");
        let bridge = self.bridge.holder.id();
        host.ip("link set lo up");
        host.ip(&format!(
            "link add {name} type veth peer name {port} netns {bridge}"
        ));
        host.ip(&format!("link set {name} addrgenmode none"));
        host.ip(&format!("addr add 10.9.0.{number}/24 dev {name}"));
        host.ip(&format!("addr add fe80::{number}/64 dev {name} nodad"));
        host.ip(&format!("addr add 2001:db8::{number}/64 dev {name} nodad"));
        host.ip(&format!("link set {name} up"));
        self.bridge.ip(&format!("link set {port} master br0"));
        self.bridge.ip(&format!("link set {port} up"));
    }

    /// Pulls the cable of a host out, or puts it in again.
    pub(crate) fn link(&self, number: usize, state: &str) {
        self.bridge.ip(&format!("link set eth0-{number} {state}"));
    }

    /// Takes the port of a host out of the bridge, which is noticed by the silence only; or puts it
    /// back.
    pub(crate) fn cut(&self, number: usize, cut: bool) {
        let master = if cut { "nomaster" } else { "master br0" };
        self.bridge.ip(&format!("link set eth0-{number} {master}"));
    }

    pub(crate) fn host(&self, number: usize) -> &Host {
        &self.hosts[number - 1]
    }

    /// Captures everything that has to do with VRRP on the bridge.
    fn listen(&mut self) {
        let filter = "ip proto 112 or ip6 proto 112 or arp or icmp6";
        let file = self.folder.path().join("capture.pcap");
        // Not tcpdump, which wants to become another user: in a user namespace there is none.
        let mut command = self.bridge.inside("dumpcap");
        command.args(["-q", "-i", "br0", "-f"]);
        command.arg(filter).arg("-w").arg(file);
        let log = File::create(self.folder.path().join("dumpcap.log")).unwrap();
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        self.capture = Some(child);
        let begun = Instant::now();
        let said = || std::fs::read_to_string(self.folder.path().join("dumpcap.log")).unwrap();
        while !said().contains("File: ") {
            assert!(begun.elapsed() < Duration::from_secs(10), "{}", said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// What tshark finds in the capture so far with a display filter, one line each.
    pub(crate) fn captured(&self, filter: &str, fields: &[&str]) -> Vec<String> {
        let file = self.folder.path().join("capture.pcap");
        let mut command = Command::new("tshark");
        command.arg("-n").arg("-r").arg(file).args(["-Y", filter]);
        if !fields.is_empty() {
            command.args(["-T", "fields"]);
            for field in fields {
                command.args(["-e", field]);
            }
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    /// Judges every packet of a host: none is malformed or has a wrong checksum. Returns how many
    /// advertisements it sent.
    pub(crate) fn judge(&self, number: usize) -> usize {
        // What dumpcap still holds is written when packets come; give it a moment.
        std::thread::sleep(Duration::from_millis(200));
        let six = format!("ipv6.src == fe80::{number} or ipv6.src == 2001:db8::{number}");
        let from = format!("(ip.src == 10.9.0.{number} or {six})");
        let bad = "(_ws.malformed or vrrp.checksum.status == 0 or icmpv6.checksum.status == 0)";
        let bad = self.captured(&format!("{from} and {bad}"), &[]);
        assert!(bad.is_empty(), "{bad:#?}");
        self.captured(&format!("{from} and vrrp"), &[]).len()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if let Some(capture) = &mut self.capture {
            let _ = capture.kill();
            let _ = capture.wait();
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

impl Host {
    /// A command that runs on this host.
    pub(crate) fn inside(&self, program: &str) -> Command {
        let mut command = mortal();
        command.args(["nsenter", "--net", "--target"]);
        command.arg(self.holder.id().to_string());
        command.args(["--", program]);
        command
    }

    /// Runs `ip`, which must succeed.
    pub(crate) fn ip(&self, arguments: &str) -> String {
        let output = self.try_ip(arguments);
        let problem = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "ip {arguments}: {problem}");
        String::from_utf8(output.stdout).unwrap()
    }

    pub(crate) fn try_ip(&self, arguments: &str) -> Output {
        let mut command = self.inside("ip");
        command.args(arguments.split(' ')).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// Whether an interface of this host has the address.
    pub(crate) fn has(&self, address: &str) -> bool {
        let shown = self.ip("-o address show up");
        shown.lines().any(|line| {
            let mut words = line.split_whitespace();
            let down = line.contains("protodown");
            !down && words.any(|word| word.split('/').next() == Some(address))
        })
    }

    /// A path for a file of this host that does not exist yet.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        let number = self.files.replace(self.files.get() + 1);
        let host = self.number;
        self.folder.join(format!("{host}-{number}-{name}"))
    }

    /// Starts a program in Python.
    pub(crate) fn python(&self, program: &str) -> Process {
        let mut python = self.inside("/usr/bin/python3");
        python.args(["-c", program]);
        self.start(python)
    }

    /// Starts a process.
    pub(crate) fn start(&self, mut command: Command) -> Process {
        let log = self.file("log");
        let file = File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap();
        Process { child, log }
    }
}

impl Process {
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        let id = i32::try_from(self.child.id()).unwrap();
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal).unwrap();
    }

    /// Whether SIGSTOP has reached all its threads.
    pub(crate) fn is_stopped(&self) -> bool {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        tasks
            .map(|task| task.unwrap().path().join("stat"))
            .all(|stat| {
                let stat = std::fs::read_to_string(stat).unwrap_or_default();
                stat.contains(") T ")
            })
    }

    /// Signals the processes that it started.
    pub(crate) fn signal_children(&self, signal: nix::sys::signal::Signal) {
        let id = self.child.id();
        let list = format!("/proc/{id}/task/{id}/children");
        let children = std::fs::read_to_string(list).unwrap_or_default();
        for child in children.split_whitespace() {
            let id = nix::unistd::Pid::from_raw(child.parse().unwrap());
            let _ = nix::sys::signal::kill(id, signal);
        }
    }

    /// Waits for its end and returns the exit code.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(begun.elapsed() < limit, "still runs:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), self.log());
        }
    }
}

/// A client in Python on this host, once it says that it is connected.
pub(crate) fn connected(host: &Host, program: &str) -> Process {
    let client = host.python(program);
    until("connected", Duration::from_secs(10), || {
        client.log().contains("connected")
    });
    client
}

/// Waits until something is so, and says how long that took.
pub(crate) fn until(what: &str, limit: Duration, condition: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < limit, "not within {limit:?}: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    begun.elapsed()
}
