//! What the pair of nodes did, in words, and whether it is as it should be.

use std::fmt;
use std::time::Duration;

use super::{Messages, write_time};

/// The states of both nodes at one moment.
pub(crate) type States = [String; 2];

/// What the pair did.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub names: [&'static str; 2],
    pub before: States,
    pub killed: States,
    pub end: States,
    pub messages: Messages,
    /// From the kill of the master until the other node was master.
    pub taken_over: Option<Duration>,
    /// From the kill until every client was logged in again.
    pub back_after: Option<Duration>,
    /// From the kill until the address was gone from the host whose warren was killed.
    pub released: Option<Duration>,
    /// From the address's return to the first node until every client was logged in again.
    pub returned: Option<Duration>,
}

impl Outcome {
    /// Everything that is not as it should be; empty when all is well.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = self.messages.complaints();
        for (when, states, good) in [
            ("before the kill", &self.before, ["master", "backup"]),
            ("after it", &self.killed, ["dead", "master"]),
            ("at the end", &self.end, ["master", "backup"]),
        ] {
            if *states != good {
                let [one, two] = states;
                complaints.push(format!("the nodes were {one} and {two} {when}"));
            }
        }
        let [one, two] = self.names;
        for (time, complaint) in [
            (self.taken_over, format!("{two} never took over")),
            (self.back_after, "not every client came back".to_owned()),
            (self.released, format!("{one} kept the address when dead")),
            (
                self.returned,
                format!("not every client followed the address back to {one}"),
            ),
        ] {
            if time.is_none() {
                complaints.push(complaint);
            }
        }
        complaints
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [one, two] = self.names;
        write!(f, "\n{:<24}{one:>10}{two:>10}", "virtual address")?;
        for (when, [one, two]) in [
            ("  before the kill", &self.before),
            ("  after it", &self.killed),
            ("  at the end", &self.end),
        ] {
            write!(f, "\n{when:<24}{one:>10}{two:>10}")?;
        }
        writeln!(f, "\n\n{}", self.messages)?;
        write_time(f, "taken over after", self.taken_over)?;
        write_time(f, "last client back after", self.back_after)?;
        write_time(f, "off the dead node after", self.released)?;
        write_time(f, "followed back within", self.returned)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Outcome;
    use crate::cli::demo::summary::tests::messages;

    fn good() -> Outcome {
        let time = Some(Duration::from_millis(320));
        Outcome {
            names: ["a", "b"],
            before: ["master", "backup"].map(str::to_owned),
            killed: ["dead", "master"].map(str::to_owned),
            end: ["master", "backup"].map(str::to_owned),
            messages: messages(),
            taken_over: time,
            back_after: time,
            released: time,
            returned: time,
        }
    }

    #[test]
    fn is_content_only_when_the_address_was_where_it_should_be() {
        assert_eq!(good().complaints(), [""; 0]);
        type Change = fn(&mut Outcome);
        let changes: [(Change, &str); 8] = [
            (|o| o.messages.lost = 1, "1 messages were lost"),
            (
                |o| o.before[1] = "master".to_owned(),
                "the nodes were master and master before the kill",
            ),
            (
                |o| o.killed[1] = "backup".to_owned(),
                "the nodes were dead and backup after it",
            ),
            (
                |o| o.end[0] = "dead".to_owned(),
                "the nodes were dead and backup at the end",
            ),
            (|o| o.taken_over = None, "b never took over"),
            (|o| o.back_after = None, "not every client came back"),
            (|o| o.released = None, "a kept the address when dead"),
            (
                |o| o.returned = None,
                "not every client followed the address back to a",
            ),
        ];
        for (change, complaint) in changes {
            let mut outcome = good();
            change(&mut outcome);
            assert_eq!(outcome.complaints(), [complaint]);
        }
    }
}
