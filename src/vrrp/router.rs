//! *pure* Who is master: the state machine of RFC 9568, section 6.4.
//!
//! ```text
//!                 able                     nobody better was heard, or it left
//!   +--------+  -------->  +----------+  ------------------------------------>  +----------+
//!   |  Init  |             |  Backup  |                                         |  Master  |
//!   +--------+  <--------  +----------+  <------------------------------------  +----------+
//!        ^       unable                    a better one was heard, we were away       |
//!        |                                                                  released, | stopped
//!        |       unable, the addresses do not stay                              +-----------+
//!        +--------------------------------------------------------------------  |  Leaving  |
//!                                          somebody else was heard              +-----------+
//! ```
//!
//! Who was stopped has ended after *Leaving*. Who was released is a backup then, or master again if
//! nobody else was heard.
//!
//! One [`Router`] is what moves together: one virtual router, or all of a group as its *members*.
//! With one member it is the RFC's machine. With several, it takes over when no member hears a
//! better master any more, and gives way when one does.
//!
//! It is given events and the time and answers with actions, which the driver performs in their
//! order. It reads no clock, sends nothing and logs nothing. An action that fails comes back as an
//! event. Calling [`Router::handle`] with [`Event::DeadlinePassed`] too early does nothing.
//!
//! Where it goes beyond the RFC:
//!
//! - *Away*: a process that slept longer than its peers wait starts again as a backup.
//! - *Leaving*: a master that is stopped announces priority 0 and goes on answering until another
//!   one is heard, so that the addresses are never without an owner.
//! - *Proof*: a backup takes the addresses from a living master that lowered its priority only when
//!   its own pools passed a check after that. Brokers that are down for both nodes are noticed by
//!   one of them first; without this rule the addresses would move to the other one and back. A
//!   pool that it has noticed to be down needs no proof: it is in the priority.
//! - A priority that fell is a reason to take over without `preempt` too: what that option prevents
//!   is a move away from a master that works.
//! - *Released*: an operator wants another node to have the addresses. Until this one is master
//!   again it leaves a master alone as without `preempt`.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::timing::{LOST, master_down};
use crate::config::OWNER;
use crate::config::units::Centiseconds;

mod backup;
mod master;
mod reconfigure;
mod state;

pub use reconfigure::Change;
use state::Tie;
pub use state::{Announcing, Member, Obstacle, Proof, Rival, Settings, State, Transition, Why};

/// How long the kernel keeps the addresses of a process that does not renew them.
pub const LEASE: Duration = Duration::from_secs(2);
/// The lease is renewed this often: three renewals may be late.
pub const RENEW: Duration = Duration::from_millis(500);
/// The addresses may have to be put back this often in [`TROUBLE`]; then they are given up.
pub const PUT_BACK: usize = 3;
/// The time in which the addresses may have to be put back [`PUT_BACK`] times.
pub const TROUBLE: Duration = Duration::from_secs(60);
/// How long a node that gave up for its own trouble stays out of the election.
pub const PENALTY: Duration = Duration::from_secs(60);
/// How much later than it should another master may be heard when we leave.
const GRACE: Duration = Duration::from_millis(50);
/// The priority that says: the master is leaving.
const LEAVING: u8 = 0;

/// What can happen to a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// All interfaces have a carrier and an address to send from.
    Able,
    /// One of them has not.
    Unable,
    /// An advertisement passed every check.
    Heard(Heard),
    /// [`Router::next_deadline`] has come, or not yet.
    DeadlinePassed,
    /// The priority, tracking included, 1 to 255.
    PriorityChanged(u8),
    /// What the checks of the tracked pools say.
    PoolsGood(Proof),
    /// The address that `member` sends from.
    SourceChanged {
        /// Index of the member.
        member: usize,
        /// Its address.
        own: IpAddr,
    },
    /// Somebody removed a virtual address while we are master.
    AddressLost,
    /// [`Action::Claim`] failed and left nothing behind.
    ClaimFailed,
    /// Advertisements could not be sent for as long as peers wait.
    CannotAdvertise,
    /// An operator wants another node to have the addresses.
    Released,
    /// The machine was suspended: clocks that stand still meanwhile do not tell.
    Away,
    /// The process ends, or the virtual router is no longer configured.
    Stopped,
}

/// What an advertisement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard {
    /// Index of the member that it is for.
    pub member: usize,
    /// Its sender.
    pub from: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// Its interval.
    pub interval: Centiseconds,
}

/// What the driver must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send an advertisement.
    Advertise {
        /// Index of the member.
        member: usize,
        /// 0 when leaving.
        priority: u8,
    },
    /// Put the addresses on their interfaces, under a new lease. If it fails, leave none behind,
    /// neither advertise nor announce, and report [`Event::ClaimFailed`].
    Claim,
    /// Renew the lease.
    Renew,
    /// Tell the neighbours where the addresses are.
    Announce,
    /// Reset the connections of clients to the addresses: only while they are ours do the clients
    /// hear of it.
    ResetClients,
    /// Remove the addresses.
    Release,
    /// Log what changed.
    Report(Transition),
}

/// Actions in their order. At most one per member and five more.
#[must_use = "the core decides, the driver does"]
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Actions(Vec<Action>);

impl IntoIterator for Actions {
    type Item = Action;
    type IntoIter = std::vec::IntoIter<Action>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Virtual routers that move together; usually one.
#[derive(Debug, Clone)]
pub struct Router {
    state: State,
    since: Instant,
    why: Why,
    able: bool,
    settings: Settings,
    /// With tracking.
    priority: u8,
    members: Vec<Member>,
    /// When tracking last let the priority rise.
    risen_at: Option<Instant>,
    proof: Proof,
    /// When the addresses had to be put back, at most [`PUT_BACK`] and one.
    losses: Vec<Instant>,
    tie: Option<Tie>,
    /// An operator has given the addresses to another node, or is about to, and we have not been
    /// master since.
    released: bool,
}

impl Router {
    /// A router that waits for [`Event::Able`]. The first member that both nodes hear each other on
    /// breaks ties, so all nodes have to put the members in the same order.
    #[must_use]
    pub fn new(settings: Settings, members: Vec<Member>, now: Instant) -> Self {
        Self {
            state: State::Init { retry_at: None },
            since: now,
            why: Why::NotReady,
            able: false,
            settings,
            priority: settings.priority,
            members,
            risen_at: None,
            proof: match settings.tracks_pools {
                true => Proof::Missing,
                false => Proof::NotNeeded,
            },
            losses: Vec::new(),
            tie: None,
            released: false,
        }
    }

    /// Its state.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// When it came into its state, and why.
    #[must_use]
    pub fn since(&self) -> (Instant, Why) {
        (self.since, self.why)
    }

    /// The priority that it advertises, tracking included.
    #[must_use]
    pub fn priority(&self) -> u8 {
        self.priority
    }

    /// Whether an operator has given the addresses to another node.
    #[must_use]
    pub fn is_released(&self) -> bool {
        self.released
    }

    /// As backup: the moment before which it claims nothing.
    #[must_use]
    pub fn claims_from(&self) -> Option<Instant> {
        match self.state {
            State::Backup { claim_from } => Some(claim_from),
            State::Init { .. } | State::Master { .. } | State::Leaving { .. } | State::Stopped => {
                None
            }
        }
    }

    /// Its members.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// When [`Event::DeadlinePassed`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        match self.state {
            State::Init { retry_at } => retry_at.filter(|_| self.able),
            State::Backup { claim_from } => Some(self.last_due().max(claim_from)),
            State::Master { renew_at, announce } => {
                let due = self.members.iter().map(|member| member.due).min();
                Some(due?.min(renew_at).min(announce.next))
            }
            State::Leaving { until, renew_at } => Some(until.min(renew_at)),
            State::Stopped => None,
        }
    }

    /// Takes note of an event at `now` and decides.
    pub fn handle(&mut self, event: Event, now: Instant) -> Actions {
        let mut actions = Actions::default();
        if event == Event::Away || self.slept_too_long(now) {
            self.start_again(now, &mut actions);
        }
        self.note(event, now);
        match self.state {
            State::Init { retry_at } => self.in_init(retry_at, event, now, &mut actions),
            State::Backup { claim_from } => self.as_backup(claim_from, event, now, &mut actions),
            State::Master { renew_at, .. } => self.as_master(renew_at, event, now, &mut actions),
            State::Leaving { until, renew_at } => {
                self.as_leaving(until, renew_at, event, now, &mut actions);
            }
            State::Stopped => {}
        }
        actions
    }
}

impl Actions {
    fn push(&mut self, action: Action) {
        self.0.push(action);
    }
}

impl Router {
    /// Remembers what an event says, whatever the state.
    fn note(&mut self, event: Event, now: Instant) {
        if let Event::PriorityChanged(priority) = event {
            if priority > self.priority {
                self.risen_at = Some(now);
            }
            self.priority = priority;
        } else if let Event::PoolsGood(proof) = event {
            self.proof = proof;
        } else if let Event::SourceChanged { member, own } = event {
            self.members[member].own = own;
        } else if event == Event::Able {
            self.able = true;
        } else if event == Event::Unable {
            self.able = false;
        }
    }

    /// Whether the event loop slept so long that peers may have taken us for dead, or that what we
    /// know of the master is too old to act upon.
    fn slept_too_long(&self, now: Instant) -> bool {
        let expired = |renew_at| now >= renew_at - RENEW + LEASE;
        match self.state {
            // An interval of the three that peers wait at least had passed when it was due.
            State::Master { renew_at, .. } => {
                let silent =
                    |member: &Member| now >= member.due + member.interval.duration() * (LOST - 1);
                expired(renew_at) || self.members.iter().any(silent)
            }
            State::Leaving { renew_at, .. } => expired(renew_at),
            State::Backup { claim_from } => {
                let interval = self.members.iter().map(|member| member.learned).max();
                let late = interval.map_or(Duration::ZERO, |interval| interval.duration() * LOST);
                now >= self.last_due().max(claim_from) + late
            }
            State::Init { .. } | State::Stopped => false,
        }
    }

    /// Back from being away, as if just started.
    fn start_again(&mut self, now: Instant, actions: &mut Actions) {
        match self.state {
            State::Master { .. } => {
                actions.push(Action::ResetClients);
                actions.push(Action::Release);
                self.listen(Duration::ZERO, Why::Away, now, actions);
            }
            State::Backup { claim_from } => {
                let delay = claim_from.saturating_duration_since(now);
                self.listen(delay, Why::Away, now, actions);
            }
            State::Leaving { .. } if self.released => self.hand_over(Why::Away, now, actions),
            State::Leaving { .. } => self.be_gone(Why::Stopped, now, actions),
            State::Init { .. } | State::Stopped => {}
        }
    }

    fn enter(&mut self, state: State, why: Why, now: Instant, actions: &mut Actions) {
        let from = self.state;
        (self.state, self.since, self.why) = (state, now, why);
        actions.push(Action::Report(Transition {
            from: from.name(),
            to: state.name(),
            why,
        }));
    }

    /// The time at which the last member has given up the master.
    fn last_due(&self) -> Instant {
        let due = self.members.iter().map(|member| member.due).max();
        due.unwrap_or(self.since)
    }

    fn in_init(
        &mut self,
        retry_at: Option<Instant>,
        event: Event,
        now: Instant,
        actions: &mut Actions,
    ) {
        match event {
            Event::Able => {
                if retry_at.is_none_or(|at| at <= now) {
                    self.join(now, actions);
                }
            }
            Event::DeadlinePassed => {
                if retry_at.is_some_and(|at| at <= now) {
                    self.join(now, actions);
                }
            }
            Event::Stopped => self.enter(State::Stopped, Why::Stopped, now, actions),
            Event::Unable
            | Event::Heard(_)
            | Event::PriorityChanged(_)
            | Event::PoolsGood(_)
            | Event::SourceChanged { .. }
            | Event::AddressLost
            | Event::ClaimFailed
            | Event::CannotAdvertise
            | Event::Released
            | Event::Away => {}
        }
    }

    /// Takes part in the election (RFC 9568, section 6.4.1).
    fn join(&mut self, now: Instant, actions: &mut Actions) {
        if !self.able {
            self.state = State::Init { retry_at: None };
            return;
        }
        self.losses.clear();
        if self.priority == OWNER && self.settings.startup_delay.is_zero() {
            self.take_over(Why::Owner, now, actions);
        } else {
            let delay = self.settings.startup_delay;
            self.listen(delay, Why::Started, now, actions);
        }
    }

    /// Becomes a backup that has heard nobody yet and claims nothing before `delay` has passed.
    fn listen(&mut self, delay: Duration, why: Why, now: Instant, actions: &mut Actions) {
        let priority = self.priority;
        for member in &mut self.members {
            member.learned = member.interval;
            member.rival = None;
            member.due = now + master_down(member.version, priority, member.learned);
        }
        let claim_from = now + delay;
        self.enter(State::Backup { claim_from }, why, now, actions);
    }
}

#[cfg(test)]
mod tests;
