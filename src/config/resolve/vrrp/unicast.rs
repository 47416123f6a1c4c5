//! Who is spoken to, and from where.

use super::*;
use crate::config::limits::Interface;

pub(super) fn peers(file: &Vrrp, addresses: &[IpNet], problems: &mut Problems) -> Vec<IpAddr> {
    let Some(given) = file.peers.given() else {
        return Vec::new();
    };
    let mut peers = Vec::new();
    for (peer, at) in &given.value {
        let other_family = addresses
            .first()
            .is_some_and(|a| a.addr().is_ipv4() != peer.is_ipv4());
        let wrong = if addresses.iter().any(|address| address.addr() == *peer) {
            Some("is one of the virtual addresses, which we may have ourselves")
        } else if other_family {
            Some("is not of the family of the virtual addresses")
        } else if peers.contains(peer) {
            Some("is given twice")
        } else if peers.first().is_some_and(|first| !same_scope(first, peer)) {
            Some("one is link-local and another is not: they need different sources")
        } else {
            cannot_be_virtual(*peer)
        };
        match wrong {
            None => peers.push(*peer),
            Some(label) => problems.push(
                Problem::error("E0105", format!("`{}` cannot contain {peer}", given.path))
                    .at(at.clone(), label)
                    .help("accepted: the addresses of the other nodes"),
            ),
        }
    }
    peers
}

/// What one address can send to the other: in IPv6 link-local ones and wider ones do not mix.
fn same_scope(one: &IpAddr, other: &IpAddr) -> bool {
    is_link_local(*one) == is_link_local(*other)
}

pub(super) fn source(
    file: &Vrrp,
    addresses: &[IpNet],
    priority: u8,
    problems: &mut Problems,
) -> Option<IpAddr> {
    let given = file.source.given()?;
    let source = given.value;
    let first = addresses.first()?.addr();
    let peer = file.peers.value().and_then(|peers| peers.first());
    let link_local = peer.map_or(first.is_ipv6(), |(peer, _)| is_link_local(*peer));
    let wrong = if source.is_ipv4() != first.is_ipv4() {
        Some("is not of the family of the virtual addresses")
    } else if addresses.iter().any(|address| address.addr() == source) && priority != OWNER {
        Some("is one of the virtual addresses, which we have only as master")
    } else if is_link_local(source) && !link_local {
        Some("is link-local, and the peers are not")
    } else if !is_link_local(source) && link_local {
        Some("has to be link-local, as the peers are, or the group of IPv6")
    } else {
        cannot_be_virtual(source)
    };
    let Some(label) = wrong else {
        return Some(source);
    };
    problems.push(
        Problem::error("E0105", format!("`{}` cannot be {source}", given.path))
            .at(given.at.clone(), label)
            .help("accepted: an address of the interface that the other nodes can reach"),
    );
    None
}

/// A host that is set up later may have it.
pub(super) fn check_source(named: &Named<Vrrp>, interface: &Interface, problems: &mut Problems) {
    let Some(given) = named.value.source.given() else {
        return;
    };
    let mut own = interface.addresses.iter().map(IpNet::addr);
    if !own.any(|own| own == given.value) {
        let what = format!("{} does not have {} now", interface.name, given.value);
        problems.push(Problem::warning("W0215", what).at(given.at.clone(), "warren waits for it"));
    }
}

/// `peers` are those of the file with which nothing else is wrong.
pub(super) fn check_own_peers<'a>(
    named: &Named<Vrrp>,
    peers: &[IpAddr],
    own: impl Iterator<Item = &'a IpNet>,
    problems: &mut Problems,
) {
    let own: Vec<IpAddr> = own.map(IpNet::addr).collect();
    let given = || named.value.peers.value().into_iter().flatten();
    for peer in peers.iter().filter(|peer| own.contains(peer)) {
        if let Some((_, at)) = given().find(|(one, _)| one == peer) {
            problems.push(
                Problem::error(
                    "E0105",
                    format!("[vrrp.{}] would talk to itself", named.name),
                )
                .at(at.clone(), "is an address of this host")
                .help("accepted: the addresses of the other nodes"),
            );
        }
    }
}
