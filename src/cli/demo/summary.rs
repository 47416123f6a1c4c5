//! What the demo found out, in words, and whether it is as it should be. Pure.

use std::fmt;
use std::time::Duration;

use super::ledger::Totals;

pub(super) mod pair;

/// Open connections per server at one moment, in the order of the servers.
pub(super) type Spread = Vec<u32>;

/// What the demo found out.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    pub servers: Vec<&'static str>,
    /// Index of the server whose broker was killed.
    pub victim: usize,
    /// Connections before the kill, and how many clients there were.
    pub before: (Spread, usize),
    pub dead: (Spread, usize),
    pub end: (Spread, usize),
    /// Whether nobody but our clients could know the address.
    pub alone: bool,
    pub messages: Messages,
    /// From the kill until the pool did not use the server any more.
    pub out_after: Option<Duration>,
    /// From the kill until every client was logged in again.
    pub back_after: Option<Duration>,
}

/// What became of the messages, and of the connections that they took.
#[derive(Debug, Clone)]
pub(super) struct Messages {
    pub totals: Totals,
    /// Confirmed and never consumed.
    pub lost: u64,
    pub unconfirmed: u64,
    /// Connections of our clients that were cut.
    pub cut: u64,
}

impl Messages {
    fn complaints(&self) -> Vec<String> {
        let totals = self.totals;
        let mut complaints = Vec::new();
        let mut expect = |good: bool, complaint: String| {
            if !good {
                complaints.push(complaint);
            }
        };
        expect(self.lost == 0, format!("{} messages were lost", self.lost));
        let unconfirmed = self.unconfirmed;
        expect(
            unconfirmed == 0,
            format!("{unconfirmed} messages were never confirmed"),
        );
        let unexpected = totals.unexpected;
        expect(
            unexpected == 0,
            format!("{unexpected} messages came from nowhere"),
        );
        expect(totals.confirmed > 0, "nothing was confirmed".to_owned());
        let settled = totals.published - unconfirmed;
        expect(
            settled == totals.confirmed,
            format!(
                "{settled} messages should be confirmed, not {}",
                totals.confirmed
            ),
        );
        complaints
    }
}

impl fmt::Display for Messages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, number, remark) in [
            ("messages confirmed", self.totals.confirmed, ""),
            ("messages consumed", self.totals.consumed, ""),
            ("messages lost", self.lost, ""),
            (
                "consumed twice",
                self.totals.duplicates,
                "  (the confirm or acknowledgement was cut off)",
            ),
            (
                "redelivered",
                self.totals.redelivered,
                "  (on their way to a client that was cut off)",
            ),
            ("connections cut", self.cut, ""),
        ] {
            writeln!(f, "{what:<24}{number:>10}{remark}")?;
        }
        Ok(())
    }
}

impl Outcome {
    /// Everything that is not as it should be; empty when all is well.
    pub(super) fn complaints(&self) -> Vec<String> {
        let name = self.servers.get(self.victim).copied().unwrap_or_default();
        let mut complaints = self.messages.complaints();
        let mut expect = |good: bool, complaint: String| {
            if !good {
                complaints.push(complaint);
            }
        };
        for (when, (spread, clients), alive) in [
            ("before the kill", &self.before, true),
            ("while it was dead", &self.dead, false),
            ("at the end", &self.end, true),
        ] {
            let open: usize = spread.iter().map(|&open| open as usize).sum();
            expect(
                open == *clients || (!self.alone && open > *clients),
                format!("{open} connections instead of {clients} {when}"),
            );
            for (server, &open) in spread.iter().enumerate() {
                let good = (open > 0) == (alive || server != self.victim);
                let server = self.servers.get(server).copied().unwrap_or_default();
                expect(good, format!("{server} had {open} connections {when}"));
            }
        }
        expect(
            self.out_after.is_some(),
            format!("{name} never left the rotation"),
        );
        expect(
            self.back_after.is_some(),
            "not every client came back".to_owned(),
        );
        complaints
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{:<24}", "connections")?;
        for name in &self.servers {
            write!(f, "{name:>10}")?;
        }
        for (when, (spread, _)) in [
            ("  before the kill", &self.before),
            ("  while it was dead", &self.dead),
            ("  at the end", &self.end),
        ] {
            write!(f, "\n{when:<24}")?;
            for open in spread {
                write!(f, "{open:>10}")?;
            }
        }
        writeln!(f, "\n")?;
        write!(f, "{}", self.messages)?;
        write_time(f, "out of rotation after", self.out_after)?;
        write_time(f, "last client back after", self.back_after)
    }
}

/// A line with a time that was measured, if what it measures has happened.
fn write_time(f: &mut fmt::Formatter<'_>, what: &str, time: Option<Duration>) -> fmt::Result {
    match time {
        Some(time) => writeln!(f, "{what:<24}{:>7} ms", time.as_millis()),
        None => writeln!(f, "{what:<24}{:>10}", "never"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Messages, Outcome};
    use crate::cli::demo::ledger::{Ledger, Totals};

    pub(in crate::cli::demo) fn messages() -> Messages {
        Messages {
            totals: Totals {
                published: 1,
                confirmed: 1,
                consumed: 1,
                duplicates: 1,
                redelivered: 1,
                unexpected: 0,
            },
            lost: 0,
            unconfirmed: 0,
            cut: 3,
        }
    }

    fn good() -> Outcome {
        Outcome {
            servers: vec!["a", "b"],
            victim: 1,
            before: (vec![3, 3], 6),
            dead: (vec![6, 0], 6),
            end: (vec![6, 4], 10),
            alone: true,
            messages: messages(),
            out_after: Some(Duration::from_millis(12)),
            back_after: Some(Duration::from_secs(2)),
        }
    }

    #[test]
    fn is_content_only_when_nothing_is_missing() {
        assert_eq!(good().complaints(), [""; 0]);
        type Change = fn(&mut Outcome);
        let changes: [(Change, &str); 9] = [
            (
                |o| o.messages.unconfirmed = 1,
                "1 messages were never confirmed",
            ),
            (
                |o| o.messages.totals.unexpected = 2,
                "2 messages came from nowhere",
            ),
            (
                |o| o.messages.totals = Totals::default(),
                "nothing was confirmed",
            ),
            (
                |o| o.messages.totals.published = 2,
                "2 messages should be confirmed, not 1",
            ),
            (
                |o| o.before.0 = vec![6, 0],
                "b had 0 connections before the kill",
            ),
            (
                |o| o.dead.0 = vec![5, 1],
                "b had 1 connections while it was dead",
            ),
            (|o| o.end.1 = 11, "10 connections instead of 11 at the end"),
            (|o| o.out_after = None, "b never left the rotation"),
            (|o| o.back_after = None, "not every client came back"),
        ];
        for (change, complaint) in changes {
            let mut outcome = good();
            change(&mut outcome);
            let complaints = outcome.complaints();
            assert!(complaints.iter().any(|c| c == complaint), "{complaints:?}");
        }
    }

    #[test]
    fn a_message_that_is_missing_in_the_ledger_is_a_complaint() {
        let mut ledger = Ledger::new(1);
        let arrives = ledger.publish(0).unwrap();
        let gets_lost = ledger.publish(0).unwrap();
        ledger.confirm(arrives);
        ledger.confirm(gets_lost);
        ledger.consume(Some(arrives), false);
        let outcome = Outcome {
            messages: Messages {
                totals: ledger.totals(),
                lost: ledger.missing(),
                ..messages()
            },
            ..good()
        };
        assert_eq!(outcome.complaints(), ["1 messages were lost"]);
        let text = outcome.to_string();
        assert!(
            text.contains("\nmessages lost                    1\n"),
            "{text}"
        );
    }

    #[test]
    fn strangers_may_connect_when_the_address_was_given_away() {
        let mut outcome = good();
        outcome.end.0 = vec![7, 4];
        assert_eq!(outcome.complaints().len(), 1);
        outcome.alone = false;
        assert_eq!(outcome.complaints(), [""; 0]);
    }
}
