//! Who speaks to peers: from an address that they know.

use std::time::Duration;

use crate::lab::{Lab, until};
use crate::peer::{PROXY, Warren};

const LONG: Duration = Duration::from_secs(10);

fn start(lab: &Lab, number: usize, priority: u8, more: &str) -> Warren {
    let routers = format!(
        "[vrrp.v]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
         advert_interval = \"100ms\"\n{more}\n"
    );
    Warren::start(lab.host(number), PROXY, &routers)
}

/// One master, and a backup that hears it from the expected address.
fn one_master(lab: &Lab, address: &str, from: &str, lines: [&str; 2]) {
    let one = start(lab, 1, 150, lines[0]);
    let two = start(lab, 2, 100, lines[1]);
    until("the first is master", LONG, || {
        lab.host(1).has(address) && two.router("heard")["from"] == from
    });
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(two.router("state"), "backup", "{}", two.process.log());
    assert!(!lab.host(2).has(address));
    assert_eq!(two.router("refused"), serde_json::json!({}));
    drop(one);
    until("the second takes over", LONG, || lab.host(2).has(address));
}

pub(crate) fn ipv6_peers_that_are_not_link_local() {
    const FIRST: &str = "addresses = [\"fe80::100/64\", \"2001:db8::100/64\"]\npeers = ";
    let lab = Lab::new(2);
    // Not in the network of the peers.
    for host in &lab.hosts {
        let number = host.number;
        host.ip(&format!("address add fd00::{number}/64 dev eth0 nodad"));
    }
    let lines = ["[\"2001:db8::2\"]", "[\"2001:db8::1\"]"].map(|peers| format!("{FIRST}{peers}"));
    one_master(&lab, "2001:db8::100", "2001:db8::1", [&lines[0], &lines[1]]);
}

pub(crate) fn the_source_is_in_the_network_of_the_peer() {
    let lab = Lab::new(2);
    for host in &lab.hosts {
        let number = host.number;
        host.ip(&format!("address delete 10.9.0.{number}/24 dev eth0"));
        for network in [8, 9] {
            host.ip(&format!("address add 10.{network}.0.{number}/24 dev eth0"));
        }
    }
    let lines = ["[\"10.9.0.2\"]", "[\"10.9.0.1\"]"]
        .map(|peers| format!("addresses = [\"10.9.0.100/24\"]\npeers = {peers}"));
    one_master(&lab, "10.9.0.100", "10.9.0.1", [&lines[0], &lines[1]]);
}

pub(crate) fn a_source_that_is_given() {
    let lab = Lab::new(2);
    let host = lab.host(1);
    let waiting = start(
        &lab,
        1,
        150,
        "addresses = [\"10.9.0.100/24\"]\nsource = \"10.9.0.51\"",
    );
    until("it waits", LONG, || {
        waiting.router("waiting_for") == "address 10.9.0.51 of interface eth0 to send from"
    });
    host.ip("address add 10.9.0.51/24 dev eth0");
    until("it goes on", LONG, || host.has("10.9.0.100"));
    drop(waiting);
    until("gone", LONG, || !host.has("10.9.0.100"));
    one_master(
        &lab,
        "10.9.0.100",
        "10.9.0.51",
        [
            "addresses = [\"10.9.0.100/24\"]\npeers = [\"10.9.0.2\"]\nsource = \"10.9.0.51\"",
            "addresses = [\"10.9.0.100/24\"]\npeers = [\"10.9.0.51\"]",
        ],
    );
}
