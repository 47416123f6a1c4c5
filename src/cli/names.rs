//! *pure* Servers as people name them: `POOL/SERVER`, or `SERVER` alone where that is clear.

use crate::stats::snapshot::{PoolSnapshot, ServerStatus, Snapshot};

/// Names this alike may be meant: 1 is equal, 0 has nothing in common.
const ALIKE: f64 = 0.5;

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
                servers.flat_map(|server| [full_name(pool, server), server.name.clone()])
            });
            Err(not_there("server", name, known))
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
        several.join(" or ")
    )
}

/// `POOL/SERVER`
pub(super) fn full_name(pool: &PoolSnapshot, server: &ServerStatus) -> String {
    format!("{}/{}", pool.name, server.name)
}

/// What is said to a name that does not exist.
pub(super) fn not_there(what: &str, name: &str, known: impl Iterator<Item = String>) -> String {
    let distance = |known: &String| strsim::normalized_damerau_levenshtein(known, name);
    let best = known
        .map(|known| (distance(&known), known))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    match best {
        Some((_, meant)) => format!("there is no {what} `{name}`; did you mean `{meant}`?"),
        None => format!("there is no {what} `{name}`"),
    }
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
            ("x", "there is no server `x`"),
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
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{name}");
        }
    }
}
