//! Another configuration for a whole daemon with virtual routers.

use std::time::Duration;

use crate::elector::undisturbed;
use crate::explain::says;
use crate::lab::{Host, Lab, Process, connected, until};
use crate::peer::{Node, PROXY, Warren};

const LONG: Duration = Duration::from_secs(20);
const VIP: &str = "10.9.0.100";

fn routers(priority: u8, addresses: &str) -> String {
    format!(
        "[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
         advert_interval = \"100ms\"\naddresses = [{addresses}]\n"
    )
}

/// Writes another configuration and has it applied. Returns what the daemon says of it.
fn reload(warren: &Warren, routers: &str) -> String {
    let text = format!(
        "[admin]\nsocket = {:?}\nhttp = \"\"\n{PROXY}\n{routers}",
        warren.socket
    );
    std::fs::write(&warren.file, text).unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["reload", "--socket"])
        .arg(&warren.socket)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A lower priority moves the address to the other node, a higher one takes it back; an address
/// more, and the whole virtual router away.
pub(crate) fn a_pair_is_reloaded() {
    let lab = Lab::new(2);
    let [one, two] = [lab.host(1), lab.host(2)];
    let first = Warren::start(one, PROXY, &routers(150, "\"10.9.0.100/24\""));
    let _second = Warren::node(two, &Node::default());
    until("the first is master", LONG, || {
        one.has(VIP) && first.router("state") == "master"
    });
    let said = reload(&first, &routers(90, "\"10.9.0.100/24\""));
    assert_eq!(said, "virtual router v: priority 150 -> 90\n");
    until("the second has it", LONG, || two.has(VIP) && !one.has(VIP));
    let both = "\"10.9.0.100/24\", \"10.9.0.101/24\"";
    reload(&first, &routers(200, both));
    until("the first has both", LONG, || {
        one.has(VIP) && one.has("10.9.0.101") && !two.has(VIP)
    });
    let transitions = first.router("transitions");
    let said = reload(&first, &routers(200, both));
    assert_eq!(said, "nothing changes\n");
    assert_eq!(first.router("transitions"), transitions);
    assert_eq!(reload(&first, ""), "virtual router v: removed\n");
    until("the second has it again", LONG, || {
        two.has(VIP) && !one.has(VIP) && !one.has("10.9.0.101")
    });
    // What is published may be a tenth of a second old.
    until("nothing of it is shown", LONG, || {
        let status = first.status();
        status["virtual_routers"].as_array().map(Vec::len) == Some(0)
    });
}

/// The first virtual router of a daemon that had none, and its end.
pub(crate) fn the_first_virtual_router_comes_by_a_reload() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    let mut warren = Warren::start(host, PROXY, "");
    until("it answers", LONG, || warren.status()["pid"].is_u64());
    let said = reload(&warren, &routers(150, "\"10.9.0.100/24\""));
    assert_eq!(said, "virtual router v: new\n");
    until("it is master", LONG, || {
        host.has(VIP) && warren.router("state") == "master"
    });
    until("its event is there", LONG, || {
        says(&warren, &["events"]).contains("v backup -> master")
    });
    // What is said of it is what becomes of it.
    let transitions = warren.router("transitions");
    let renamed = routers(150, "\"10.9.0.100/24\"").replace("vrrp.v", "vrrp.w");
    let said = reload(&warren, &renamed);
    assert_eq!(said, "virtual router v: name v -> w\n");
    until("it has its new name", LONG, || warren.router("name") == "w");
    assert_eq!(warren.router("transitions"), transitions);
    let explained = says(&warren, &["explain", "vrrp"]);
    for past in ["router v backup -> master", "router v: name v -> w"] {
        assert!(explained.contains(past), "{explained}");
    }
    let said = reload(&warren, &renamed.replace("router_id = 5", "router_id = 6"));
    assert_eq!(said, "virtual router w: begins anew: router_id 5 -> 6\n");
    until("it is master again", LONG, || {
        warren.router("router_id") == 6 && warren.router("state") == "master"
    });
    assert_ne!(warren.router("transitions"), transitions);
    warren.stop();
    assert!(!host.has(VIP), "given up in order");
}

/// A server on this host that says everything twice.
fn echo(host: &Host) -> Process {
    host.python(
        "import socket, threading\ns = socket.create_server(('', 7000))\n\
         def serve(c):\n while (d := c.recv(100)): c.sendall(d)\n\
         while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()",
    )
}

/// A client of an address that says something now and then, and how its connection ended.
fn client(host: &Host, address: &str) -> Process {
    let program = format!(
        "import socket, time\ns = socket.create_connection(('{address}', 5672), 10)\n\
         try:\n for round in range(100000):\n  s.sendall(b'hello')\n\
         \u{20} assert s.recv(5) == b'hello'\n\
         \u{20} print('connected' if round == 0 else round, flush=True)\n  time.sleep(0.05)\n\
         except OSError as error:\n print(error.strerror, flush=True)\n"
    );
    connected(host, &program)
}

/// The last number that a client has said.
fn rounds(client: &Process) -> u32 {
    let log = client.log();
    log.lines()
        .rev()
        .find_map(|line| line.parse().ok())
        .unwrap_or(0)
}

/// Those to an address that stays go on, those to one that goes are reset, a new one serves.
pub(crate) fn connections_follow_their_address() {
    undisturbed(|| {
        let lab = Lab::new(3);
        let (stays, goes, comes) = ("10.9.0.100", "10.9.0.101", "10.9.0.102");
        let before = "\"10.9.0.100/24\", \"10.9.0.101/24\"";
        let after = "\"10.9.0.100/24\", \"10.9.0.102/24\"";
        let _servers = [echo(lab.host(1)), echo(lab.host(2))];
        let one = Warren::start(lab.host(1), PROXY, &routers(150, before));
        let two = Warren::start(lab.host(2), PROXY, &routers(100, before));
        until("the first is master", LONG, || {
            lab.host(1).has(stays) && lab.host(1).has(goes) && two.router("state") == "backup"
        });
        let lasting = client(lab.host(3), stays);
        let departing = client(lab.host(3), goes);
        let (is, was) = (one.router("became_master"), two.router("became_master"));
        reload(&one, &routers(150, after));
        let log = |client: &Process| client.log();
        until("reset", LONG, || {
            log(&departing).contains("Connection reset by peer")
        });
        until("gone", LONG, || {
            !lab.host(1).has(goes) && lab.host(1).has(comes)
        });
        reload(&two, &routers(100, after));
        let so_far = rounds(&lasting);
        until("it goes on", LONG, || rounds(&lasting) > so_far + 5);
        let new = client(lab.host(3), comes);
        until("served", LONG, || rounds(&new) > 5);
        assert_eq!(
            one.process.log().matches("ending=address-released").count(),
            1
        );
        // The other one takes over by its priority alone, and everybody comes along.
        reload(&two, &routers(200, after));
        until("both reset", LONG, || {
            [&lasting, &new]
                .iter()
                .all(|one| log(one).contains("Connection reset by peer"))
        });
        let again = client(lab.host(3), stays);
        until("served by the other one", LONG, || rounds(&again) > 5);
        assert!(lab.host(2).has(comes) && !lab.host(1).has(comes));
        // Nothing moved before.
        assert_eq!(one.router("became_master"), is);
        assert_eq!(
            two.router("became_master").as_u64(),
            was.as_u64().map(|n| n + 1)
        );
    });
}
