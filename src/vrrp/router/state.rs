//! *pure* What a router is, and why it changed.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::config::VrrpVersion;
use crate::config::units::Centiseconds;

/// What the members of a router have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Priority before tracking.
    pub priority: u8,
    /// Take the addresses from a living master of lower priority.
    pub preempt: bool,
    /// How long such a master is left alone.
    pub preempt_delay: Duration,
    /// The addresses are not claimed before this long after the router joined the election.
    pub startup_delay: Duration,
    /// Some pool lowers the priority.
    pub tracks_pools: bool,
    /// After tracking let the priority rise, the other node may need this long to see the same.
    pub settle: Duration,
}

/// Whether our own pools are good. Only those that are up here are asked: the others count against
/// our priority already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// One of them has not passed a check yet.
    Missing,
    /// Each has passed a check, the one that waited longest at this time.
    GoodAt(Instant),
    /// None is tracked, or none is up.
    NotNeeded,
}

impl Proof {
    /// Whether it says something about the time after `at`.
    pub(super) fn is_newer_than(self, at: Instant) -> bool {
        match self {
            Self::Missing => false,
            Self::GoodAt(good_at) => good_at > at,
            Self::NotNeeded => true,
        }
    }
}

/// Why a backup leaves a living master of lower priority alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// `preempt` is off, and its priority has not fallen.
    NoPreempt,
    /// An operator has given it the addresses, and its priority has not fallen.
    Released,
    /// `preempt_delay` has not passed.
    Delay,
    /// Our own pools have not passed a check since.
    Unproven,
    /// Our own pools have only just come back, and those of the other node may need a moment.
    Unsettled,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::NoPreempt => "preempt is off",
            Self::Released => "an operator has released the addresses",
            Self::Delay => "preempt_delay has not passed",
            Self::Unproven => "not all pools that are up here passed a check since",
            Self::Unsettled => "pools have just come back here, and may come back there",
        })
    }
}

/// One virtual router.
#[derive(Debug, Clone)]
pub struct Member {
    /// Version of the protocol.
    pub version: VrrpVersion,
    /// Our own interval.
    pub interval: Centiseconds,
    /// The address that we send from; breaks ties.
    pub own: IpAddr,
    /// The interval of the master that we follow.
    pub(super) learned: Centiseconds,
    /// As backup: when the master is taken for dead. As master: when the next advertisement is due.
    pub(super) due: Instant,
    pub(super) rival: Option<Rival>,
}

impl Member {
    /// A member that has heard nothing yet.
    #[must_use]
    pub fn new(version: VrrpVersion, interval: Centiseconds, own: IpAddr, now: Instant) -> Self {
        Self {
            version,
            interval,
            own,
            learned: interval,
            due: now,
            rival: None,
        }
    }

    /// The router that was heard last, while we are backup.
    #[must_use]
    pub fn rival(&self) -> Option<&Rival> {
        self.rival.as_ref()
    }
}

/// Another router that advertises itself as master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rival {
    /// Its address.
    pub from: IpAddr,
    /// Its priority.
    pub priority: u8,
    /// When it was heard last.
    pub heard_at: Instant,
    /// The highest priority that was heard from it since it is the one that we follow.
    pub(super) best: u8,
    /// Since when masters of lower priority than ours were heard, without a break and without a
    /// further fall of their priority.
    pub(super) lower_since: Option<Instant>,
    /// It has announced that it leaves.
    pub(super) leaving: bool,
}

/// A conflict with another master of our priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tie {
    /// When it began.
    pub(super) since: Instant,
    /// It has ended when nothing was heard until then.
    pub(super) until: Instant,
}

/// What a router is doing, with the moments at which it must act next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not in the election: an interface is not there, or we had trouble of our own.
    Init {
        /// When it joins again.
        retry_at: Option<Instant>,
    },
    /// Follows a master, or waits for one.
    Backup {
        /// The addresses are not claimed before.
        claim_from: Instant,
    },
    /// Has the addresses.
    Master {
        /// When the lease on the addresses is renewed.
        renew_at: Instant,
        /// When the neighbours are told next.
        announce: Announcing,
    },
    /// Has the addresses until somebody else is heard.
    Leaving {
        /// Nobody is waited for any longer.
        until: Instant,
        /// When the lease on the addresses is renewed.
        renew_at: Instant,
    },
    /// Has ended.
    Stopped,
}

impl State {
    /// Its name in logs and status.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Init { .. } => "init",
            Self::Backup { .. } => "backup",
            Self::Master { .. } => "master",
            Self::Leaving { .. } => "leaving",
            Self::Stopped => "stopped",
        }
    }

    /// Whether the addresses are ours.
    #[must_use]
    pub fn holds_addresses(self) -> bool {
        matches!(self, Self::Master { .. } | Self::Leaving { .. })
    }
}

/// When neighbours are told of the addresses: often after a claim, since an announcement can be
/// lost and a switch port can be slow to learn, then now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announcing {
    /// The next time.
    pub(super) next: Instant,
    started: Instant,
    told: usize,
    /// A rival was heard when it was too soon to start over.
    again: bool,
}

impl Announcing {
    /// After the first announcement, which is made at once, in milliseconds from it.
    const BURST: [u64; 7] = [50, 100, 250, 500, 1_000, 2_000, 5_000];
    /// Afterwards. So soon because a conflict may have been won without a word from the loser: its
    /// last advertisement was lost, or it is one that sends none. Its neighbours look for the
    /// addresses there until they are told.
    const EVERY: Duration = Duration::from_secs(5);
    /// A burst is not started over sooner.
    const RESTART: Duration = Duration::from_secs(1);

    /// The first announcement was made.
    pub(super) fn started(now: Instant) -> Self {
        let mut announcing = Self {
            next: now,
            started: now,
            told: 0,
            again: false,
        };
        announcing.advance(now);
        announcing
    }

    /// One more announcement was made. Those that were missed are not made up for.
    pub(super) fn advance(&mut self, now: Instant) {
        if self.again && now >= self.started + Self::RESTART {
            *self = Self::started(now);
            return;
        }
        self.next = now + Self::EVERY;
        while let Some(&after) = Self::BURST.get(self.told) {
            self.told += 1;
            let due = self.started + Duration::from_millis(after);
            if due > now {
                self.next = due;
                return;
            }
        }
    }

    /// Starts over, with an announcement now; or soon, if that has just been done. So a whole burst
    /// follows the last word of a rival, and a flood of them is no flood of announcements.
    pub(super) fn restart(&mut self, now: Instant) -> bool {
        let from = self.started + Self::RESTART;
        if now < from {
            self.again = true;
            self.next = self.next.min(from);
            return false;
        }
        *self = Self::started(now);
        true
    }
}

/// A change of state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// Name of the state before.
    pub from: &'static str,
    /// Name of the state after.
    pub to: &'static str,
    /// The reason.
    pub why: Why,
}

/// Why a router changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Nothing has happened yet.
    NotReady,
    /// It joined the election.
    Started,
    /// It owns the addresses.
    Owner,
    /// No master was heard since it joined.
    NobodyHeard,
    /// The master fell silent.
    MasterSilent {
        /// Who that was.
        from: IpAddr,
    },
    /// The master announced that it leaves.
    MasterLeft,
    /// The master's priority is lower than ours.
    LowerPriority {
        /// Who that was.
        from: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// A router with a higher priority was heard.
    HigherPriority {
        /// Who that is.
        from: IpAddr,
        /// Its priority.
        priority: u8,
    },
    /// A router with the same priority and a higher address was heard.
    HigherAddress {
        /// Who that is.
        from: IpAddr,
    },
    /// An interface lost its carrier or its address, or is gone.
    Unable,
    /// The addresses could not be put on the interface.
    ClaimFailed,
    /// Somebody kept removing the addresses.
    AddressLost,
    /// Advertisements could not be sent.
    CannotAdvertise,
    /// The process slept longer than its peers wait.
    Away,
    /// It was stopped.
    Stopped,
    /// It was stopped, and another router has the addresses.
    TakenOver {
        /// Who that is.
        from: IpAddr,
    },
    /// An operator wants another router to have the addresses.
    Released,
    /// It was released, and another router has the addresses.
    HandedOver {
        /// Who that is.
        from: IpAddr,
    },
    /// It was released, and nobody else took the addresses.
    NobodyTookOver,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotReady => f.write_str("waiting for its interface"),
            Self::Started => f.write_str("joined the election"),
            Self::Owner => f.write_str("owns the addresses (priority 255)"),
            Self::NobodyHeard => f.write_str("no master was heard"),
            Self::MasterSilent { from } => write!(f, "master {from} fell silent"),
            Self::MasterLeft => f.write_str("the master left (priority 0)"),
            Self::LowerPriority { from, priority } => {
                write!(f, "master {from} has the lower priority {priority}")
            }
            Self::HigherPriority { from, priority } => {
                write!(f, "{from} has the higher priority {priority}")
            }
            Self::HigherAddress { from } => {
                write!(f, "{from} has the same priority and the higher address")
            }
            Self::Unable => f.write_str("an interface lost its carrier or its address"),
            Self::ClaimFailed => f.write_str("the addresses could not be claimed"),
            Self::AddressLost => f.write_str("somebody keeps removing an address"),
            Self::CannotAdvertise => f.write_str("advertisements cannot be sent"),
            Self::Away => f.write_str("was away longer than peers wait"),
            Self::Stopped => f.write_str("stopped"),
            Self::TakenOver { from } => write!(f, "stopped, {from} took over"),
            Self::Released => f.write_str("released by an operator"),
            Self::HandedOver { from } => {
                write!(f, "released by an operator, {from} took over")
            }
            Self::NobodyTookOver => f.write_str("released by an operator, but nobody took over"),
        }
    }
}
