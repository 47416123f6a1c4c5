//! *pure* Values of options. What is wrong with one is said together with what is accepted.

use std::time::Duration;

use ipnet::IpNet;

use crate::admin::command::maintenance;
use crate::config::units::{self, ValueError};

/// A time, a year at most.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|error| format!("{error} ({TIME})"))
}

/// A time over which a daemon does something, a day at most.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    maintenance::time(text).map_err(|error| format!("{error} ({TIME})"))
}

const TIME: &str = "a time is a whole number and ms, s, m, h or d, such as 10m";

/// A network, or an address as a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    units::network(text).map_err(|error| {
        if error == ValueError::Network {
            return "neither a network, such as 192.0.2.0/24, nor an IP address".to_owned();
        }
        error.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_is_said_with_what_is_wrong() {
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        for text in ["3", "fast", "3y", ""] {
            let words = time(text).unwrap_err();
            assert!(words.ends_with("ms, s, m, h or d, such as 10m)"), "{words}");
        }
        assert_eq!(span("0"), Ok(Duration::ZERO));
        let words = span("2d").unwrap_err();
        assert!(words.starts_with("`2d` is longer than a day ("), "{words}");
        assert!(network("192.0.2.0/24").is_ok() && network("::1").is_ok());
        let words = network("192.0.2.1/24").unwrap_err();
        assert!(words.contains("did you mean `192.0.2.0/24`?"), "{words}");
        for text in ["foo", "192.0.2.0/33", "a;b", ""] {
            let words = network(text).unwrap_err();
            assert!(words.starts_with("neither a network, "), "{words}");
        }
    }
}
