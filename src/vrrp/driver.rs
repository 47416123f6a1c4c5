//! The `vrrp` thread: waits for one event, feeds the routers, performs their actions, publishes.
//!
//! One task on one current-thread runtime. It waits for whatever comes first: a packet on one of
//! its raw sockets, a change of an interface or address, a command of the control thread, or the
//! next deadline. On every wake it first takes what has been received, so that a thread that was
//! late knows what happened meanwhile before its deadlines are looked at.
//!
//! It shares no lock with the workers. Clients are reset by asking the control thread, which asks
//! the workers; each notes in an atomic how far it has come.

use std::future::{pending, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use ipnet::IpNet;
use nix::libc::EPERM;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc;
use tokio::time::sleep_until;

use super::inputs::{Inputs, Pools, RESET_LIMIT};
use super::packet::Envelope;
use super::receive::{Accepted, ipv4, is_from_virtual, screen};
use super::router::{Action, Actions, Event, Heard};
use super::socket::{LARGEST, Received, VrrpSocket};
use super::status::RouterStatus;
use crate::config::{Config, VirtualRouter};
use crate::vip::Announcer;
use crate::vip::interface::Interfaces;
use crate::vip::netlink::{Change, Monitor, Netlink, NetlinkError};

mod addresses;
mod ports;
mod reconfigure;
mod unit;
mod wanted;

use addresses::Departing;
use ports::{Port, ports};
use unit::Unit;
use wanted::wanted;

/// Packets taken from one socket before the deadlines are looked at: a flood must not hold up our
/// own advertisements.
const PACKETS_PER_WAKE: usize = 64;
/// The same of the changes of interfaces and addresses.
const CHANGES_PER_WAKE: usize = 64;
/// The clocks may drift apart by this much without anybody having been suspended.
const SUSPENDED: Duration = Duration::from_millis(200);
/// How often it is looked whether the workers have reset their clients.
const LOOK: Duration = Duration::from_millis(1);
/// When reading the interfaces failed, it is tried again after this long.
const READ_AGAIN: Duration = Duration::from_secs(1);
/// What is published may be so old.
const PUBLISH: Duration = Duration::from_millis(100);
/// Without virtual routers it goes round this often, for the watchdog.
const IDLE: Duration = Duration::from_secs(1);

/// What the control thread can tell.
#[derive(Debug, Clone)]
pub enum Command {
    /// Something in [`Inputs`] or [`Pools`] has changed.
    Look,
    /// The configuration is another one from now on. What is the same in it goes on untouched.
    Reconfigure {
        /// The configuration.
        config: Arc<Config>,
        /// Its pools.
        pools: Pools,
    },
    /// Have another node take the addresses of these virtual routers, and those of their groups.
    Release(Vec<String>),
    /// Give the addresses up, then end.
    Stop,
}

/// What everybody else may know.
pub type Published = ArcSwap<Vec<RouterStatus>>;

/// Why the thread could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A raw socket needs CAP_NET_RAW.
    #[error("a capability is missing: {0}")]
    Capability(&'static str),
    /// Anything else.
    #[error(transparent)]
    Other(#[from] io::Error),
}

/// Whether this process may do what virtual routers need.
///
/// # Errors
///
/// See [`StartError`].
pub fn permitted() -> Result<(), StartError> {
    Announcer::open().map_err(|error| match error.raw_os_error() {
        Some(EPERM) => StartError::Capability("CAP_NET_RAW"),
        _ => StartError::Other(error),
    })?;
    // Removing an address that nobody has tells whether addresses may be changed at all.
    let nowhere = IpNet::from(IpAddr::from([192, 0, 2, 255]));
    match Netlink::open()?.delete(1, nowhere) {
        Err(NetlinkError::NotPermitted) => Err(StartError::Capability("CAP_NET_ADMIN")),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The state of the thread.
pub struct Driver {
    config: Arc<Config>,
    units: Vec<Unit>,
    /// Those that begin when others have ended which are in their way.
    waiting: Vec<Unit>,
    departing: Departing,
    ports: Vec<Port>,
    interfaces: Interfaces,
    /// The virtual addresses that are the host's own, which has priority 255 for them.
    owned: Vec<IpAddr>,
    netlink: Netlink,
    monitor: Monitor,
    announcer: Announcer,
    inputs: Arc<Inputs>,
    commands: mpsc::Receiver<Command>,
    published: Arc<Published>,
    publish_at: Option<Instant>,
    /// Changes were lost, or reading failed: when all is read again.
    read_at: Option<Instant>,
    /// How far the clock that counts suspended time is ahead.
    ahead: Duration,
    stopping: bool,
}

enum Woken {
    /// Packets, changes, or the time: all are looked at on every wake.
    Look,
    Told(Command),
}

impl Driver {
    /// Opens the sockets that need no interface, on the runtime of this thread.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub fn new(
        config: Arc<Config>,
        pools: &Pools,
        inputs: Arc<Inputs>,
        commands: mpsc::Receiver<Command>,
        published: Arc<Published>,
    ) -> Result<Self, StartError> {
        permitted()?;
        let now = Instant::now();
        let announcer = Announcer::open()?;
        let mut netlink = Netlink::open()?;
        let monitor = Monitor::open()?;
        let interfaces = read(&mut netlink).map_err(io::Error::other)?;
        let wanted = wanted(&config, pools).into_iter();
        let units: Vec<Unit> = wanted.map(|wanted| Unit::new(wanted, now)).collect();
        let mut driver = Self {
            config,
            ports: ports(&units, Vec::new()),
            units,
            waiting: Vec::new(),
            departing: Departing::default(),
            interfaces,
            owned: Vec::new(),
            netlink,
            monitor,
            announcer,
            inputs,
            commands,
            published,
            publish_at: None,
            read_at: None,
            ahead: ahead(),
            stopping: false,
        };
        driver.clear_addresses();
        driver.publish(now);
        Ok(driver)
    }

    /// Runs until it was told to stop and every router has let go.
    pub async fn run(mut self) {
        self.look_at_interfaces(Instant::now());
        self.look_at_inputs(Instant::now());
        loop {
            let woken = self.wait().await;
            self.inputs.rounds.add(1);
            let now = Instant::now();
            self.notice_suspension(now);
            self.receive(now);
            self.take_changes(now);
            self.look_at_inputs(now);
            if let Woken::Told(command) = woken {
                self.obey(command, now);
            }
            for unit in 0..self.units.len() {
                self.finish_release(unit, now);
                self.feed(unit, Event::DeadlinePassed, now);
            }
            self.finish_departing(now);
            self.take_turns(now);
            self.publish_if_due(now);
            if self.stopping && self.has_ended() {
                self.publish(now);
                return;
            }
        }
    }

    fn obey(&mut self, command: Command, now: Instant) {
        match command {
            // All is looked at on every wake.
            Command::Look => {}
            Command::Reconfigure { config, pools } => {
                if !self.stopping {
                    self.reconfigure(config, &pools, now);
                }
            }
            Command::Release(names) => {
                for unit in 0..self.units.len() {
                    let is_meant = |router: &VirtualRouter| names.contains(&router.name);
                    if self.units[unit].routers().any(is_meant) {
                        self.feed(unit, Event::Released, now);
                    }
                }
            }
            Command::Stop => {
                self.stopping = true;
                self.waiting.clear();
                self.feed_all(Event::Stopped, now);
            }
        }
    }

    fn has_ended(&self) -> bool {
        self.departing.is_empty() && self.units.iter().all(Unit::has_ended)
    }

    async fn wait(&mut self) -> Woken {
        let deadline = self.next_deadline();
        let Self {
            ports,
            monitor,
            commands,
            ..
        } = self;
        let mut timer = pin!(async move {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            }
        });
        poll_fn(|cx| {
            // First, so that a flood of packets does not drown them.
            match commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => return Poll::Ready(Woken::Told(command)),
                // The control thread has gone: nobody is left to serve.
                Poll::Ready(None) => return Poll::Ready(Woken::Told(Command::Stop)),
                Poll::Pending => {}
            }
            let sockets = ports.iter().filter_map(|port| port.socket.as_ref());
            for socket in sockets {
                if socket.poll_readable(cx).is_ready() {
                    return Poll::Ready(Woken::Look);
                }
            }
            if monitor.poll_readable(cx).is_ready() {
                return Poll::Ready(Woken::Look);
            }
            timer.as_mut().poll(cx).map(|()| Woken::Look)
        })
        .await
    }

    fn next_deadline(&self) -> Option<Instant> {
        let routers = self.units.iter().filter_map(Unit::next_deadline);
        let others = [self.publish_at, self.read_at, self.departing.look_at()];
        routers.chain(others.into_iter().flatten()).min()
    }

    fn notice_suspension(&mut self, now: Instant) {
        let ahead = ahead();
        if ahead > self.ahead + SUSPENDED {
            tracing::warn!(for_ms = (ahead - self.ahead).as_millis(), "was suspended");
            // What waits in the sockets is from before, or from after; either way it is heard as a
            // backup.
            self.feed_all(Event::Away, now);
        }
        self.ahead = ahead;
    }

    /// Takes what the sockets have received.
    fn receive(&mut self, now: Instant) {
        let mut buffer = [0; LARGEST];
        for port in 0..self.ports.len() {
            for _ in 0..PACKETS_PER_WAKE {
                let Some(socket) = &self.ports[port].socket else {
                    break;
                };
                match socket.receive(&mut buffer) {
                    None => break,
                    Some(Ok(received)) => self.take_packet(port, &received, &buffer, now),
                    // The interface went down or away; the monitor tells.
                    Some(Err(_)) => break,
                }
            }
        }
    }

    fn take_packet(&mut self, port: usize, received: &Received, buffer: &[u8], now: Instant) {
        let Port {
            receivers, members, ..
        } = &self.ports[port];
        let screened = match received {
            Received::V4(length) => match ipv4(&buffer[..*length]) {
                Ok((envelope, message)) => screen(message, &envelope, receivers),
                Err(error) => {
                    let why = error.into();
                    members
                        .iter()
                        .for_each(|&(unit, member)| self.units[unit].refused(member, why, None));
                    return;
                }
            },
            Received::V6(envelope, length) => screen(&buffer[..*length], envelope, receivers),
            Received::Tapped(length) => match ipv4(&buffer[..*length]) {
                Ok((envelope, message)) if self.is_dropped(port, &envelope) => {
                    screen(message, &envelope, receivers)
                }
                // It comes as any other packet, if it is not broken.
                Ok(_) | Err(_) => return,
            },
        };
        match screened {
            Ok(accepted) => {
                let (unit, member) = members[accepted.index];
                self.accept(unit, member, &accepted, now);
            }
            Err(refused) => match refused.index {
                Some(index) => {
                    let (unit, member) = members[index];
                    self.units[unit].refused(member, refused.why, refused.from);
                }
                // Counted for all that share the interface: it could have been for any.
                None => members.iter().for_each(|&(unit, member)| {
                    self.units[unit].refused(member, refused.why, refused.from);
                }),
            },
        }
    }

    /// Whether the kernel takes the packet for one of our own that cannot come from outside.
    fn is_dropped(&self, port: usize, envelope: &Envelope) -> bool {
        let Port {
            receivers, index, ..
        } = &self.ports[port];
        is_from_virtual(envelope, receivers) && self.interfaces.holds(*index, envelope.source)
    }

    fn accept(&mut self, unit: usize, member: usize, accepted: &Accepted, now: Instant) {
        self.units[unit].accepted(member, accepted, now);
        // What the checks said until now counts for what the router makes of the advertisement.
        self.look_at_pools(unit, now);
        let heard = Heard {
            member,
            from: accepted.from,
            priority: accepted.advertisement.priority,
            interval: accepted.advertisement.interval,
        };
        self.feed(unit, Event::Heard(heard), now);
        self.units[unit].disputed(member, accepted, now);
    }

    /// Takes what the kernel tells of interfaces and addresses.
    fn take_changes(&mut self, now: Instant) {
        let mut changed = false;
        for _ in 0..CHANGES_PER_WAKE {
            let Some(changes) = self.monitor.receive() else {
                break;
            };
            for change in changes {
                changed = true;
                if change == Change::Overflow {
                    // Not before its time if it has just failed.
                    self.read_at.get_or_insert(now);
                }
                self.interfaces.apply(&change);
            }
        }
        if self.read_at.is_some_and(|at| at <= now) {
            changed |= self.read_again(now);
        }
        if changed {
            self.look_at_interfaces(now);
        }
    }

    /// Reads all interfaces and addresses anew. If that fails, what is known counts until it is
    /// tried again: it is a better guess than that there are none.
    fn read_again(&mut self, now: Instant) -> bool {
        match read(&mut self.netlink) {
            Ok(interfaces) => {
                self.interfaces = interfaces;
                self.read_at = None;
                true
            }
            Err(error) => {
                tracing::error!(%error, "the interfaces cannot be read");
                self.read_at = Some(now + READ_AGAIN);
                false
            }
        }
    }

    /// Compares interfaces and addresses with what the routers need.
    fn look_at_interfaces(&mut self, now: Instant) {
        self.look_at_own();
        for port in 0..self.ports.len() {
            self.look_at_port(port, now);
        }
        for unit in 0..self.units.len() {
            self.look_at_unit(unit, now);
        }
    }

    /// Learns which virtual addresses are the host's.
    fn look_at_own(&mut self) {
        let owned = self
            .units
            .iter()
            .flat_map(|unit| unit.owned(&self.interfaces));
        self.owned = owned.collect();
        let borrowed = self.borrowed();
        for unit in &mut self.units {
            unit.look_at_own(&self.interfaces, &borrowed);
        }
    }

    /// The virtual addresses that the host has to do without.
    fn borrowed(&self) -> Vec<IpAddr> {
        let mut borrowed = unit::addresses(&self.units);
        borrowed.retain(|address| !self.owned.contains(address));
        borrowed
    }

    /// Opens the socket of a port anew when its interface is another one, and learns the address to
    /// send from.
    fn look_at_port(&mut self, port: usize, now: Instant) {
        let virtual_addresses = unit::addresses(&self.units);
        let mut events = Vec::new();
        let port = &mut self.ports[port];
        let index = self.interfaces.link(&port.interface).map(|link| link.index);
        if index != Some(port.index) || port.socket.is_none() {
            port.index = index.unwrap_or(0);
            let open = |index| VrrpSocket::open(&port.interface, index, port.v6);
            port.socket = match index.map(open) {
                Some(Ok(socket)) => Some(socket),
                Some(Err(error)) => {
                    tracing::error!(interface = port.interface, %error, "no VRRP socket");
                    None
                }
                None => None,
            };
        }
        for (receiver, &(unit, member)) in port.receivers.iter_mut().zip(&port.members) {
            let sender = self.units[unit].sender(member, &virtual_addresses, &self.owned);
            let find = |index| self.interfaces.source(index, &sender);
            let source = index.and_then(find).filter(|_| port.socket.is_some());
            if receiver.own == source {
                continue;
            }
            receiver.own = source;
            self.units[unit].set_source(member, source);
            if let Some(own) = source {
                events.push((unit, Event::SourceChanged { member, own }));
            }
        }
        for (unit, event) in events {
            self.feed(unit, event, now);
        }
    }

    fn look_at_unit(&mut self, unit: usize, now: Instant) {
        // An interface that goes loses its carrier first, and the kernel says so at once. What it
        // answers now is the reason that is remembered.
        if self.units[unit].begins_to_wait(&self.interfaces)
            && let Ok(links) = self.netlink.links()
        {
            self.interfaces.set_links(links);
        }
        let waiting_for = self.units[unit].waiting_for(&self.interfaces);
        let able = waiting_for.is_none();
        if self.units[unit].set_waiting_for(waiting_for) {
            let event = if able { Event::Able } else { Event::Unable };
            self.feed(unit, event, now);
        }
        self.look_at_priority(unit, now);
        if self.units[unit].router.state().holds_addresses() && self.has_lost(unit, now) {
            self.units[unit].name_removed();
            self.feed(unit, Event::AddressLost, now);
            self.units[unit].was_put_back();
        }
        self.clear(unit);
    }

    fn look_at_inputs(&mut self, now: Instant) {
        for unit in 0..self.units.len() {
            self.look_at_pools(unit, now);
            self.look_at_priority(unit, now);
        }
    }

    fn look_at_pools(&mut self, unit: usize, now: Instant) {
        if let Some(at) = self.units[unit].pools_good_since() {
            self.feed(unit, Event::PoolsGood(at), now);
        }
    }

    fn look_at_priority(&mut self, unit: usize, now: Instant) {
        let changed = self.units[unit].weigh(&self.interfaces);
        if let Some(priority) = changed {
            self.feed(unit, Event::PriorityChanged(priority), now);
        }
    }

    fn feed_all(&mut self, event: Event, now: Instant) {
        for unit in 0..self.units.len() {
            self.feed(unit, event, now);
        }
    }

    /// Tells a router what happened and performs what it answers.
    fn feed(&mut self, unit: usize, event: Event, now: Instant) {
        let actions = self.units[unit].router.handle(event, now);
        self.perform_all(unit, actions, now);
    }

    /// Performs what a router answered. What fails is told.
    fn perform_all(&mut self, unit: usize, actions: Actions, now: Instant) {
        let (mut next, mut lost) = (Some(actions), false);
        // Each failure is answered by another attempt or by giving up, after a few.
        while let Some(actions) = next.take() {
            let mut failed = None;
            for action in actions {
                let tells = matches!(action, Action::Advertise { .. } | Action::Announce);
                if tells && failed == Some(Event::ClaimFailed) {
                    continue;
                }
                failed = self.perform(unit, action, now).or(failed);
            }
            next = failed.map(|event| self.units[unit].router.handle(event, now));
            lost |= failed == Some(Event::AddressLost);
        }
        if lost {
            self.units[unit].was_put_back();
        }
    }

    fn perform(&mut self, unit: usize, action: Action, now: Instant) -> Option<Event> {
        match action {
            Action::Advertise { member, priority } => {
                let port = self.port_of(unit, member);
                let socket = port.and_then(|port| self.ports[port].socket.as_ref());
                let cannot = self.units[unit].advertise(member, priority, socket);
                return cannot.then_some(Event::CannotAdvertise);
            }
            // Before the kernel's word of it was heard, which may be lost.
            Action::Renew => match self.units[unit].renew(&mut self.netlink) {
                Ok(false) => {}
                Ok(true) => {
                    self.units[unit].name_removed();
                    return Some(Event::AddressLost);
                }
                Err(error) => {
                    tracing::error!(virtual_router = self.units[unit].name(), %error,
                        "the virtual addresses cannot be renewed");
                    return Some(Event::AddressLost);
                }
            },
            Action::Announce => self.units[unit].announce(&self.announcer, &self.interfaces),
            Action::ResetClients => {
                self.units[unit].leave();
                self.tell_absent();
            }
            Action::Release => {
                // While the workers reset; at once if there is nobody to tell.
                self.units[unit].release_at = Some(now + RESET_LIMIT);
                self.finish_release(unit, now);
            }
            Action::Report(transition) => {
                self.units[unit].report(transition);
                // Whoever asks for the state now shall see it.
                self.publish_at = None;
            }
            Action::Claim => return (!self.claim(unit)).then_some(Event::ClaimFailed),
        }
        None
    }

    fn port_of(&self, unit: usize, member: usize) -> Option<usize> {
        let mut ports = self.ports.iter();
        ports.position(|port| port.members.contains(&(unit, member)))
    }

    fn publish_if_due(&mut self, now: Instant) {
        if self.publish_at.is_none_or(|at| at <= now) {
            self.publish(now);
        }
    }

    fn publish(&mut self, now: Instant) {
        let nothing = self.units.is_empty() && self.waiting.is_empty();
        self.publish_at = Some(now + if nothing { IDLE } else { PUBLISH });
        let status = self.in_order().into_iter();
        let status = status.flat_map(|unit| unit.status(now));
        self.published.store(Arc::new(status.collect()));
    }
}

/// All interfaces and addresses.
fn read(netlink: &mut Netlink) -> Result<Interfaces, NetlinkError> {
    let links = netlink.links()?;
    Ok(Interfaces::new(links, netlink.addresses()?))
}

/// How far the clock that counts suspended time is ahead of the one that does not.
fn ahead() -> Duration {
    let read = |clock| clock_gettime(clock).map(Duration::from).unwrap_or_default();
    let boot = read(ClockId::CLOCK_BOOTTIME);
    boot.saturating_sub(read(ClockId::CLOCK_MONOTONIC))
}
