//! The module that owns the address, alone with a real kernel: one host, nobody to elect.

use std::collections::HashSet;
use std::fs::File;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use nix::sched::{CloneFlags, setns};
use warren::vip::netlink::{Address, Netlink, NetlinkError};
use warren::vip::{LEASE, Vip};

use crate::lab::{Host, Lab};

const FOUR: &str = "10.9.0.100/24";
const SIX: &str = "2001:db8::100/64";
/// The kernel looks at lifetimes once a second, and so late.
const GONE: Duration = Duration::from_millis(2_500);

/// Runs something in the network of a host, on a thread of its own.
fn on<T: Send>(host: &Host, run: impl FnOnce(&mut Netlink, u32) -> T + Send) -> T {
    let network = File::open(format!("/proc/{}/ns/net", host.holder.id())).unwrap();
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            setns(network, CloneFlags::CLONE_NEWNET).unwrap();
            let mut netlink = Netlink::open().unwrap();
            let links = netlink.links().unwrap();
            let eth0 = links.iter().find(|link| link.name == "eth0").unwrap().index;
            run(&mut netlink, eth0)
        });
        thread.join().unwrap()
    })
}

fn nets(addresses: &[&str]) -> Vec<IpNet> {
    let parsed = addresses.iter().map(|address| address.parse().unwrap());
    parsed.collect()
}

fn find(netlink: &mut Netlink, address: &str) -> Option<Address> {
    let wanted: IpNet = address.parse().unwrap();
    let known = netlink.addresses().unwrap();
    known
        .into_iter()
        .find(|known| known.address.addr() == wanted.addr())
}

pub(crate) fn an_address_has_a_lease() {
    let lab = Lab::new(1);
    let routes = || lab.host(1).ip("route show") + &lab.host(1).ip("-6 route show");
    let before = routes();
    on(lab.host(1), |netlink, eth0| {
        let mut vip = Vip::new(nets(&[FOUR, SIX]));
        let claimed = Instant::now();
        vip.claim(netlink, eth0).unwrap();
        assert!(vip.is_claimed_on(eth0) && !vip.is_claimed_on(eth0 + 1));
        for address in [FOUR, SIX] {
            let there = find(netlink, address).unwrap();
            assert!(there.valid.is_some_and(|valid| valid <= LEASE), "{there:?}");
            assert_eq!(there.preferred, Some(Duration::ZERO));
            assert!(!there.tentative, "nobody waits for duplicate detection");
            let ip = there.address.addr();
            let socket = UdpSocket::bind((ip, 0)).unwrap();
            let neighbour: IpAddr = match ip {
                IpAddr::V4(_) => "10.9.0.9".parse().unwrap(),
                IpAddr::V6(_) => "2001:db8::9".parse().unwrap(),
            };
            socket.send_to(b"at once", (neighbour, 9)).unwrap();
        }
        for address in [FOUR, SIX] {
            while find(netlink, address).is_some() {
                assert!(claimed.elapsed() < GONE, "{address} is still there");
                std::thread::sleep(Duration::from_millis(10));
            }
            let took = claimed.elapsed();
            assert!(
                took > Duration::from_secs(1),
                "{address} went after {took:?}"
            );
            println!("  {address} went after {took:?}");
        }
    });
    assert_eq!(routes(), before, "the routes to the networks stay");
}

pub(crate) fn an_address_that_is_renewed_stays() {
    let lab = Lab::new(1);
    on(lab.host(1), |netlink, eth0| {
        let mut vip = Vip::new(nets(&[FOUR, SIX]));
        assert!(!vip.renew(netlink).unwrap());
        assert_eq!(find(netlink, FOUR), None, "nothing was claimed");
        vip.claim(netlink, eth0).unwrap();
        let begun = Instant::now();
        while begun.elapsed() < 2 * LEASE {
            std::thread::sleep(Duration::from_millis(500));
            for address in [FOUR, SIX] {
                assert!(find(netlink, address).is_some(), "{address}");
            }
            assert!(!vip.renew(netlink).unwrap(), "nothing was missing");
        }
        for address in [FOUR, SIX] {
            netlink.delete(eth0, address.parse().unwrap()).unwrap();
            assert_eq!(find(netlink, address), None);
            assert!(vip.renew(netlink).unwrap(), "{address} was missing");
            assert!(find(netlink, address).is_some(), "put back");
            assert!(!vip.renew(netlink).unwrap());
        }
    });
}

pub(crate) fn releasing_takes_away_what_was_claimed() {
    let lab = Lab::new(1);
    let before = lab.host(1).ip("-o address show dev eth0");
    on(lab.host(1), |netlink, eth0| {
        let mut vip = Vip::new(nets(&[FOUR, SIX]));
        vip.release(netlink, &[]).unwrap();
        vip.claim(netlink, eth0).unwrap();
        // Somebody was faster.
        netlink.delete(eth0, SIX.parse().unwrap()).unwrap();
        vip.release(netlink, &[]).unwrap();
        vip.release(netlink, &[]).unwrap();
        assert!(!vip.is_claimed_on(eth0));
        assert!(matches!(
            vip.claim(netlink, 4_711),
            Err(NetlinkError::NoInterface)
        ));
        assert!(!vip.is_claimed_on(4_711));
    });
    assert_eq!(lab.host(1).ip("-o address show dev eth0"), before);
}

pub(crate) fn all_addresses_are_claimed_or_none() {
    let lab = Lab::new(1);
    let mut shell = lab.host(1).inside("sh");
    shell.args(["-c", "echo 1 > /proc/sys/net/ipv6/conf/eth0/disable_ipv6"]);
    assert!(shell.status().unwrap().success());
    on(lab.host(1), |netlink, eth0| {
        let mut vip = Vip::new(nets(&[FOUR, SIX]));
        vip.claim(netlink, eth0).unwrap_err();
        assert_eq!(find(netlink, FOUR), None);
        assert!(!vip.is_claimed_on(eth0));
    });
}

pub(crate) fn what_was_there_before_is_cleared() {
    let lab = Lab::new(1);
    lab.host(1).ip("address add 10.9.0.100/32 dev eth0");
    on(lab.host(1), |netlink, eth0| {
        let left_behind = Vip::new(nets(&[SIX])).claim(netlink, eth0);
        left_behind.unwrap();
        let mut vip = Vip::new(nets(&[FOUR, SIX]));
        let present = netlink.addresses().unwrap();
        let foreign = vip.clear(netlink, &present).unwrap();
        let foreign: Vec<IpNet> = foreign.iter().map(|one| one.address).collect();
        assert_eq!(foreign, nets(&["10.9.0.100/32"]), "by somebody");
        assert_eq!((find(netlink, FOUR), find(netlink, SIX)), (None, None));
        assert!(find(netlink, "10.9.0.1/24").is_some(), "the host's own");
        let again = vip.clear(netlink, &present).unwrap();
        assert_eq!(again, [], "that they are gone is no error");
        let gone = present.into_iter().map(|one| Address {
            interface: 4_711,
            ..one
        });
        let gone: Vec<Address> = gone.collect();
        assert_eq!(vip.clear(netlink, &gone).unwrap(), [], "nor the interface");
    });
}

/// A dump of many addresses comes in several datagrams. What goes between two of them must not take
/// others with it. A kernel that holds no lock meanwhile does not tell of what goes while it looks
/// for the place at which the last datagram begins, so that something may be missing now and then:
/// the driver asks again before it believes that a virtual address is gone.
pub(crate) fn a_dump_is_whole_while_addresses_change() {
    let lab = Lab::new(1);
    on(lab.host(1), |netlink, eth0| {
        let many: Vec<IpNet> = (0..=255u8)
            .flat_map(|third| (0..8u8).map(move |last| (third, last)))
            .map(|(third, last)| IpNet::from(IpAddr::from([10, 20, third, last])))
            .collect();
        for address in &many {
            netlink.keep(eth0, *address).unwrap();
        }
        // The list begins with those that were there longest: each round takes some away and puts
        // them behind the others.
        let (stop, round) = (AtomicBool::new(false), AtomicUsize::new(0));
        let moving = |round: usize| many.chunks(64).nth(round % (many.len() / 64)).unwrap();
        std::thread::scope(|scope| {
            // Of the same network: threads begin in the one of the thread that starts them.
            scope.spawn(|| {
                let mut other = Netlink::open().unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let these = moving(round.fetch_add(1, Ordering::SeqCst) + 1);
                    for address in these {
                        other.delete(eth0, *address).unwrap();
                    }
                    std::thread::sleep(Duration::from_millis(2));
                    for address in these {
                        other.keep(eth0, *address).unwrap();
                    }
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            let begun = Instant::now();
            let (mut dumps, mut failed, mut lacking) = (0, 0, 0);
            while begun.elapsed() < Duration::from_secs(3) {
                dumps += 1;
                let before = round.load(Ordering::SeqCst);
                let Ok(known) = netlink.addresses() else {
                    failed += 1;
                    continue;
                };
                let moved = before..=round.load(Ordering::SeqCst);
                let moved: HashSet<&IpNet> = moved.flat_map(moving).collect();
                let known: HashSet<IpNet> = known.iter().map(|known| known.address).collect();
                let mut stay = many.iter().filter(|one| !moved.contains(one));
                lacking += u32::from(!stay.all(|one| known.contains(one)));
            }
            stop.store(true, Ordering::Relaxed);
            println!("  {dumps} dumps, {failed} of them given up, {lacking} lacked something");
            assert!(failed < dumps);
            // A quarter of them, if interruptions are not heeded.
            assert!(lacking <= dumps / 50);
        });
    });
}
