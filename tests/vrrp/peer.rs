//! What can be a node of a pair: warren, keepalived, FRR.

use std::path::PathBuf;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::lab::{Host, Process};

/// What a node is told.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) priority: u8,
    pub(crate) version: u8,
    /// In milliseconds.
    pub(crate) interval: u32,
    /// The first of IPv6 is link-local.
    pub(crate) addresses: &'static [&'static str],
    /// Numbers of the hosts that are talked to by unicast.
    pub(crate) peers: &'static [usize],
    /// By IPv6 addresses that are not link-local.
    pub(crate) global: bool,
    pub(crate) preempt: bool,
    /// Lines of `[vrrp.v]`, for warren alone.
    pub(crate) more: &'static str,
    /// Lines of the instance, for keepalived alone.
    pub(crate) keepalived: &'static str,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            priority: 100,
            version: 3,
            interval: 100,
            addresses: &["10.9.0.100/24"],
            peers: &[],
            global: false,
            preempt: true,
            more: "",
            keepalived: "",
        }
    }
}

impl Node {
    fn v6(&self) -> bool {
        self.addresses[0].contains(':')
    }

    fn peer(&self, number: usize) -> String {
        match (self.v6(), self.global) {
            (true, false) => format!("fe80::{number}"),
            (true, true) => format!("2001:db8::{number}"),
            (false, _) => format!("10.9.0.{number}"),
        }
    }

    /// How long a backup of this node takes to notice that it is dead, at most.
    pub(crate) fn down(&self) -> Duration {
        Duration::from_millis(u64::from(self.interval) * 4)
    }
}

/// A running warren.
pub(crate) struct Warren {
    pub(crate) process: Process,
    pub(crate) file: PathBuf,
    pub(crate) socket: PathBuf,
}

/// The tables that every configuration needs beside the virtual routers.
pub(crate) const PROXY: &str = "\
[listen.amqp]
bind = [\"0.0.0.0:5672\", \"[::]:5672\"]
pool = \"p\"
[pool.p]
check = { type = \"none\" }
servers = { s = \"127.0.0.1:7000\" }
";

impl Warren {
    /// Starts it with one virtual router, `v`.
    pub(crate) fn node(host: &Host, node: &Node) -> Self {
        let peers: Vec<String> = node.peers.iter().map(|n| node.peer(*n)).collect();
        let Node {
            priority,
            version,
            interval,
            addresses,
            preempt,
            more,
            ..
        } = node;
        Self::start(
            host,
            PROXY,
            &format!(
                "[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
                 version = {version}\nadvert_interval = \"{interval}ms\"\n\
                 addresses = {addresses:?}\npreempt = {preempt}\npeers = {peers:?}\n{more}\n"
            ),
        )
    }

    /// Starts it with these tables.
    pub(crate) fn start(host: &Host, proxy: &str, routers: &str) -> Self {
        let (file, socket) = (host.file("warren.toml"), host.file("admin.sock"));
        let text = format!("[admin]\nsocket = {socket:?}\nhttp = \"\"\n{proxy}\n{routers}");
        std::fs::write(&file, text).unwrap();
        let mut command = host.inside(env!("CARGO_BIN_EXE_warren"));
        command.args(["run", "-c"]).arg(&file);
        Self {
            process: host.start(command),
            file,
            socket,
        }
    }

    /// Stops it in order.
    pub(crate) fn stop(&mut self) {
        self.process.signal(Signal::SIGTERM);
        assert_eq!(self.process.wait(Duration::from_secs(10)), Some(0));
    }

    /// What it tells of itself, as JSON.
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_warren"))
            .args(["status", "--json", "--socket"])
            .arg(&self.socket)
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// What its stats socket answers to a command.
    pub(crate) fn ask(&self, command: &str) -> String {
        use std::io::{Read, Write};
        let mut stream = std::os::unix::net::UnixStream::connect(&self.socket).unwrap();
        writeln!(stream, "{command}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// A field of its first virtual router.
    pub(crate) fn router(&self, field: &str) -> serde_json::Value {
        self.status()["virtual_routers"][0][field].clone()
    }
}

/// Starts keepalived.
pub(crate) fn keepalived(host: &Host, node: &Node) -> Process {
    let (file, folder) = (host.file("keepalived.conf"), host.file("run"));
    std::fs::create_dir(&folder).unwrap();
    let Node {
        priority,
        version,
        interval,
        addresses,
        ..
    } = node;
    let interval = f64::from(*interval) / 1000.0;
    let mut text = format!(
        "global_defs {{\n vrrp_version {version}\n vrrp_garp_master_delay 1\n}}\n\
         vrrp_instance v {{\n state BACKUP\n interface eth0\n virtual_router_id 5\n \
         priority {priority}\n advert_int {interval}\n {}\n {}\n",
        node.keepalived,
        if node.preempt { "" } else { "nopreempt" },
    );
    if !node.peers.is_empty() {
        let own = node.peer(host.number);
        text.push_str(&format!(" unicast_src_ip {own}\n unicast_peer {{\n"));
        for peer in node.peers {
            text.push_str(&format!("  {}\n", node.peer(*peer)));
        }
        text.push_str(" }\n");
    }
    text.push_str(" virtual_ipaddress {\n");
    for address in *addresses {
        text.push_str(&format!("  {address} dev eth0\n"));
    }
    text.push_str(" }\n}\n");
    std::fs::write(&file, text).unwrap();
    let mut command = host.inside("keepalived");
    command.args(["--dont-fork", "--log-console", "--vrrp", "--dont-respawn"]);
    command.arg("-f").arg(file);
    command.arg("-p").arg(folder.join("pid"));
    command.arg("-r").arg(folder.join("vrrp.pid"));
    host.start(command)
}

/// FRR's zebra and vrrpd.
pub(crate) struct Frr {
    pub(crate) vrrpd: Process,
    zebra: Process,
}

impl Frr {
    /// Makes the macvlan that vrrpd needs, and starts both.
    pub(crate) fn start(host: &Host, node: &Node) -> Self {
        let (name, family, last) = match node.v6() {
            true => ("vrrp6-5", "ipv6", 2),
            false => ("vrrp4-5", "ip", 1),
        };
        if !host.try_ip(&format!("link show {name}")).status.success() {
            host.ip(&format!(
                "link add {name} link eth0 type macvlan mode bridge"
            ));
            host.ip(&format!("link set {name} addrgenmode none"));
            host.ip(&format!("link set {name} address 00:00:5e:00:0{last}:05"));
            for address in node.addresses {
                let nodad = if node.v6() { " nodad" } else { "" };
                host.ip(&format!("addr add {address} dev {name}{nodad}"));
            }
            host.ip(&format!("link set {name} up"));
        }
        let folder = host.file("frr");
        std::fs::create_dir(&folder).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(&folder, open).unwrap();
        std::fs::write(folder.join("zebra.conf"), "").unwrap();
        let mut text = format!(
            "interface eth0\n vrrp 5 version 3\n vrrp 5 priority {}\n \
             vrrp 5 advertisement-interval {}\n",
            node.priority, node.interval
        );
        for address in node.addresses {
            let address = address.split('/').next().unwrap();
            text.push_str(&format!(" vrrp 5 {family} {address}\n"));
        }
        std::fs::write(folder.join("vrrpd.conf"), text).unwrap();
        let daemon = |name: &str| {
            let mut command = host.inside(&format!("/usr/lib/frr/{name}"));
            command.arg("-f").arg(folder.join(format!("{name}.conf")));
            command.arg("-i").arg(folder.join(format!("{name}.pid")));
            command.arg("-z").arg(folder.join("zserv"));
            command.arg("--vty_socket").arg(&folder);
            host.start(command)
        };
        let zebra = daemon("zebra");
        let begun = std::time::Instant::now();
        while !folder.join("zserv").exists() {
            assert!(begun.elapsed() < Duration::from_secs(10), "{}", zebra.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            vrrpd: daemon("vrrpd"),
            zebra,
        }
    }

    /// Stops both in order.
    pub(crate) fn stop(&mut self) {
        self.vrrpd.signal(Signal::SIGTERM);
        self.vrrpd.wait(Duration::from_secs(10));
        self.zebra.signal(Signal::SIGTERM);
        self.zebra.wait(Duration::from_secs(10));
    }
}
