//! *pure* Servers and pools as people name them: `POOL/SERVER`, or `SERVER` alone where that is
//! clear. A name that the daemon does not know is answered with those that it knows.

use crate::stats::snapshot::{PoolSnapshot, ServerStatus, Snapshot};

/// Names this alike may be meant: 1 is equal, 0 has nothing in common.
const ALIKE: f64 = 0.5;

/// Names that are told at most.
const TOLD: usize = 20;

/// The server of a name.
///
/// # Errors
///
/// In words, why there is none.
pub(super) fn server<'a>(
    snapshot: &'a Snapshot,
    name: &str,
) -> Result<(&'a PoolSnapshot, &'a ServerStatus), String> {
    let at = |(pool, server): &(usize, usize)| {
        let pool = &snapshot.pools[*pool];
        (pool, &pool.servers[*server])
    };
    match snapshot.servers_named(name).as_slice() {
        [one] => Ok(at(one)),
        [] => {
            let known = snapshot.pools.iter().flat_map(|pool| {
                let servers = pool.servers.iter();
                servers.map(|server| full_name(pool, server))
            });
            let removal = snapshot.removal(name);
            Err(removal.unwrap_or_else(|| not_there("server", name, known)))
        }
        several => {
            let several = several.iter().map(at);
            let names: Vec<String> = several.map(|(pool, one)| full_name(pool, one)).collect();
            Err(ambiguous(name, &names))
        }
    }
}

/// The `POOL/SERVER` of a name, also that of a server that a reload has removed and that has
/// connections.
///
/// # Errors
///
/// In words, why there is none.
pub(super) fn with_removed(snapshot: &Snapshot, name: &str) -> Result<String, String> {
    let removed = match snapshot.servers_named(name).is_empty() {
        true => snapshot.removed_named(name),
        false => Vec::new(),
    };
    match removed.as_slice() {
        [] => server(snapshot, name).map(|(pool, server)| full_name(pool, server)),
        [one] => Ok(one.clone()),
        several => Err(ambiguous(name, several)),
    }
}

fn ambiguous(name: &str, several: &[String]) -> String {
    format!(
        "`{name}` is the name of {} servers: say {}",
        several.len(),
        several[..several.len().min(TOLD)].join(" or ")
    )
}

/// `POOL/SERVER`
pub(super) fn full_name(pool: &PoolSnapshot, server: &ServerStatus) -> String {
    format!("{}/{}", pool.name, server.name)
}

/// The pool of a name, or the only one there is.
///
/// # Errors
///
/// In words, why there is none.
pub(super) fn pool<'a>(
    snapshot: &'a Snapshot,
    name: Option<&str>,
) -> Result<&'a PoolSnapshot, String> {
    let known = || snapshot.pools.iter().map(|pool| pool.name.clone());
    match (name, snapshot.pools.as_slice()) {
        (Some(name), pools) => {
            let found = pools.iter().find(|pool| pool.name == name);
            found.ok_or_else(|| not_there("pool", name, known()))
        }
        (None, [one]) => Ok(one),
        (None, _) => Err(format!("there are several, say which: {}", list(known()))),
    }
}

/// What is said to a name that does not exist.
pub(super) fn not_there(
    what: &str,
    name: &str,
    known: impl Iterator<Item = String> + Clone,
) -> String {
    // A server may be meant by its own name or with that of its pool.
    let forms = known.clone().flat_map(|known| {
        let short = known.rsplit_once('/').map(|(_, short)| short.to_owned());
        std::iter::once(known).chain(short)
    });
    let distance = |known: &String| strsim::normalized_damerau_levenshtein(known, name);
    let best = forms
        .map(|known| (distance(&known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    let guess = best.map_or_else(String::new, |(_, meant)| {
        format!("; did you mean `{meant}`?")
    });
    let list = list(known);
    match (guess.is_empty(), list.is_empty()) {
        (_, true) => format!("there is no {what} `{name}`, nor any other"),
        (true, false) => format!("there is no {what} `{name}`; there are: {list}"),
        (false, false) => format!("there is no {what} `{name}`{guess} There are: {list}"),
    }
}

/// The first of many names, and how many more there are.
fn list(names: impl Iterator<Item = String> + Clone) -> String {
    let told: Vec<String> = names.clone().take(TOLD).collect();
    let more = names.skip(TOLD).count();
    let rest = match more {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    told.join(", ") + &rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::example::snapshot;

    #[test]
    fn a_server_is_found_by_its_name_if_that_is_clear() {
        let mut snapshot = snapshot();
        snapshot.pools[1].servers[0].name = "rabbit-1".to_owned();
        let name_of = |name: &str| {
            let found = server(&snapshot, name);
            found.map(|(pool, server)| full_name(pool, server))
        };
        assert_eq!(name_of("rabbit/rabbit-1").unwrap(), "rabbit/rabbit-1");
        assert_eq!(name_of("plain/rabbit-1").unwrap(), "plain/rabbit-1");
        assert_eq!(name_of("spare").unwrap(), "rabbit/spare");
        let cases = [
            (
                "rabbit-1",
                "`rabbit-1` is the name of 2 servers: say rabbit/rabbit-1 or plain/rabbit-1",
            ),
            ("spar", "there is no server `spar`; did you mean `spare`?"),
            (
                "rabit/spare",
                "there is no server `rabit/spare`; did you mean `rabbit/spare`?",
            ),
            ("x", "there is no server `x`; there are: rabbit/rabbit-1, "),
            ("rabbit/", "there is no server `rabbit/`"),
        ];
        for (name, words) in cases {
            let error = name_of(name).unwrap_err();
            assert!(error.starts_with(words), "{error}");
        }
    }

    #[test]
    fn a_server_that_a_reload_has_removed_is_found_while_nobody_else_has_its_name() {
        let mut snapshot = snapshot();
        let removed = |pool, server| crate::stats::example::removed(pool, server, 1);
        snapshot.removed = vec![
            removed("rabbit", "old"),
            removed("rabbit", "old"),
            removed("rabbit", "both"),
            removed("gone", "both"),
            removed("gone", "spare"),
        ];
        for (name, expected) in [
            ("old", Ok("rabbit/old")),
            ("rabbit/old", Ok("rabbit/old")),
            ("gone/both", Ok("gone/both")),
            ("spare", Ok("rabbit/spare")),
            ("gone/spare", Ok("gone/spare")),
            (
                "both",
                Err("`both` is the name of 2 servers: say gone/both or rabbit/both"),
            ),
            ("xyz/old", Err("there is no server `xyz/old`")),
        ] {
            let found = with_removed(&snapshot, name);
            match expected {
                Ok(full_name) => assert_eq!(found.as_deref(), Ok(full_name)),
                Err(words) => assert!(found.unwrap_err().starts_with(words), "{name}"),
            }
        }
    }

    #[test]
    fn a_pool_is_found_by_its_name_or_because_there_is_no_other() {
        let mut snapshot = snapshot();
        let name_of = |snapshot: &Snapshot, name| pool(snapshot, name).map(|one| one.name.clone());
        assert_eq!(name_of(&snapshot, Some("plain")).as_deref(), Ok("plain"));
        let words = |snapshot: &Snapshot, name| name_of(snapshot, name).unwrap_err();
        assert_eq!(
            words(&snapshot, Some("rabit")),
            "there is no pool `rabit`; did you mean `rabbit`? There are: rabbit, plain"
        );
        assert_eq!(
            words(&snapshot, Some("x")),
            "there is no pool `x`; there are: rabbit, plain"
        );
        assert_eq!(
            words(&snapshot, None),
            "there are several, say which: rabbit, plain"
        );
        snapshot.pools.truncate(1);
        assert_eq!(name_of(&snapshot, None).as_deref(), Ok("rabbit"));
        snapshot.pools.clear();
        assert_eq!(
            words(&snapshot, Some("x")),
            "there is no pool `x`, nor any other"
        );
    }

    #[test]
    fn not_more_names_are_told_than_fit() {
        let known = (0..10_000).map(|number| format!("p/s{number}"));
        let words = not_there("server", "nosuch", known);
        assert!(words.ends_with(", p/s19 and 9980 more"), "{words}");
    }
}
