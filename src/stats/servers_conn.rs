//! *pure* `show servers conn`. What HAProxy keeps there is about idle connections to servers, which
//! are used again; in TCP mode there are none.

use std::fmt::Write as _;

use super::snapshot::Snapshot;

/// The whole answer for all pools, or for the one of that index.
#[must_use]
pub fn render(snapshot: &Snapshot, only: Option<usize>) -> String {
    let mut text = format!(
        "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb \
         safe_nb idle_lim idle_cur idle_per_thr[{}]\n",
        snapshot.workers
    );
    for (pool, server) in snapshot.servers(only) {
        let (ip, port) = server.ip_and_port();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{}/{} {}/{} {ip} {port} - 5000 0 0 0 0 0 -1 0{}",
            pool.name,
            server.name,
            pool.number,
            server.number,
            " 0".repeat(snapshot.workers),
        );
    }
    text
}
