//! rise/fall: when do check results change a server's health?

use std::time::Duration;

use crate::pool::server::Health;

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// HAProxy's word for it; passed or failed follows from it.
    pub code: CheckCode,
    /// HTTP status or AMQP reply code, if the answer had one.
    pub reply_code: Option<u16>,
    /// One line in the check's own words, for logs and status.
    pub detail: String,
    /// How long the check took.
    pub took: Duration,
}

impl CheckResult {
    /// A result with neither a reply code nor a duration.
    #[must_use]
    pub fn new(code: CheckCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            reply_code: None,
            detail: detail.into(),
            took: Duration::ZERO,
        }
    }

    /// The same with the code that the server replied.
    #[must_use]
    pub fn replied(mut self, code: u16) -> Self {
        self.reply_code = Some(code);
        self
    }

    /// The same with how long the check took.
    #[must_use]
    pub fn after(mut self, took: Duration) -> Self {
        self.took = took;
        self
    }
}

/// HAProxy's names of check results (management manual, section 9.1, field 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckCode {
    /// No check has ended yet.
    Init,
    /// A socket could not be made here, or there is no address to connect it to.
    SocketError,
    /// This host had no descriptor, port or memory left: nothing is known of the server.
    Shortage,
    /// TCP handshake passed and nothing more was asked.
    L4Ok,
    /// TCP handshake did not end in time.
    L4Timeout,
    /// TCP handshake failed.
    L4Connection,
    /// The answer was the right one.
    L7Ok,
    /// The answer did not come in time.
    L7Timeout,
    /// The answer was not understood.
    L7Invalid,
    /// The answer was understood and says no.
    L7Status,
}

impl CheckCode {
    /// HAProxy's abbreviation.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "INI",
            Self::SocketError | Self::Shortage => "SOCKERR",
            Self::L4Ok => "L4OK",
            Self::L4Timeout => "L4TOUT",
            Self::L4Connection => "L4CON",
            Self::L7Ok => "L7OK",
            Self::L7Timeout => "L7TOUT",
            Self::L7Invalid => "L7RSP",
            Self::L7Status => "L7STS",
        }
    }

    /// Whether a check that ended so has passed.
    #[must_use]
    pub const fn passed(self) -> bool {
        matches!(self, Self::L4Ok | Self::L7Ok)
    }
}

/// The health of one server as its checks have it, with HAProxy's hysteresis.
///
/// ```text
///  score   0 ......... rise-1 | rise ......... rise+fall-1
///               down          |            up
/// ```
///
/// While down, a good check adds one and a bad one goes back to 0; reaching `rise` means up, with
/// the full score. While up, a bad check takes one and a good one restores the full score; falling
/// below `rise` means down, with score 0. The first check decides alone.
#[derive(Debug, Clone)]
pub struct Verdict {
    rise: u32,
    fall: u32,
    health: Health,
    score: u32,
}

impl Verdict {
    /// Not decided yet. `rise` and `fall` are counts of checks; 0 means 1.
    #[must_use]
    pub fn new(rise: u32, fall: u32) -> Self {
        Self {
            rise: rise.max(1),
            fall: fall.max(1),
            health: Health::Unknown,
            score: 0,
        }
    }

    /// That of a server with this health, without doubts: its checks begin again.
    #[must_use]
    pub fn of(health: Health, rise: u32, fall: u32) -> Self {
        let mut verdict = Self::new(rise, fall);
        verdict.health = health;
        if health == Health::Up {
            verdict.score = verdict.full();
        }
        verdict
    }

    /// Takes one check. `Some`: the health changed to this.
    pub fn observe(&mut self, passed: bool) -> Option<Health> {
        match (self.health, passed) {
            (Health::Unknown, true) => self.become_up(),
            (Health::Unknown, false) => self.condemn(),
            (Health::Up, true) => {
                self.score = self.full();
                None
            }
            (Health::Up, false) => {
                self.score -= 1;
                (self.score < self.rise).then(|| self.condemn()).flatten()
            }
            (Health::Down, true) => {
                self.score += 1;
                (self.score >= self.rise)
                    .then(|| self.become_up())
                    .flatten()
            }
            (Health::Down, false) => {
                self.score = 0;
                None
            }
        }
    }

    /// Takes a failure that needs no confirmation. `Some`: the server was not down before.
    pub fn condemn(&mut self) -> Option<Health> {
        self.score = 0;
        self.change(Health::Down)
    }

    /// What the checks say now.
    #[must_use]
    pub const fn health(&self) -> Health {
        self.health
    }

    /// [`crate::pool::server::CheckRecord::score`]
    #[must_use]
    pub const fn score(&self) -> u32 {
        self.score
    }

    /// Bad checks since the last good one of a server that is up; 0 for one that is not.
    #[must_use]
    pub fn doubts(&self) -> u32 {
        match self.health {
            Health::Up => self.full() - self.score,
            Health::Unknown | Health::Down => 0,
        }
    }

    fn become_up(&mut self) -> Option<Health> {
        self.score = self.full();
        self.change(Health::Up)
    }

    fn change(&mut self, to: Health) -> Option<Health> {
        let changed = self.health != to;
        self.health = to;
        changed.then_some(to)
    }

    /// The highest score.
    fn full(&self) -> u32 {
        self.rise.saturating_add(self.fall) - 1
    }
}

#[cfg(test)]
mod tests;
