//! Another configuration for a whole daemon with virtual routers.

use std::time::Duration;

use crate::lab::{Lab, until};
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
    let text = format!("[admin]\nsocket = {:?}\n{PROXY}\n{routers}", warren.socket);
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
    assert_eq!(
        first.status()["virtual_routers"].as_array().map(Vec::len),
        Some(0)
    );
}

/// The first virtual router of a daemon that had none, and its end.
pub(crate) fn the_first_virtual_router_comes_by_a_reload() {
    let lab = Lab::new(1);
    let host = lab.host(1);
    let mut warren = Warren::start(host, PROXY, "");
    until("it answers", LONG, || warren.status()["pid"].is_u64());
    let said = reload(&warren, &routers(150, "\"10.9.0.100/24\""));
    assert_eq!(said, "virtual router v: new\n");
    until("it is master", LONG, || host.has(VIP));
    warren.stop();
    assert!(!host.has(VIP), "given up in order");
}
