//! *pure* warren's own commands for the maintenance of brokers: `drain`, `ready`, `maint` and
//! `rebalance`, and what shows how far they are.

use std::fmt::Write as _;
use std::time::Duration;

use super::Reply;
use super::change::{Change, Place};
use crate::config::units;
use crate::maintenance::share;
use crate::pool::server::Admin;
use crate::stats::snapshot::Snapshot;

/// What is done when nothing is said.
pub mod defaults {
    use std::time::Duration;

    /// The time over which a server is emptied.
    pub const OVER: Duration = Duration::from_secs(5 * 60);
    /// The most connections that a rebalance closes in any second.
    pub const RATE: u32 = 10;
    /// A rebalance stops after this time.
    pub const WITHIN: Duration = Duration::from_secs(60 * 60);
}

/// Nothing goes on for longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// Faster than this is not moving but throwing out.
const FASTEST: u32 = 1000;

/// Answers one of the commands. What is wrong is said in one line; all went well when there is
/// none.
pub(super) fn answer(words: &[&str], snapshot: &Snapshot) -> Reply {
    let change = match words {
        ["drain", _, rest @ ..] => drain(rest, snapshot),
        ["ready", _, name] => set(name, Admin::Ready, snapshot),
        ["maint", _, name] => set(name, Admin::Maint, snapshot),
        ["rebalance", "stop", name] => match pool(name, snapshot) {
            // Nothing changes when none goes on.
            Ok(pool) if !snapshot.is_rebalanced(&pool) => return Reply::Text(String::new()),
            pool => pool.map(Change::EndRebalance),
        },
        ["rebalance", "pool", rest @ ..] => rebalance(rest, snapshot),
        _ => Err("a name is expected, and nothing behind it".to_owned()),
    };
    match change {
        Ok(change) => Reply::Change(change, String::new()),
        Err(words) => Reply::line(&words),
    }
}

/// `drain server [POOL/]SERVER [over TIME] [force]`
fn drain(words: &[&str], snapshot: &Snapshot) -> Result<Change, String> {
    let [name, options @ ..] = words else {
        return Err("which server? drain server [POOL/]SERVER [over TIME] [force]".to_owned());
    };
    let place = server(name, snapshot)?;
    let (mut over, mut force, mut options) = (defaults::OVER, false, options);
    loop {
        options = match options {
            [] => break,
            ["over", time, rest @ ..] => {
                over = self::time(time)?;
                rest
            }
            ["force", rest @ ..] => {
                force = true;
                rest
            }
            [word, ..] => return Err(format!("`{word}` is neither `over TIME` nor `force`")),
        };
    }
    if !force && snapshot.is_last_usable(place.pool, place.server) {
        return Err(format!(
            "{place} is the last usable server of its pool: without it clients are refused; say \
             `force` if that is what you want"
        ));
    }
    Ok(Change::Drain(place, over, force))
}

fn set(name: &str, admin: Admin, snapshot: &Snapshot) -> Result<Change, String> {
    Ok(Change::Admin(server(name, snapshot)?, admin))
}

/// `rebalance pool POOL [rate N] [within TIME]`
fn rebalance(words: &[&str], snapshot: &Snapshot) -> Result<Change, String> {
    let [name, options @ ..] = words else {
        return Err("which pool? rebalance pool POOL [rate N] [within TIME]".to_owned());
    };
    let at = snapshot.find_pool(Some(name))?;
    let (mut rate, mut within, mut options) = (defaults::RATE, defaults::WITHIN, options);
    loop {
        options = match options {
            [] => break,
            ["rate", number, rest @ ..] => {
                let number = number.parse().ok();
                let accepted = number.filter(|number| (1..=FASTEST).contains(number));
                let problem = || format!("a rate is a whole number from 1 to {FASTEST}");
                rate = accepted.ok_or_else(problem)?;
                rest
            }
            ["within", time, rest @ ..] => {
                within = self::time(time)?;
                rest
            }
            [word, ..] => return Err(format!("`{word}` is neither `rate N` nor `within TIME`")),
        };
    }
    let pool = &snapshot.pools[at];
    if let Some(why) = share::shareless(pool) {
        return Err(why);
    }
    if let Some(why) = share::obstacle(pool) {
        let name = &pool.name;
        return Err(format!(
            "{why}: connections of pool {name} stay where they are until then"
        ));
    }
    Ok(Change::Rebalance(pool.name.clone(), rate, within))
}

fn pool(name: &str, snapshot: &Snapshot) -> Result<String, String> {
    snapshot
        .find_pool(Some(name))
        .map(|at| snapshot.pools[at].name.clone())
}

fn server(name: &str, snapshot: &Snapshot) -> Result<Place, String> {
    let (pool, server) = snapshot.find_server(name)?;
    let named = &snapshot.pools[pool];
    Ok(Place {
        pool,
        server,
        pool_name: named.name.clone(),
        server_name: named.servers[server].name.clone(),
    })
}

/// A time with its unit; 0 needs none.
///
/// # Errors
///
/// It is no time, or longer than a day.
pub fn time(word: &str) -> Result<Duration, String> {
    if word == "0" {
        return Ok(Duration::ZERO);
    }
    let time = units::duration(word).map_err(|error| format!("`{word}` {error}"))?;
    match time <= LONGEST {
        true => Ok(time),
        false => Err(format!("`{word}` is longer than a day")),
    }
}

/// The answer to `show drains`. Why stands last: it has blanks in it.
pub(super) fn drains(snapshot: &Snapshot) -> String {
    let mut text =
        "# pool server stage open open_at_start closed rate over_ms waited_ms since_ms why\n"
            .to_owned();
    for one in &snapshot.drains {
        let rate = one
            .rate
            .map_or_else(|| "-".to_owned(), |rate| rate.to_string());
        let why = if one.why.is_empty() { "-" } else { &one.why };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{} {} {} {} {} {} {rate} {} {} {} {why}",
            one.pool,
            one.server,
            one.stage.name(),
            one.open,
            one.open_at_start,
            one.closed,
            one.over_ms,
            one.waited_ms,
            one.since_ms,
        );
    }
    text
}

/// The answer to `show rebalances`. Why stands last: it has blanks in it.
pub(super) fn rebalances(snapshot: &Snapshot) -> String {
    let mut text = "# pool stage moved rate within_ms since_ms why\n".to_owned();
    for one in &snapshot.rebalances {
        let why = if one.why.is_empty() { "-" } else { &one.why };
        let _ = writeln!(
            text,
            "{} {} {} {} {} {} {why}",
            one.pool,
            one.stage.name(),
            one.moved,
            one.rate,
            one.within_ms,
            one.since_ms,
        );
    }
    text
}

#[cfg(test)]
mod tests;
