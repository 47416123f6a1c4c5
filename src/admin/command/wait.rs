//! *pure* `wait`: from its words to how long and for what.

use std::time::Duration;

use super::{Reply, milliseconds};

/// The longest that is waited.
const LONGEST: Duration = Duration::from_secs(3600);

const USAGE: &str = "\
Usage: wait {-h|<duration>} [condition [args...]]
  - '-h' shows this help
  - <duration> is a number with a unit (us, ms, s, m, h, d; without one it is
    milliseconds), an hour at most
  - <condition> is waited for, but not longer than <duration>:
    - none: the whole duration is waited
    - srv-removable <px>/<sv>: the server can be deleted
";

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// No longer than this.
    pub time: Duration,
    /// Until this server of this pool can be removed.
    pub removable: Option<(String, String)>,
}

/// `wait {-h|TIME} [srv-removable POOL/SERVER]`
pub(super) fn answer(words: &[&str]) -> Reply {
    let (time, condition) = match words {
        [] => return Reply::line("Expects a duration in milliseconds."),
        ["-h", ..] => return Reply::Text(USAGE.to_owned()),
        [time, condition @ ..] => (milliseconds(time, 1), condition),
    };
    if time == 0 {
        return Reply::line("Invalid duration.");
    }
    let removable = match condition {
        [] => None,
        ["srv-removable"] => {
            return Reply::line("Missing server name (<backend>/<server>).");
        }
        ["srv-removable", name, ..] => match name.split_once('/') {
            None | Some((_, "")) => return Reply::line("Require 'backend/server'."),
            Some((pool, server)) => Some((pool.to_owned(), server.to_owned())),
        },
        _ => return Reply::Text(USAGE.to_owned()),
    };
    Reply::Wait(Wait {
        time: Duration::from_millis(time).min(LONGEST),
        removable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(line: &str) -> Reply {
        let words: Vec<&str> = line.split_whitespace().collect();
        answer(&words)
    }

    #[test]
    fn it_has_a_time_and_may_have_a_condition() {
        for (line, milliseconds, removable) in [
            ("100", 100, None),
            ("3s", 3_000, None),
            ("1us", 1, None),
            ("1d", 3_600_000, None),
            ("2s srv-removable a/b", 2_000, Some(("a", "b"))),
        ] {
            let removable =
                removable.map(|(pool, server): (&str, &str)| (pool.to_owned(), server.to_owned()));
            let time = Duration::from_millis(milliseconds);
            assert_eq!(ask(line), Reply::Wait(Wait { time, removable }), "{line}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_the_words_of_haproxy() {
        for (line, words) in [
            ("", "Expects a duration in milliseconds.\n"),
            ("0", "Invalid duration.\n"),
            ("fast", "Invalid duration.\n"),
            (
                "5 srv-removable",
                "Missing server name (<backend>/<server>).\n",
            ),
            ("5 srv-removable a", "Require 'backend/server'.\n"),
            ("5 srv-removable a/", "Require 'backend/server'.\n"),
            ("-h", USAGE),
            ("5 -h", USAGE),
            ("5 be-removable a", USAGE),
        ] {
            assert_eq!(ask(line), Reply::Text(words.to_owned()), "{line}");
        }
    }
}
