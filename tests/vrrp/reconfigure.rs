//! Another configuration for the running vrrp thread, in the network of a host, beside a daemon or
//! alone.

use std::fs::File;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use warren::stats::WorkerCounters;
use warren::vip::netlink::Netlink;
use warren::vrrp::driver::Command;

use crate::elector::{Elector, LONG, configuration, router, undisturbed};
use crate::lab::{Host, Lab, until};
use crate::peer::{Node, Warren};

const VIP: &str = "10.9.0.100";

/// The one that most tests begin with.
fn v(more: &str) -> String {
    router("v", 5, &[VIP], more)
}

/// Watches an address of a host without a break. Each look is at the kernel's own list.
struct Watch {
    stop: Arc<AtomicBool>,
    missing: JoinHandle<u32>,
}

impl Watch {
    fn begin(host: &Host, address: &str) -> Self {
        let network = File::open(format!("/proc/{}/ns/net", host.holder.id())).unwrap();
        let address: IpAddr = address.parse().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let missing = std::thread::spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            let mut netlink = Netlink::open().unwrap();
            let mut missing = 0;
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(known) = netlink.addresses() {
                    let there = known.iter().any(|one| one.address.addr() == address);
                    missing += u32::from(!there);
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            missing
        });
        Self { stop, missing }
    }

    /// How often it was not there.
    fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.missing.join().unwrap()
    }
}

/// The second host, whose daemon is a backup.
fn backup(lab: &Lab) -> Warren {
    Warren::node(
        lab.host(2),
        &Node {
            priority: 100,
            ..Node::default()
        },
    )
}

/// The first host is master and the second one follows it. Each may have been first to claim.
fn pair<'a>(lab: &'a Lab, routers: &str) -> (Elector<'a>, Warren) {
    let one = Elector::start(lab.host(1), routers);
    let two = backup(lab);
    until("a pair", LONG, || {
        one.are(&[("v", "master")]) && two.router("state") == "backup"
    });
    (one, two)
}

/// When advertisements of a router id were sent by the first host, in milliseconds.
fn advertised(lab: &Lab, id: u8) -> Vec<f64> {
    let filter = format!("ip.src == 10.9.0.1 and vrrp.virt_rtr_id == {id} and vrrp.prio > 0");
    let lines = lab.captured(&filter, &["frame.time_relative"]);
    let times = lines.iter().map(|line| line.parse::<f64>().unwrap());
    times.map(|time| time * 1000.0).collect()
}

/// The raw sockets of VRRP on a host, by inode.
fn sockets(host: &Host) -> Vec<String> {
    let output = host.inside("cat").arg("/proc/net/raw").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let of_vrrp = text.lines().filter(|line| line.contains(":0070 "));
    let inode = |line: &str| line.split_whitespace().nth(9).unwrap().to_owned();
    let sockets: Vec<String> = of_vrrp.map(inode).collect();
    assert!(!sockets.is_empty(), "{text}");
    sockets
}

pub(crate) fn what_stays_the_same_is_not_touched() {
    const ROUNDS: usize = 5;
    let lab = Lab::new(2);
    let tracking = v("priority = 150\ntrack_pools = { q = 60 }");
    let (one, two) = pair(&lab, &tracking);
    let sockets = sockets(lab.host(1));
    let mut seen = Vec::new();
    // The machine may be busy with something else: one round has to be undisturbed.
    for _ in 0..ROUNDS {
        let before = (one.status("v").counters, two.router("transitions"));
        let already = advertised(&lab, 5).len();
        for round in 0..50u8 {
            // Something else changes each time: another router, and which index the pool has.
            let other = match round % 3 {
                0 => String::new(),
                one_or_two => {
                    let more = format!("priority = {}", 10 * one_or_two);
                    router("w", 6, &["10.9.0.200"], &more)
                }
            };
            let pools = [["p", "q"], ["q", "p"]][usize::from(round % 2)];
            one.reconfigure_with(&pools, &(tracking.clone() + &other));
            std::thread::sleep(Duration::from_millis(37));
        }
        // The last advertisements of these two seconds are in the file when later ones are sent.
        let sent = before.0.sent;
        until("captured", LONG, || {
            advertised(&lab, 5).len() > already + 20
        });
        let after = (one.status("v").counters, two.router("transitions"));
        let times = advertised(&lab, 5);
        let gaps = times[already.saturating_sub(1)..]
            .windows(2)
            .map(|pair| pair[1] - pair[0]);
        let longest = gaps.fold(0.0, f64::max);
        let moved = after.0.transitions != before.0.transitions || after.1 != before.1;
        println!("  the longest gap is {longest:.1} ms, moved: {moved}");
        seen.push((longest, moved));
        assert!(after.0.sent > sent, "counters are kept");
        // The other one waits for 361 ms.
        if longest < 250.0 && !moved {
            assert_eq!(one.status("v").priority.to_string(), "150");
            assert_eq!(self::sockets(lab.host(1)), sockets);
            return;
        }
    }
    let why = one.status("v").why;
    panic!("{seen:?}, {why}, {}", two.process.log());
}

pub(crate) fn settings_change_under_way() {
    undisturbed(|| {
        let lab = Lab::new(2);
        let (one, two) = pair(&lab, &v("priority = 150"));
        // At half the pace; 361 ms are what the other one would have waited for at the old one.
        one.reconfigure(&v("priority = 150\nadvert_interval = \"300ms\""));
        let slow = |at_least: usize| {
            let filter = "ip.src == 10.9.0.1 and vrrp.short_adver_int == 30";
            lab.captured(filter, &[]).len() > at_least
        };
        let before = two.router("transitions");
        until("it says so", LONG, || slow(4));
        assert!(one.are(&[("v", "master")]));
        assert_eq!(two.router("transitions"), before);
        // It is an election as any other.
        let other = |state: &str| two.router("state") == state;
        one.reconfigure(&v("priority = 50"));
        until("the other one takes over", LONG, || other("master"));
        one.until(&[("v", "backup")]);
        assert!(lab.host(2).has(VIP));
        assert_eq!(one.status("v").priority.to_string(), "50");
        let why = two.router("why");
        assert_eq!(why, "master 10.9.0.1 has the lower priority 50");
        one.reconfigure(&v("priority = 150\npreempt = false"));
        until("known", LONG, || {
            one.status("v").why.contains("preempt is off")
        });
        one.reconfigure(&v("priority = 150"));
        one.until(&[("v", "master")]);
        until("given back", LONG, || {
            other("backup") && lab.host(1).has(VIP) && !lab.host(2).has(VIP)
        });
        // A pool that nobody tracked until now, and that is down.
        let tracking = v("priority = 150\ntrack_pools = { q = 60 }");
        let (config, pools) = configuration(lab.host(1), &["p", "q"], &tracking);
        let q = Arc::clone(&pools[1]);
        q.tell(false, None);
        one.tell(Command::Reconfigure { config, pools });
        until("the other one takes over", LONG, || other("master"));
        let said = one.status("v").priority.to_string();
        assert_eq!(said, "150 - 60 = 90: pool q has no usable server");
        // It comes back, and is no longer tracked; what is tracked instead passes its checks.
        let tracking = v("priority = 150\ntrack_pools = { p = 60 }");
        let (config, pools) = configuration(lab.host(1), &["p", "q"], &tracking);
        let p = Arc::clone(&pools[0]);
        one.tell(Command::Reconfigure { config, pools });
        until("given back", LONG, || {
            p.tell(true, Some(Instant::now()));
            other("backup") && one.are(&[("v", "master")])
        });
    });
}

pub(crate) fn addresses_come_and_go_under_way() {
    undisturbed(|| {
        let lab = Lab::new(2);
        let (one, two) = pair(&lab, &v("priority = 150"));
        let counted = || {
            (
                one.status("v").counters.transitions,
                two.router("transitions"),
            )
        };
        let before = counted();
        let with = |addresses: &[&str]| router("v", 5, addresses, "priority = 150");
        let watch = Watch::begin(lab.host(1), VIP);
        one.reconfigure(&with(&[VIP, "10.9.0.101"]));
        until("claimed", LONG, || lab.host(1).has("10.9.0.101"));
        let told = "arp.isgratuitous == 1 and arp.src.proto_ipv4 == 10.9.0.101 and \
                arp.opcode == 1";
        let announced = || -> Vec<f64> {
            let lines = lab.captured(told, &["frame.time_relative"]);
            lines.iter().map(|line| line.parse().unwrap()).collect()
        };
        until("announced", LONG, || announced().len() > 5);
        let times = announced();
        assert!(
            times[4] - times[0] < 3.0,
            "a burst of half a second: {times:?}"
        );
        let both =
            "ip.src == 10.9.0.1 and vrrp.ip_addr == 10.9.0.101 and vrrp.ip_addr == 10.9.0.100";
        until("advertised", LONG, || !lab.captured(both, &[]).is_empty());
        assert_eq!(watch.end(), 0, "the first one stays");
        let put_back = one.status("v").counters.put_back;
        assert_eq!(put_back, 0, "claimed, not found to be missing");
        let watch = Watch::begin(lab.host(1), "10.9.0.101");
        one.reconfigure(&with(&["10.9.0.101"]));
        until("gone", LONG, || !lab.host(1).has(VIP));
        let alone = "ip.src == 10.9.0.1 and vrrp.ip_addr == 10.9.0.101 and vrrp.addr_count == 1";
        until("advertised alone", LONG, || {
            lab.captured(alone, &[]).len() > 1
        });
        assert_eq!(watch.end(), 0, "the second one stays");
        assert!(one.inputs.absent().addresses.is_empty());
        // The daemon on the second host has another address: that is a collision, and no
        // transition.
        assert_eq!(counted().0, before.0);
        one.reconfigure(&with(&[VIP]));
        until("back", LONG, || {
            lab.host(1).has(VIP) && !lab.host(1).has("10.9.0.101") && !lab.host(2).has(VIP)
        });
    });
}

/// Clients are reset while the address is there.
pub(crate) fn an_address_goes_when_its_clients_are_reset() {
    undisturbed(|| {
        let lab = Lab::new(1);
        let worker = Arc::new(WorkerCounters::default());
        let both = router("v", 5, &[VIP, "10.9.0.101"], "");
        let one = Elector::with_workers(lab.host(1), &both, vec![Arc::clone(&worker)]);
        one.until(&[("v", "master")]);
        let absent = || one.inputs.absent();
        let address: IpAddr = VIP.parse().unwrap();
        // It is removed after half a second at the latest, which may pass before we look.
        for _ in 0..20 {
            one.reconfigure(&both);
            until("claimed", LONG, || lab.host(1).has(VIP));
            worker
                .departed
                .store(absent().generation, Ordering::Release);
            let begun = Instant::now();
            one.reconfigure(&router("v", 5, &["10.9.0.101"], ""));
            until("told", LONG, || absent().addresses.contains(&address));
            std::thread::sleep(Duration::from_millis(50));
            let waits = lab.host(1).has(VIP);
            let in_time = begun.elapsed() < Duration::from_millis(400);
            worker
                .departed
                .store(absent().generation, Ordering::Release);
            until("gone", LONG, || !lab.host(1).has(VIP));
            until("forgotten", LONG, || absent().addresses.is_empty());
            if in_time {
                assert!(waits, "the worker has not reset anybody");
                assert!(one.are(&[("v", "master")]));
                return;
            }
        }
        panic!("this machine is too slow to look within 400 ms");
    });
}

pub(crate) fn what_cannot_change_under_way_begins_anew() {
    undisturbed(|| {
        let lab = Lab::new(1);
        let mut one = Elector::start(lab.host(1), &v(""));
        one.until(&[("v", "master")]);
        let before = one.status("v").counters;
        one.reconfigure(&router("v", 6, &[VIP], ""));
        let goodbye = |id: u8| {
            let filter =
                format!("ip.src == 10.9.0.1 and vrrp.prio == 0 and vrrp.virt_rtr_id == {id}");
            !lab.captured(&filter, &[]).is_empty()
        };
        until("master again", LONG, || {
            let v = one.status("v");
            v.router_id == 6 && v.state == "master"
        });
        assert!(lab.host(1).has(VIP));
        let after = one.status("v").counters;
        assert!(after.sent > before.sent, "it goes on counting");
        assert_eq!(after.became_master, before.became_master + 1);
        until("it said goodbye", LONG, || goodbye(5));
        // Removed, with nobody left.
        one.reconfigure("");
        one.until(&[]);
        assert!(!lab.host(1).has(VIP));
        assert!(one.inputs.absent().addresses.is_empty());
        until("it said goodbye", LONG, || goodbye(6));
        // And the first one again.
        one.reconfigure(&v(""));
        one.until(&[("v", "master")]);
        assert!(lab.host(1).has(VIP));
        one.stop();
        assert!(!lab.host(1).has(VIP));
        lab.judge(1);
    });
}

pub(crate) fn an_address_moves_between_routers() {
    undisturbed(|| {
        let lab = Lab::new(1);
        let both = |a: &[&str], b: &[&str]| router("a", 5, a, "") + &router("b", 6, b, "");
        let one = Elector::start(lab.host(1), &both(&[VIP, "10.9.0.102"], &["10.9.0.101"]));
        let masters = [("a", "master"), ("b", "master")];
        one.until(&masters);
        until("all there", LONG, || lab.host(1).has("10.9.0.102"));
        let watch = Watch::begin(lab.host(1), "10.9.0.102");
        for _ in 0..5 {
            one.reconfigure(&both(&[VIP], &["10.9.0.101", "10.9.0.102"]));
            one.reconfigure(&both(&[VIP, "10.9.0.102"], &["10.9.0.101"]));
        }
        // From one that ends.
        let generation = one.inputs.absent().generation;
        one.reconfigure(&router("b", 6, &["10.9.0.101", "10.9.0.102", VIP], ""));
        one.until(&[("b", "master")]);
        for address in [VIP, "10.9.0.101", "10.9.0.102"] {
            assert!(lab.host(1).has(address), "{address}");
        }
        assert_eq!(watch.end(), 0, "somebody always had it");
        assert!(one.inputs.absent().addresses.is_empty());
        assert!(one.inputs.absent().generation > generation);
        // To one that has yet to win: it waits until the address is free.
        one.reconfigure(&both(&["10.9.0.102"], &["10.9.0.101"]));
        one.until(&masters);
        assert!(lab.host(1).has("10.9.0.102") && !lab.host(1).has(VIP));
    });
}

pub(crate) fn the_last_configuration_wins() {
    undisturbed(|| {
        let lab = Lab::new(1);
        let mut one = Elector::start(lab.host(1), &v(""));
        one.until(&[("v", "master")]);
        for id in [6, 7, 8, 9] {
            one.reconfigure(&router("v", id, &[VIP], ""));
            one.reconfigure(&(router("v", id, &[VIP], "") + &router("w", 20, &["10.9.0.200"], "")));
        }
        one.reconfigure(&router("v", 10, &[VIP, "10.9.0.101"], ""));
        until("the last one is master", LONG, || {
            let last = one.published.load();
            last.len() == 1 && last[0].router_id == 10 && last[0].state == "master"
        });
        assert!(lab.host(1).has(VIP) && lab.host(1).has("10.9.0.101"));
        assert!(!lab.host(1).has("10.9.0.200"));
        // One that ends while another one waits for that.
        one.reconfigure(&router("v", 11, &[VIP], ""));
        one.stop();
        assert!(!lab.host(1).has(VIP) && !lab.host(1).has("10.9.0.101"));
        assert!(!one.are(&[("v", "master")]));
        let filter = "ip.src == 10.9.0.1 and vrrp.virt_rtr_id == 11";
        assert!(lab.captured(filter, &[]).is_empty(), "it never began");
    });
}

/// With another prefix length it is another address to the kernel, but not to its clients.
pub(crate) fn another_prefix_length_resets_nobody() {
    undisturbed(|| {
        let lab = Lab::new(1);
        let with = |four: u8, six: u8| {
            format!(
                "[vrrp.four]\ninterface = \"eth0\"\nrouter_id = 5\nadvert_interval = \"100ms\"\n\
             addresses = [\"{VIP}/{four}\"]\n\
             [vrrp.six]\ninterface = \"eth0\"\nrouter_id = 5\nadvert_interval = \"100ms\"\n\
             addresses = [\"fe80::100/{six}\", \"2001:db8::100/{six}\"]\n"
            )
        };
        let one = Elector::start(lab.host(1), &with(24, 64));
        one.until(&[("four", "master"), ("six", "master")]);
        let shows = |four: u8, six: u8| {
            let shown = lab.host(1).ip("-o address show dev eth0");
            let has = |address: String| shown.matches(&address).count() == 1;
            has(format!(" {VIP}/{four} ")) && has(format!(" 2001:db8::100/{six} "))
        };
        until("claimed", LONG, || shows(24, 64));
        let before = one.status("four").counters.transitions;
        one.reconfigure(&with(32, 128));
        until("renumbered", LONG, || shows(32, 128));
        assert!(!shows(24, 64));
        assert!(one.are(&[("four", "master"), ("six", "master")]));
        assert!(one.inputs.absent().addresses.is_empty());
        assert_eq!(one.status("four").counters.transitions, before);
    });
}

pub(crate) fn a_group_changes_as_one() {
    undisturbed(|| {
        let lab = Lab::new(1);
        let group = |more: &str, six: bool| {
            let four = router("four", 5, &[VIP], &format!("group = \"g\"\n{more}"));
            let six = six.then(|| {
                format!(
                    "[vrrp.six]\ninterface = \"eth0\"\nrouter_id = 5\nadvert_interval = \"100ms\"\n\
                 addresses = [\"fe80::100/64\"]\ngroup = \"g\"\n{more}\n"
                )
            });
            four + &six.unwrap_or_default()
        };
        let one = Elector::start(lab.host(1), &group("", true));
        let masters = [("four", "master"), ("six", "master")];
        one.until(&masters);
        let became = |name: &str| one.status(name).counters.became_master;
        let before = became("four");
        one.reconfigure(&group("priority = 120", true));
        until("known", LONG, || one.status("six").priority.base == 120);
        assert!(one.are(&masters));
        // Who moves together is not what it was: both end, and one begins anew.
        one.reconfigure(&group("priority = 120", false));
        until("anew", LONG, || {
            one.are(&masters[..1]) && became("four") > before
        });
        assert!(lab.host(1).has(VIP) && !lab.host(1).has("fe80::100"));
        one.reconfigure(&group("priority = 120", true));
        until("together", LONG, || {
            one.are(&masters) && became("four") > before + 1
        });
        assert_eq!(became("six"), 1, "it is a new one");
    });
}
