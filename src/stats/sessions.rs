//! *pure* `show sess`: a line per connection, or one connection in detail. The keys are those that
//! tools read; what HAProxy tells of its own insides is empty or 0.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use crate::calendar;
use crate::proxy::account::During;
use crate::proxy::sight::Sight;

pub mod listing;

/// One connection in one line.
pub fn short(text: &mut String, sight: &Sight) {
    let back = match sight.during {
        During::Admitting => 0,
        During::Choosing => 2,
        During::Connecting => 6,
        During::Relaying | During::Draining => 8,
    };
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "0x{:x}: proto={} src={} fe={} be={} srv={} ts=00 epoch=0 age={} calls=0 rate=0 cpu=0 \
         lat=0 rq[f=0h,i=0,an=00h,rx=,wx=,ax=] rp[f=0h,i=0,an=00h,rx=,wx=,ax=] scf=[8,0h,fd=-1] \
         scb=[{back},1h,fd=-1] exp= rc={} c_exp=",
        sight.id.0,
        protocol(sight),
        plain(sight.client),
        sight.listener,
        sight.pool,
        sight.server.as_deref().unwrap_or("<none>"),
        span(sight.age),
        sight.retries,
    );
}

/// One connection in detail.
pub fn long(text: &mut String, sight: &Sight) {
    let server = match (&sight.server, sight.server_number) {
        (Some(name), Some(number)) => format!("{name} (id={number})"),
        _ => "<NONE> (id=-1)".to_owned(),
    };
    let _ = write!(
        text,
        "0x{:x}: [{}{:03}] proto={} source={}\n  conn_retries={} state={} age={} silent={}\n  \
         frontend={} (id={} mode=tcp){}\n  backend={} (id={} mode=tcp){}\n  \
         server={server}{}\n  req=(total={})\n  res=(total={})\n",
        sight.id.0,
        calendar::haproxy(sight.accepted_at),
        sight.accepted_at.subsec_micros() % 1000,
        protocol(sight),
        plain(sight.client),
        sight.retries,
        sight.during.name(),
        span(sight.age),
        span(sight.silence),
        sight.listener,
        sight.listener_number,
        addr(sight.ends.listener),
        sight.pool,
        sight.pool_number,
        addr(sight.ends.local),
        addr(sight.ends.server),
        sight.to_server,
        sight.to_client,
    );
}

/// As HAProxy writes it: without brackets around an IPv6 address.
fn plain(address: SocketAddr) -> String {
    format!("{}:{}", address.ip(), address.port())
}

/// Behind what it belongs to, if it is known.
fn addr(address: Option<SocketAddr>) -> String {
    let known = address.map(|address| format!(" addr={}", plain(address)));
    known.unwrap_or_default()
}

fn protocol(sight: &Sight) -> &'static str {
    if sight.client.is_ipv4() {
        "tcpv4"
    } else {
        "tcpv6"
    }
}

/// A time in its two largest units, as HAProxy writes it: `1m39s`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_in_its_two_largest_units() {
        let written = [0, 59, 99, 3_599, 7_500, 90_000].map(|s| span(Duration::from_secs(s)));
        assert_eq!(written, ["0s", "59s", "1m39s", "59m59s", "2h5m", "1d1h"]);
    }
}
