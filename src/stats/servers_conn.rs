//! *pure* `show servers conn`. What HAProxy keeps there is about idle connections to servers, which
//! are used again; in TCP mode there are none.

use std::fmt::Write as _;

use super::snapshot::Snapshot;

/// The whole answer for all pools, or for the one of that name; `None` when there is none.
#[must_use]
pub fn render(snapshot: &Snapshot, only: Option<&str>) -> Option<String> {
    let mut text = format!(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb \
         safe_nb idle_lim idle_cur idle_per_thr[{}]\n",
        snapshot.workers
    );
    let mut found = only.is_none();
    for (index, pool) in snapshot.pools.iter().enumerate() {
        if only.is_some_and(|name| name != pool.name) {
            continue;
        }
        found = true;
        for (position, server) in pool.servers.iter().enumerate() {
            let address = server.address;
            let ip = address.map_or_else(|| "-".to_owned(), |address| address.ip().to_string());
            let port = address.map_or(server.port, |address| address.port());
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "{}/{} {}/{} {ip} {port} - 5000 0 0 0 0 0 -1 0{}",
                pool.name,
                server.name,
                snapshot.pool_iid(index),
                position + 1,
                " 0".repeat(snapshot.workers),
            );
        }
    }
    found.then_some(text)
}
