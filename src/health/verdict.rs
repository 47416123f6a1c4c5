//! rise/fall: when do check results change a server's health?

use std::time::Duration;

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

/// HAProxy's names of check results (management manual, section 9.1, field 36).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckCode {
    /// No check has ended yet.
    Init,
    /// A socket could not be made here.
    SocketError,
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
            Self::SocketError => "SOCKERR",
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
