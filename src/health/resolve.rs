//! Host names of servers: resolved at start and every 30 s, the last good answer kept.
//!
//! The system's resolver may block for many seconds, so it runs on a thread of tokio's blocking
//! pool; only the task that follows the name waits for it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::watch;
use tokio::time::sleep;

use super::pace;

/// Between two look-ups of a name that has an address.
const REFRESH: Duration = Duration::from_secs(30);
/// Between two look-ups of a name that never had one.
const RETRY: Duration = Duration::from_secs(5);

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolution {
    /// The first look-up has not ended.
    Pending,
    /// Its address, by the last good answer.
    Address(SocketAddr),
    /// There was never an answer; the last failure in words.
    Failed(String),
}

/// Looks `host` up without end, until nobody listens any more. What changes is handed to `act`
/// first and told to the listeners then.
pub async fn follow(
    host: String,
    port: u16,
    tell: watch::Sender<Resolution>,
    act: impl Fn(&Resolution),
) {
    while !tell.is_closed() {
        let present = tell.borrow().clone();
        let next = match lookup_host((host.as_str(), port)).await {
            Ok(answer) => after_answer(&present, &answer.collect::<Vec<_>>()),
            Err(error) => after_failure(&present, error.to_string()),
        };
        let pause = match next {
            Resolution::Address(_) => REFRESH,
            Resolution::Pending | Resolution::Failed(_) => RETRY,
        };
        if next != present {
            tracing::debug!(host, port, resolution = ?next, "name looked up");
            act(&next);
            tell.send_replace(next);
        }
        sleep(pace::jittered(pause, super::monitor::draw())).await;
    }
}

/// The present address while the answer still holds it, else the first one: the resolver has put
/// the families into the order that this machine prefers.
fn after_answer(present: &Resolution, answer: &[SocketAddr]) -> Resolution {
    match present {
        Resolution::Address(address) if answer.contains(address) => present.clone(),
        Resolution::Address(_) | Resolution::Pending | Resolution::Failed(_) => {
            match answer.first() {
                Some(first) => Resolution::Address(*first),
                None => after_failure(present, "no address in the answer".to_owned()),
            }
        }
    }
}

/// The last good answer stays.
fn after_failure(present: &Resolution, words: String) -> Resolution {
    match present {
        Resolution::Address(_) => present.clone(),
        Resolution::Pending | Resolution::Failed(_) => Resolution::Failed(words),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::{Resolution, after_answer, after_failure, follow, watch};

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 5672))
    }

    fn at(last: u8) -> Resolution {
        Resolution::Address(address(last))
    }

    #[test]
    fn takes_the_first_address_and_keeps_it_while_it_is_there() {
        let both = [address(1), address(2)];
        assert_eq!(after_answer(&Resolution::Pending, &both), at(1));
        assert_eq!(after_answer(&at(2), &both), at(2));
        assert_eq!(after_answer(&at(3), &both), at(1));
    }

    #[test]
    fn keeps_the_last_good_answer_when_there_is_none() {
        let failed = Resolution::Failed("down".to_owned());
        assert_eq!(after_failure(&at(1), "down".to_owned()), at(1));
        assert_eq!(after_answer(&at(1), &[]), at(1));
        assert_eq!(
            after_failure(&Resolution::Pending, "down".to_owned()),
            failed
        );
        assert_eq!(after_answer(&failed, &[address(1)]), at(1));
    }

    #[tokio::test]
    async fn follows_names_of_this_machine_only() {
        for (host, found) in [("localhost", true), ("no-such-host.invalid", false)] {
            let (tell, mut told) = watch::channel(Resolution::Pending);
            let following = tokio::spawn(follow(host.to_owned(), 5672, tell, |_| {}));
            let known = |r: &Resolution| *r != Resolution::Pending;
            let resolution = told.wait_for(known).await.unwrap().clone();
            match resolution {
                Resolution::Address(address) => assert!(found && address.ip().is_loopback()),
                Resolution::Failed(words) => assert!(!found && !words.is_empty()),
                Resolution::Pending => unreachable!("waited for more"),
            }
            following.abort();
        }
    }
}
