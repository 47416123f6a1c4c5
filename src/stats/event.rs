//! *pure* What has happened lately: changes of servers and virtual routers, and what operators did.
//!
//! The JSON of `warren events --json` is this, one object per line.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::pool::server::State;

/// The reason of a server's change that somebody made over the stats socket.
pub const BY_AN_OPERATOR: &str = "by an operator";

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its number: each is one more than the one before. The numbers of a daemon begin with the
    /// time of its first event in milliseconds, so that those of the next one are higher.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum What {
    /// A server changed its state.
    Server {
        /// Its pool.
        pool: String,
        /// Its name there.
        server: String,
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// The check's or the operator's own words.
        reason: String,
    },
    /// A virtual router changed its state.
    VirtualRouter {
        /// Its table key.
        virtual_router: String,
        /// The state before.
        from: String,
        /// The state now.
        to: String,
        /// Why.
        reason: String,
        /// The arithmetic of its priority then.
        priority: String,
    },
    /// Somebody changed something over the stats socket.
    Command {
        /// The command in its longest form.
        command: String,
        /// Who that was, by the number of the user.
        uid: u32,
    },
    /// Anything else.
    Remark {
        /// In words; a server is named as `POOL/SERVER`.
        text: String,
    },
}

impl<T: AsRef<str> + ?Sized> From<&T> for What {
    fn from(text: &T) -> Self {
        Self::Remark {
            text: text.as_ref().to_owned(),
        }
    }
}

impl Display for What {
    /// In one line: `server rabbit/rabbit-1 up -> down: connection refused`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server {
                pool,
                server,
                from,
                to,
                reason,
            } => {
                let (from, to) = (from.name(), to.name());
                write!(f, "server {pool}/{server} {from} -> {to}: {reason}")
            }
            Self::VirtualRouter {
                virtual_router,
                from,
                to,
                reason,
                priority,
            } => write!(
                f,
                "virtual router {virtual_router} {from} -> {to}: {reason} (priority {priority})"
            ),
            Self::Command { command, uid } => write!(f, "user {uid}: {command}"),
            Self::Remark { text } => f.write_str(text),
        }
    }
}

impl What {
    /// Whether it is about this server.
    #[must_use]
    pub fn concerns_server(&self, pool_name: &str, name: &str) -> bool {
        match self {
            Self::Server { pool, server, .. } => pool == pool_name && server == name,
            Self::VirtualRouter { .. } => false,
            Self::Command { command: text, .. } | Self::Remark { text } => {
                let words = text.split([' ', ':', ',']);
                let mut places = words.filter_map(|word| word.split_once('/'));
                places.any(|place| place == (pool_name, name))
            }
        }
    }

    /// Whether it is about this virtual router.
    #[must_use]
    pub fn concerns_router(&self, name: &str) -> bool {
        matches!(self, Self::VirtualRouter { virtual_router, .. } if virtual_router == name)
    }

    /// The name that a virtual router had until a reload gave it this one.
    #[must_use]
    pub fn name_before(&self, name: &str) -> Option<&str> {
        let Self::Remark { text } = self else {
            return None;
        };
        let change = text.strip_prefix("reload: virtual router ")?;
        let (before, change) = change.split_once(": name ")?;
        let after = change.strip_prefix(before)?.strip_prefix(" -> ")?;
        (after.split("; ").next() == Some(name)).then_some(before)
    }
}

/// The answer to `warren events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// The number of the first event of this daemon; 0: there was none yet.
    pub first: u64,
    /// Those that are remembered and asked for, oldest first.
    pub events: Vec<Event>,
}

impl Recent {
    /// In words, how many events are missing between number `last` and these, if any are.
    #[must_use]
    pub fn gap_after(&self, last: u64) -> Option<String> {
        // Those of another daemon before this one are not ours to count.
        let expected = (last + 1).max(self.first);
        let missing = self.events.first()?.number.saturating_sub(expected);
        (missing > 0).then(|| format!("{missing} events are missing here, the log has them"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_between_two_answers_is_counted() {
        let gap = |first, numbers: std::ops::Range<u64>| {
            let event = |number| Event {
                number,
                at_ms: 1_795_985_343_845,
                what: What::Command {
                    command: String::new(),
                    uid: 0,
                },
            };
            let events = numbers.map(event).collect();
            Recent { first, events }.gap_after(104)
        };
        let missing = |count| Some(format!("{count} events are missing here, the log has them"));
        assert_eq!(gap(100, 105..108), None);
        assert_eq!(gap(100, 110..120), missing(5));
        assert_eq!(gap(100, 105..105), None);
        // Another daemon, which has forgotten two of its own.
        assert_eq!(gap(900, 902..910), missing(2));
        assert_eq!(gap(900, 900..910), None);
    }

    #[test]
    fn an_event_survives_its_json_and_reads_well() {
        let server = What::Server {
            pool: "rabbit".to_owned(),
            server: "r1".to_owned(),
            from: State::Up,
            to: State::Down,
            reason: "connection refused".to_owned(),
        };
        let router = What::VirtualRouter {
            virtual_router: "amqp".to_owned(),
            from: "backup".to_owned(),
            to: "master".to_owned(),
            reason: "no master was heard".to_owned(),
            priority: "150".to_owned(),
        };
        let command = What::Command {
            command: "set server rabbit/r1 state drain".to_owned(),
            uid: 7,
        };
        let remark = What::from("server rabbit/r1: drained");
        let texts = [
            "server rabbit/r1 up -> down: connection refused",
            "virtual router amqp backup -> master: no master was heard (priority 150)",
            "user 7: set server rabbit/r1 state drain",
            "server rabbit/r1: drained",
        ];
        for (what, text) in [&server, &router, &command, &remark].into_iter().zip(texts) {
            assert_eq!(what.to_string(), text);
            let event = Event {
                number: 12,
                at_ms: 34,
                what: what.clone(),
            };
            let json = serde_json::to_string(&event).unwrap();
            assert_eq!(
                serde_json::from_str::<Event>(&json).unwrap(),
                event,
                "{json}"
            );
        }
        for what in [&server, &command, &remark] {
            assert!(what.concerns_server("rabbit", "r1"), "{what}");
            assert!(!what.concerns_server("rabbit", "r"), "{what}");
            assert!(!what.concerns_server("plain", "r1"), "{what}");
        }
        assert!(router.concerns_router("amqp") && !router.concerns_router("other"));
    }

    #[test]
    fn a_virtual_router_is_known_by_the_name_that_it_had() {
        let told = |change: &str| What::from(&format!("reload: virtual router {change}"));
        for change in [
            "amqp: name amqp -> mq",
            "amqp: name amqp -> mq; priority 9 -> 8",
        ] {
            assert_eq!(told(change).name_before("mq"), Some("amqp"), "{change}");
            assert_eq!(told(change).name_before("amqp"), None, "{change}");
        }
        for change in ["mq: priority 9 -> 8", "mq: new", "amqp: name amqp -> mqtt"] {
            assert_eq!(told(change).name_before("mq"), None, "{change}");
        }
    }
}
