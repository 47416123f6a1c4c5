//! The accounts in a log of warren, as text.

use std::net::SocketAddr;

/// A connection that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// Milliseconds since the beginning of the month.
    pub(crate) at: u64,
    pub(crate) client: SocketAddr,
    pub(crate) server: String,
    ending: String,
}

/// The accounts with this ending, in the order in which they were written.
pub(crate) fn with_ending(log: &str, ending: &str) -> Vec<Account> {
    let lines = log.lines().filter(|line| line.contains("connection ended"));
    let accounts = lines.map(account);
    accounts
        .filter(|account| account.ending == ending)
        .collect()
}

fn account(line: &str) -> Account {
    let field = |name: &str| {
        let mut words = line.split(' ').filter_map(|word| word.split_once('='));
        let found = words.find(|(key, _)| *key == name);
        found.unwrap_or_else(|| panic!("no {name} in {line}")).1
    };
    // 2026-11-25T03:14:08.065Z
    let number = |from: usize, to: usize| line[from..to].parse::<u64>().expect("a time");
    let minutes = (number(8, 10) * 24 + number(11, 13)) * 60 + number(14, 16);
    Account {
        at: (minutes * 60 + number(17, 19)) * 1000 + number(20, 23),
        client: field("client").parse().expect("an address"),
        server: field("server").to_owned(),
        ending: field("ending").to_owned(),
    }
}

/// The most of them in any second, wherever it begins.
pub(crate) fn densest(accounts: &[Account]) -> usize {
    let times = || accounts.iter().map(|account| account.at);
    let from = |at: u64| {
        times()
            .filter(|time| (at..at + 1000).contains(time))
            .count()
    };
    times().map(from).max().unwrap_or(0)
}
