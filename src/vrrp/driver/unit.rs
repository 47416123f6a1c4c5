//! A router with what surrounds it: its members' addresses, counters, and what lowers its priority.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use super::wanted::{Tracked, Wanted};
use crate::config::{self, OWNER, VirtualRouter, VrrpChecksum};
use crate::vip::interface::{Interfaces, Sender};
use crate::vip::netlink::{Address, Netlink, NetlinkError};
use crate::vip::{Announcer, Vip};
use crate::vrrp::dispute::Dispute;
use crate::vrrp::packet::{Advertisement, ChecksumForm};
use crate::vrrp::receive::{Accepted, GROUP_V4, GROUP_V6, Receiver, Refusal};
use crate::vrrp::router::{Member, Proof, Router, State, Transition, Why};
use crate::vrrp::socket::VrrpSocket;
use crate::vrrp::status::{Counters, Heard, Past, Priority, REMEMBERED, RouterStatus};
use crate::vrrp::timing::LOST;

/// Somebody who sends what is refused is named once in this time, for each reason.
const COMPLAIN: Duration = Duration::from_secs(60);

/// One virtual router.
struct Virtual {
    config: VirtualRouter,
    /// The pools that it tracks.
    pools: Vec<Tracked>,
    addresses: Vec<IpAddr>,
    vip: Vip,
    /// Those that the host has by itself.
    own: Vec<IpAddr>,
    /// The address that it sends from.
    source: Option<IpAddr>,
    /// The form of checksum that each sender was seen to use, the last one at the end.
    forms: Vec<(IpAddr, ChecksumForm)>,
    heard: Option<Heard>,
    dispute: Dispute,
    disputed_at: Option<Instant>,
    counters: Counters,
    past: VecDeque<Past>,
    /// Advertisements in a row that could not be sent.
    unsent: u32,
    /// When an address that somebody else put on the interface was last named in the log.
    strays_named_at: Option<Instant>,
    /// The same of one that is the host's own on another interface.
    left_named_at: Option<Instant>,
    /// By reason: when a refused packet was last named in the log.
    complained: [Option<Instant>; Refusal::COUNT],
}

/// Virtual routers that move together, with their router.
pub(super) struct Unit {
    pub(super) router: Router,
    members: Vec<Virtual>,
    name: String,
    priority: Priority,
    waiting_for: Option<String>,
    /// Why it is in its state, as the log says it.
    reason: String,
    /// Where it stands among the units of the configuration.
    pub(super) place: usize,
    /// It is not wanted any more, and goes when it has let go.
    pub(super) ending: bool,
    /// The addresses are ours to serve clients on.
    present: bool,
    /// What the router was told last.
    proof: Option<Proof>,
    /// Names of the tracked pools that lower the priority.
    down: Vec<String>,
    /// When the addresses are removed at the latest.
    pub(super) release_at: Option<Instant>,
    /// When it is looked again whether they can be.
    pub(super) look_at: Option<Instant>,
}

/// Forms that are remembered: more peers than that share no network.
const MOST_FORMS: usize = 16;

/// The virtual addresses of all units.
pub(super) fn addresses(units: &[Unit]) -> Vec<IpAddr> {
    units.iter().flat_map(Unit::addresses).collect()
}

impl Unit {
    pub(super) fn new(wanted: Wanted, now: Instant) -> Self {
        let Wanted {
            name,
            settings,
            members,
        } = wanted;
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let router = members
            .iter()
            .map(|(one, _)| Member::new(one.version, one.advert_interval, unknown, now));
        Self {
            router: Router::new(settings, router.collect(), now),
            members: members
                .into_iter()
                .map(|(config, pools)| Virtual::new(config, pools))
                .collect(),
            name,
            priority: Priority {
                base: settings.priority,
                penalties: Vec::new(),
            },
            waiting_for: Some("the first look at its interface".to_owned()),
            reason: Why::NotReady.to_string(),
            place: 0,
            ending: false,
            present: false,
            proof: None,
            down: Vec::new(),
            release_at: None,
            look_at: None,
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let members = self.members.iter();
        members.flat_map(|member| member.addresses.iter().copied())
    }

    pub(super) fn routers(&self) -> impl Iterator<Item = &VirtualRouter> {
        self.members.iter().map(|member| &member.config)
    }

    pub(super) fn has_ended(&self) -> bool {
        self.router.state() == State::Stopped && self.release_at.is_none()
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.router
            .next_deadline()
            .into_iter()
            .chain(self.look_at)
            .min()
    }

    /// What each member listens to, with its configuration.
    pub(super) fn receivers(&self) -> impl Iterator<Item = (&VirtualRouter, Receiver)> {
        self.members.iter().map(|member| {
            let config = &member.config;
            let receiver = Receiver {
                router_id: config.router_id,
                version: config.version,
                interval: config.advert_interval,
                addresses: member.addresses.clone(),
                peers: config.peers.clone(),
                own: member.source,
            };
            (config, receiver)
        })
    }
}

// What comes in.
impl Unit {
    /// Counts a packet that was refused; the log names its sender now and then if it is a matter of
    /// configuration.
    pub(super) fn refused(&mut self, member: usize, why: Refusal, from: Option<IpAddr>) {
        let member = &mut self.members[member];
        member.counters.refused[why as usize] += 1;
        let worth_a_word = matches!(
            why,
            Refusal::Collision
                | Refusal::OtherVersion
                | Refusal::OtherInterval
                | Refusal::NotAPeer
                | Refusal::Multicast
                | Refusal::Unicast
                | Refusal::Authentication
                | Refusal::Checksum
                | Refusal::OwnAddress
        ) || (why == Refusal::Ttl
            // From anywhere else it is what the limit is there to keep out.
            && from.is_some_and(|from| member.config.peers.contains(&from)));
        let now = Instant::now();
        if let Some(from) = from
            && worth_a_word
            && !matches!(why, Refusal::Collision | Refusal::OwnAddress)
            && matches!(self.router.state(), State::Master { .. })
        {
            member.dispute(from, Some(why), Duration::ZERO, now);
        }
        let complained = &mut member.complained[why as usize];
        let silent = complained.is_some_and(|at| now < at + COMPLAIN);
        if !worth_a_word || silent {
            return;
        }
        *complained = Some(now);
        let from = from.map_or_else(|| "-".to_owned(), |from| from.to_string());
        let (name, id) = (&member.config.name, member.config.router_id);
        if why == Refusal::Collision {
            tracing::error!(
                virtual_router = name,
                from,
                "{from} uses router id {id} for other addresses: one of the two has to change"
            );
        } else {
            tracing::warn!(
                virtual_router = name,
                from,
                reason = why.name(),
                "an advertisement was refused"
            );
        }
    }

    /// Takes note of an advertisement that passed and did not make a backup of a master.
    pub(super) fn disputed(&mut self, member: usize, accepted: &Accepted, now: Instant) {
        let said = &accepted.advertisement;
        if said.priority > 0 && matches!(self.router.state(), State::Master { .. }) {
            let interval = said.interval.duration();
            self.members[member].dispute(accepted.from, None, interval, now);
        }
    }

    /// Counts an advertisement that passed.
    pub(super) fn accepted(&mut self, member: usize, accepted: &Accepted, now: Instant) {
        let member = &mut self.members[member];
        member.counters.received += 1;
        if accepted.addresses_differ {
            if member.counters.addresses_differ == 0 {
                tracing::warn!(virtual_router = member.config.name, from = %accepted.from,
                    "the other node has not quite the same virtual addresses");
            }
            member.counters.addresses_differ += 1;
        }
        member.heard = Some(Heard {
            from: accepted.from,
            priority: accepted.advertisement.priority,
            at: now,
        });
        member.forms.retain(|(from, _)| *from != accepted.from);
        if member.forms.len() >= MOST_FORMS {
            member.forms.remove(0);
        }
        member.forms.push((accepted.from, accepted.form));
    }

    pub(super) fn set_source(&mut self, member: usize, source: Option<IpAddr>) {
        self.members[member].source = source;
    }

    /// What the host has of the addresses of those members that own theirs.
    pub(super) fn owned(&self, interfaces: &Interfaces) -> impl Iterator<Item = IpAddr> {
        let owners = self.members.iter().filter(|member| member.owns());
        owners.flat_map(|member| member.of_host(interfaces).map(|one| one.address.addr()))
    }

    /// Learns which of the virtual addresses are the host's. An owner has all that are there
    /// without us; from anybody else only what the host cannot do without is not taken: `borrowed`
    /// are the virtual addresses that it has to do without.
    pub(super) fn look_at_own(&mut self, interfaces: &Interfaces, borrowed: &[IpAddr]) {
        for member in &mut self.members {
            let owns = member.owns();
            let of_host = member.of_host(interfaces);
            let own = of_host.filter(|one| owns || interfaces.is_needed(one, borrowed));
            member.own = own.map(|one| one.address.addr()).collect();
            member.vip.keep(member.own.clone());
        }
    }

    /// What a member sends from.
    pub(super) fn sender<'a>(
        &'a self,
        member: usize,
        virtual_addresses: &'a [IpAddr],
        owned: &'a [IpAddr],
    ) -> Sender<'a> {
        let member = &self.members[member];
        Sender {
            v6: member.is_v6(),
            source: member.config.source,
            peer: member.config.peers.first().copied(),
            virtual_addresses,
            own: owned,
        }
    }

    /// What keeps it out of the election, in words.
    pub(super) fn waiting_for(&self, interfaces: &Interfaces) -> Option<String> {
        let own = self.members.iter().map(|member| &member.config.interface);
        let tracked = self.tracked_interfaces();
        let tracked = tracked.filter(|tracked| tracked.weight.is_none());
        let needed = own.chain(tracked.map(|tracked| &tracked.interface));
        for name in needed {
            match interfaces.link(name) {
                None => return Some(format!("interface {name}, which does not exist")),
                Some(link) if !link.carrier => {
                    return Some(format!("interface {name}, which has no carrier"));
                }
                Some(_) => {}
            }
        }
        let mut members = self.members.iter().filter(|member| !member.owns());
        if let Some((member, ip)) = members.find_map(|one| Some((one, one.own.first()?))) {
            let interface = &member.config.interface;
            return Some(format!(
                "{ip} to leave interface {interface}: it is the host's own, and the priority is \
                 not {OWNER}"
            ));
        }
        let homeless = self.members.iter().find(|member| member.source.is_none())?;
        let link_local =
            |peer: &IpAddr| matches!(peer, IpAddr::V6(ip) if ip.is_unicast_link_local());
        let what = match (homeless.config.source, homeless.config.peers.first()) {
            (Some(source), _) => format!("address {source}"),
            (None, _) if !homeless.is_v6() => "an IPv4 address".to_owned(),
            (None, Some(peer)) if !link_local(peer) => "a global IPv6 address".to_owned(),
            (None, _) => "a link-local IPv6 address".to_owned(),
        };
        let interface = &homeless.config.interface;
        Some(format!("{what} of interface {interface} to send from"))
    }

    /// Whether it waits for something that it did not wait for before.
    pub(super) fn begins_to_wait(&self, interfaces: &Interfaces) -> bool {
        self.waiting_for.is_none() && self.waiting_for(interfaces).is_some()
    }

    /// Takes note of what it waits for; true when it begins or ceases to wait.
    pub(super) fn set_waiting_for(&mut self, waiting_for: Option<String>) -> bool {
        let changed = self.waiting_for.is_some() != waiting_for.is_some();
        if self.waiting_for != waiting_for
            && let Some(what) = &waiting_for
        {
            tracing::warn!(virtual_router = self.name, "waits for {what}");
        }
        self.waiting_for = waiting_for;
        changed
    }

    fn tracked_interfaces(&self) -> impl Iterator<Item = &config::TrackedInterface> {
        let members = self.members.iter();
        members.flat_map(|member| &member.config.track_interfaces)
    }

    /// What the checks of the tracked pools say, if that is news. A pool that is down is left out
    /// once it is in the priority, not before.
    pub(super) fn pools_good_since(&mut self) -> Option<Proof> {
        let tracked = self.members.iter().flat_map(|member| &member.pools);
        let mut proof = Proof::NotNeeded;
        let is_down = |name: &str| self.down.iter().any(|down| down == name);
        for (pool, _) in tracked.filter(|(pool, _)| !is_down(pool.name())) {
            proof = match (proof, pool.good_at()) {
                (Proof::Missing, _) | (_, None) => Proof::Missing,
                (Proof::NotNeeded, Some(at)) => Proof::GoodAt(at),
                (Proof::GoodAt(known), Some(at)) => Proof::GoodAt(known.min(at)),
            };
        }
        let news = self.proof != Some(proof);
        self.proof = Some(proof);
        news.then_some(proof)
    }

    /// Adds up the priority; `Some` when it is another than the router's.
    pub(super) fn weigh(&mut self, interfaces: &Interfaces) -> Option<u8> {
        self.down.clear();
        // What several members track counts once: they move together, and have one priority.
        let mut penalties: Vec<(u8, String)> = Vec::new();
        let mut lower = |weight: u8, reason: String| match penalties
            .iter_mut()
            .find(|(_, known)| *known == reason)
        {
            Some((known, _)) => *known = weight.max(*known),
            None => penalties.push((weight, reason)),
        };
        for member in &self.members {
            for (pool, weight) in &member.pools {
                if !pool.usable() {
                    let name = pool.name();
                    lower(*weight, format!("pool {name} has no usable server"));
                    self.down.push(name.to_owned());
                }
            }
        }
        for tracked in self.tracked_interfaces() {
            let name = &tracked.interface;
            let what = match interfaces.link(name) {
                Some(link) if link.carrier => continue,
                Some(_) => "has no carrier",
                None => "does not exist",
            };
            if let Some(weight) = tracked.weight {
                lower(weight, format!("interface {name} {what}"));
            }
        }
        self.priority.penalties = penalties;
        let priority = self.priority.effective();
        (priority != self.router.priority()).then_some(priority)
    }
}

// What goes out.
impl Unit {
    /// Whether clients may be served on the addresses.
    pub(super) fn is_present(&self) -> bool {
        self.present
    }

    /// Puts the addresses of all members on their interfaces, or none.
    pub(super) fn claim(
        &mut self,
        netlink: &mut Netlink,
        interfaces: &Interfaces,
    ) -> Result<(), NetlinkError> {
        (self.release_at, self.look_at) = (None, None);
        let mut result = Ok(());
        for member in &mut self.members {
            let link = interfaces.link(&member.config.interface);
            result = match link {
                Some(link) => member.vip.claim(netlink, link.index),
                None => Err(NetlinkError::NoInterface),
            };
            if result.is_err() {
                break;
            }
        }
        self.present = result.is_ok();
        if result.is_err() {
            // What remains is removed by the kernel when its lease ends.
            let _ = self.release(netlink, &[]);
        }
        result
    }

    /// Starts the leases anew, and puts back what is missing: whether something was.
    pub(super) fn renew(&mut self, netlink: &mut Netlink) -> Result<bool, NetlinkError> {
        let mut missing = false;
        for member in &mut self.members {
            missing |= member.vip.renew(netlink)?;
        }
        Ok(missing)
    }

    /// Clients are not served on the addresses any more.
    pub(super) fn leave(&mut self) {
        self.present = false;
        // The next time as master has its own patience with a network that takes nothing.
        for member in &mut self.members {
            member.unsent = 0;
        }
    }

    /// Removes the addresses of all members, but for those that others have claimed as well.
    pub(super) fn release(
        &mut self,
        netlink: &mut Netlink,
        others: &[(u32, IpNet)],
    ) -> Result<(), NetlinkError> {
        let mut result = Ok(());
        for member in &mut self.members {
            result = result.and(member.vip.release(netlink, others));
        }
        result
    }

    /// The addresses that it has claimed, with their interfaces.
    pub(super) fn claimed(&self) -> impl Iterator<Item = (u32, IpNet)> {
        self.members.iter().flat_map(|member| member.vip.claimed())
    }

    /// Whether an address that is claimed is not on its interface.
    pub(super) fn has_lost(&self, interfaces: &Interfaces) -> bool {
        self.members.iter().any(|member| {
            let link = interfaces.link(&member.config.interface);
            link.is_some_and(|link| {
                let gone = |address: &IpAddr| !interfaces.holds(link.index, *address);
                member.vip.is_claimed_on(link.index) && member.addresses.iter().any(gone)
            })
        })
    }

    pub(super) fn name_removed(&self) {
        tracing::warn!(
            virtual_router = self.name,
            "somebody removed a virtual address"
        );
    }

    /// Counts that an address was put back, unless the router gave up instead.
    pub(super) fn was_put_back(&mut self) {
        if !self.router.state().holds_addresses() {
            return;
        }
        tracing::info!(virtual_router = self.name, "the virtual address is back");
        for member in &mut self.members {
            member.counters.put_back += 1;
        }
    }

    /// Sends an advertisement to the group or to each peer. True when that has failed for as long
    /// as peers wait.
    pub(super) fn advertise(
        &mut self,
        member: usize,
        priority: u8,
        socket: Option<&VrrpSocket>,
    ) -> bool {
        let member = &mut self.members[member];
        let sent = match (socket, member.source) {
            (Some(socket), Some(source)) => member.send(priority, socket, source),
            (None, _) | (_, None) => false,
        };
        if sent {
            member.counters.sent += 1;
            member.unsent = 0;
        } else {
            member.counters.unsent += 1;
            member.unsent += 1;
        }
        // Only once: the router has stepped down then.
        priority > 0 && member.unsent == LOST
    }

    pub(super) fn announce(&self, announcer: &Announcer, interfaces: &Interfaces) {
        for member in &self.members {
            let link = interfaces.link(&member.config.interface);
            let Some((index, hardware)) = link.and_then(|l| Some((l.index, l.hardware?))) else {
                // Nobody learns addresses on what is not an Ethernet.
                continue;
            };
            for &address in &member.addresses {
                if let Err(error) = announcer.announce(index, hardware, address) {
                    tracing::debug!(virtual_router = member.config.name, %error, "not announced");
                }
            }
        }
    }

    /// One line in the log, one for the events, and the counters.
    pub(super) fn report(&mut self, transition: Transition) {
        let Transition { from, to, why } = transition;
        let reason = match &self.waiting_for {
            Some(what) if why == Why::Unable => format!("waits for {what}"),
            Some(_) | None => why.to_string(),
        };
        self.reason.clone_from(&reason);
        tracing::info!(virtual_router = self.name, from, to, reason,
            priority = %self.priority, "virtual router changed");
        let (at, _) = self.router.since();
        let priority = self.priority.to_string();
        for member in &mut self.members {
            member.dispute = Dispute::default();
            member.counters.transitions += 1;
            member.counters.became_master += u64::from(to == "master");
            if member.past.len() == REMEMBERED {
                member.past.pop_front();
            }
            member.past.push_back(Past {
                number: member.counters.transitions,
                at,
                from,
                to,
                reason: reason.clone(),
                priority: priority.clone(),
            });
        }
    }

    pub(super) fn status(&self, now: Instant) -> impl Iterator<Item = RouterStatus> {
        let (since, _) = self.router.since();
        let mut why = self.reason.clone();
        if let Some((theirs, obstacle)) = self.router.obstacle(now) {
            why.push_str(&format!(
                "; leaves a master of priority {theirs} alone: {obstacle}"
            ));
        }
        self.members.iter().map(move |member| RouterStatus {
            name: member.config.name.clone(),
            interface: member.config.interface.clone(),
            router_id: member.config.router_id,
            version: member.config.version,
            interval: member.config.advert_interval,
            addresses: member.config.addresses.clone(),
            group: member.config.group.clone(),
            state: self.router.state().name(),
            since,
            why: why.clone(),
            waiting_for: self.waiting_for.clone(),
            priority: self.priority.clone(),
            heard: member.heard,
            other_master: member.dispute.standing(now),
            preempt: member.config.preempt,
            preempt_delay: member.config.preempt_delay,
            released: self.router.is_released(),
            claims_from: self.router.claims_from(),
            counters: member.counters.clone(),
            past: member.past.clone(),
        })
    }
}

impl Virtual {
    fn new(config: VirtualRouter, pools: Vec<Tracked>) -> Self {
        Self {
            addresses: config.addresses.iter().map(IpNet::addr).collect(),
            vip: Vip::new(config.addresses.clone()),
            own: Vec::new(),
            config,
            pools,
            source: None,
            forms: Vec::new(),
            heard: None,
            dispute: Dispute::default(),
            disputed_at: None,
            counters: Counters::default(),
            past: VecDeque::new(),
            unsent: 0,
            strays_named_at: None,
            left_named_at: None,
            complained: [None; Refusal::COUNT],
        }
    }

    /// Another master was heard while we are one; the log names it now and then if it stays.
    fn dispute(&mut self, from: IpAddr, why: Option<Refusal>, interval: Duration, now: Instant) {
        let interval = interval.max(self.config.advert_interval.duration());
        self.dispute.hear(from, why, interval, now);
        let silent = self.disputed_at.is_some_and(|at| now < at + COMPLAIN);
        if silent || self.dispute.standing(now).is_none() {
            return;
        }
        self.disputed_at = Some(now);
        let refused = why.map_or("-", Refusal::name);
        tracing::warn!(virtual_router = self.config.name, %from, refused,
            "another node is master too and does not give way: both have the addresses");
    }

    fn is_v6(&self) -> bool {
        self.addresses.iter().any(IpAddr::is_ipv6)
    }

    /// The virtual addresses that the host has by itself.
    fn of_host(&self, interfaces: &Interfaces) -> impl Iterator<Item = Address> {
        let index = interfaces
            .link(&self.config.interface)
            .map(|link| link.index);
        let of_host = move |address| interfaces.of_host(index?, address).copied();
        self.addresses.iter().copied().filter_map(of_host)
    }

    /// Whether the host's addresses may be among the virtual ones.
    fn owns(&self) -> bool {
        self.config.priority == OWNER
    }

    fn send(&self, priority: u8, socket: &VrrpSocket, source: IpAddr) -> bool {
        let said = Advertisement {
            version: self.config.version,
            router_id: self.config.router_id,
            priority,
            interval: self.config.advert_interval,
            addresses: self.addresses.clone(),
        };
        let group: IpAddr = match source {
            IpAddr::V4(_) => GROUP_V4.into(),
            IpAddr::V6(_) => GROUP_V6.into(),
        };
        let to = |destination: &IpAddr| {
            let message = said.encode(source, *destination, self.form(*destination));
            socket.send(&message, source, *destination).is_ok()
        };
        match self.config.peers.as_slice() {
            [] => to(&group),
            // One that is reached is enough; every one gets its own.
            peers => peers.iter().filter(|peer| to(peer)).count() > 0,
        }
    }

    /// The form of checksum for a destination.
    fn form(&self, destination: IpAddr) -> ChecksumForm {
        match self.config.checksum {
            VrrpChecksum::Rfc5798 => ChecksumForm::PseudoHeader,
            VrrpChecksum::Rfc9568 => ChecksumForm::MessageOnly,
            VrrpChecksum::Auto => {
                let own = self.forms.iter().find(|(from, _)| *from == destination);
                let last = self.forms.last();
                own.or(last)
                    .map_or(ChecksumForm::PseudoHeader, |(_, form)| *form)
            }
        }
    }
}

mod adopt;
mod strays;

pub(super) use adopt::News;
pub(super) use strays::Present;

#[cfg(test)]
mod tests;
