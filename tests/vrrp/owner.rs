//! Virtual addresses that the host has anyway: of an owner, by mistake, or left behind.

use std::time::Duration;

use crate::lab::{Host, Lab, until};
use crate::peer::{Node, PROXY, Warren};

const LONG: Duration = Duration::from_secs(10);
/// Longer than a lease lasts.
const A_WHILE: Duration = Duration::from_millis(2_500);

fn node(priority: u8, addresses: &'static [&'static str]) -> Node {
    Node {
        priority,
        addresses,
        ..Node::default()
    }
}

/// Whether the host has the address for good.
fn keeps(host: &Host, address: &str) -> bool {
    let shown = host.ip("-o address show dev eth0");
    let mut lines = shown.lines();
    lines.any(|line| {
        line.contains(&format!(" {address} ")) && line.contains("valid_lft forever preferred")
    })
}

/// Stopped and started again, beside a backup that takes over meanwhile.
pub(crate) fn the_owner_keeps_its_only_address() {
    const OWN: &str = "10.9.0.1/24";
    let lab = Lab::new(2);
    let (one, two) = (lab.host(1), lab.host(2));
    let backup = Warren::node(two, &node(100, &[OWN]));
    let mut owner = Warren::node(one, &node(255, &[OWN]));
    let follows = || {
        let heard = backup.router("heard");
        heard["priority"] == 255 && heard["ago_ms"].as_u64() < Some(500)
    };
    let settled = || follows() && backup.router("state") == "backup" && !two.has("10.9.0.1");
    until("the owner is master", LONG, settled);
    std::thread::sleep(A_WHILE);
    assert!(keeps(one, OWN), "{}", one.ip("address show dev eth0"));
    owner.stop();
    assert!(keeps(one, OWN), "after the end: {}", owner.process.log());
    assert_eq!(backup.router("state"), "master");
    // Whoever has taken over has the owner's address, and hears it all the same.
    owner = Warren::node(one, &node(255, &[OWN]));
    until("the owner is back", LONG, settled);
    assert_eq!(owner.router("state"), "master");
    assert!(keeps(one, OWN));
    owner.stop();
    assert!(keeps(one, OWN));
    assert!(lab.judge(1) > 1);
}

/// RFC 9568, section 4.2: each of two nodes owns an address and has no other.
pub(crate) fn two_owners_stand_in_for_each_other() {
    let lab = Lab::new(2);
    let routers = |priorities: [u8; 2]| {
        let router = |id: usize| {
            format!(
                "[vrrp.v{id}]\ninterface = \"eth0\"\nrouter_id = {id}\npriority = {}\n\
                 advert_interval = \"100ms\"\naddresses = [\"10.9.0.{id}/24\"]\n",
                priorities[id - 1]
            )
        };
        router(1) + &router(2)
    };
    let states = |warren: &Warren| {
        let status = warren.status();
        [0, 1].map(|at| {
            status["virtual_routers"][at]["state"]
                .as_str()
                .map(str::to_owned)
        })
    };
    let are = |warren: &Warren, first: &str, second: &str| {
        states(warren) == [first, second].map(|state| Some(state.to_owned()))
    };
    let mut one = Warren::start(lab.host(1), PROXY, &routers([255, 100]));
    let two = Warren::start(lab.host(2), PROXY, &routers([100, 255]));
    let settled = |one: &Warren| are(one, "master", "backup") && are(&two, "backup", "master");
    until("each has its own", LONG, || settled(&one));
    one.stop();
    assert!(are(&two, "master", "master"));
    one = Warren::start(lab.host(1), PROXY, &routers([255, 100]));
    until("each has its own again", LONG, || settled(&one));
    assert!(!lab.host(2).has("10.9.0.1") && !lab.host(1).has("10.9.0.2"));
    // The other way round, and what is left of the other's address goes.
    lab.host(1).ip("address add 10.9.0.2/32 dev eth0");
    until("removed", LONG, || !lab.host(1).has("10.9.0.2"));
    drop(two);
    until("taken over", LONG, || are(&one, "master", "master"));
    let _two = Warren::start(lab.host(2), PROXY, &routers([100, 255]));
    until("given back", LONG, || are(&one, "master", "backup"));
    assert!(keeps(lab.host(1), "10.9.0.1/24") && keeps(lab.host(2), "10.9.0.2/24"));
}

pub(crate) fn the_owner_of_a_further_address_keeps_it() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    host.ip("address add 10.9.0.200/24 dev eth0");
    host.ip("address add 2001:db8::200/64 dev eth0 nodad");
    let routers = "[vrrp.four]\ninterface = \"eth0\"\nrouter_id = 5\npriority = 255\n\
                   advert_interval = \"100ms\"\naddresses = [\"10.9.0.200/24\", \"10.9.0.201\"]\n\
                   [vrrp.six]\ninterface = \"eth0\"\nrouter_id = 5\npriority = 255\n\
                   advert_interval = \"100ms\"\n\
                   addresses = [\"fe80::1/64\", \"2001:db8::200/64\"]\n";
    let mut warren = Warren::start(host, PROXY, routers);
    until("it is master of all", LONG, || {
        host.has("10.9.0.201") && warren.status()["virtual_routers"][1]["state"] == "master"
    });
    std::thread::sleep(A_WHILE);
    let kept = || {
        let own = ["10.9.0.200/24", "fe80::1/64", "2001:db8::200/64"];
        own.iter().all(|address| keeps(host, address))
    };
    assert!(kept() && !keeps(host, "10.9.0.201/32"));
    // What the owner loses is put back, under a lease; what comes back for good is its own again.
    host.ip("address delete 10.9.0.200/24 dev eth0");
    until("put back", LONG, || host.has("10.9.0.200"));
    host.ip("address replace 10.9.0.200/24 dev eth0");
    std::thread::sleep(A_WHILE);
    assert!(kept(), "{}", warren.process.log());
    warren.stop();
    assert!(kept(), "{}", warren.process.log());
    assert!(!host.has("10.9.0.201"), "this one was only virtual");
}

/// A typo must not take the host off the network.
pub(crate) fn an_address_that_the_host_needs_is_not_taken() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    let routers = "[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\npriority = 150\n\
                   advert_interval = \"100ms\"\naddresses = [\"10.9.0.1/24\"]\n";
    let file = host.file("warren.toml");
    std::fs::write(&file, format!("{PROXY}\n{routers}")).unwrap();
    let mut command = host.inside(env!("CARGO_BIN_EXE_warren"));
    let output = command.args(["check", "-c"]).arg(&file).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning[W0214]"), "{said}");

    let mut warren = Warren::start(host, PROXY, routers);
    until("it says what is wrong", LONG, || {
        warren.router("waiting_for")
            == "10.9.0.1 to leave interface eth0: it is the host's own, and the priority is not 255"
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(warren.router("state"), "init");
    assert!(keeps(host, "10.9.0.1/24"));
    // Moved out of the way.
    host.ip("address add 10.9.0.9/24 dev eth0");
    host.ip("address delete 10.9.0.1/24 dev eth0");
    host.ip("address replace 10.9.0.9/24 dev eth0");
    until("it takes part", LONG, || warren.router("state") == "master");
    assert!(host.has("10.9.0.1") && !keeps(host, "10.9.0.1/24"));
    warren.stop();
    assert!(!host.has("10.9.0.1") && keeps(host, "10.9.0.9/24"));
}

/// As keepalived leaves them when it is killed.
pub(crate) fn what_others_left_behind_is_removed() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    host.ip("address add 10.9.0.100/32 dev eth0");
    host.ip("address add 10.9.0.101/24 dev eth0");
    let more = "startup_delay = \"3s\"";
    let node = Node {
        more,
        ..node(100, &["10.9.0.100/24", "10.9.0.101/24"])
    };
    let warren = Warren::node(host, &node);
    until("both are gone", LONG, || {
        warren.router("state") == "backup" && !host.has("10.9.0.100") && !host.has("10.9.0.101")
    });
    assert!(keeps(host, "10.9.0.1/24"));
}
