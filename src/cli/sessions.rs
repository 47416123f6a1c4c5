//! `warren sessions`: the open connections of a running daemon.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::output::{colours, complain, misuse, print, room};
use super::table::{Cell, Column, Paint, render as table};
use super::units::{age, bytes, count};
use super::{ask, exit, names, values};
use crate::config::units;
use crate::stats::sessions::listing::{MOST, Session, Sessions, USUAL};

/// Options of `warren sessions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Those that match all filters are shown, the oldest first. IN is what the client sent, OUT what it
got. `shutdown session ID` over the stats socket ends one. Pools and servers that a reload has
removed are found for as long as they have connections.

Exit code: 0 they were printed, 1 the daemon cannot be reached or refuses, 64 there is no such pool
or server, or a value is none.")]
pub struct Options {
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
    /// Only those of this pool
    #[arg(long, value_name = "POOL", add = super::complete::pools())]
    pub pool: Option<String>,
    /// Only those to this server: POOL/SERVER, or SERVER if only one pool has it
    #[arg(long, value_name = "SERVER", add = super::complete::servers())]
    pub server: Option<String>,
    /// Only those of clients in this network, such as 192.0.2.0/24, or of one address
    #[arg(long, value_name = "NETWORK", value_parser = values::network)]
    pub client: Option<IpNet>,
    /// Only those on which no byte has moved for so long, such as 10m
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub idle: Option<Duration>,
    /// Only those that are open for so long, such as 1h
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub older: Option<Duration>,
    /// So many at most
    #[arg(long, value_name = "N", default_value_t = USUAL, value_parser = limit)]
    pub limit: usize,
    /// Print JSON for programs
    #[arg(long)]
    pub json: bool,
}

fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok().filter(|limit| (1..=MOST).contains(limit));
    limit.ok_or_else(|| format!("not 1 to {}", count(MOST as u64)))
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let server = match known_names(options) {
        Ok(server) => server,
        Err(code) => return code,
    };
    let command = command(options, server.as_deref());
    match ask::ask::<Sessions>(&options.socket, &command, ask::PATIENCE) {
        Ok(sessions) if options.json => match serde_json::to_string_pretty(&sessions) {
            Ok(json) => print(&format!("{json}\n"), exit::GOOD),
            Err(error) => complain(error),
        },
        Ok(sessions) => {
            let text = screen(&sessions, room().columns, colours());
            print(&text, exit::GOOD)
        }
        Err(error) => complain(error.explain(&options.socket)),
    }
}

/// `POOL/SERVER` of the server, if one is given; or the exit code after saying what is wrong.
fn known_names(options: &Options) -> Result<Option<String>, u8> {
    let (pool, server) = (options.pool.as_deref(), options.server.as_deref());
    if pool.is_none() && server.is_none() {
        return Ok(None);
    }
    let snapshot = ask::fetch(&options.socket).map_err(complain)?;
    if let Some(name) = pool
        && !snapshot.has_pool(name)
    {
        names::pool(&snapshot, pool).map_err(|words| misuse("--pool", words))?;
    }
    let Some(name) = server else { return Ok(None) };
    let found = names::with_removed(&snapshot, name);
    let full_name = found.map_err(|words| misuse("--server", words))?;
    match pool {
        Some(pool) if !full_name.starts_with(&format!("{pool}/")) => {
            let words = format!("`{full_name}` is not of pool {pool}, which --pool says");
            Err(misuse("--server", words))
        }
        _ => Ok(Some(full_name)),
    }
}

/// The question over the socket.
fn command(options: &Options, server: Option<&str>) -> String {
    let mut command = format!("warren sessions limit {}", options.limit);
    let time = |time: Option<Duration>| time.map(units::duration_text);
    let filters = [
        ("pool", options.pool.clone()),
        ("server", server.map(str::to_owned)),
        ("client", options.client.map(|network| network.to_string())),
        ("idle", time(options.idle)),
        ("older", time(options.older)),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            command = format!("{command} {name} {value}");
        }
    }
    command
}

fn screen(sessions: &Sessions, columns: usize, colours: bool) -> String {
    let headings = [
        Column::left("ID"),
        Column::left("CLIENT"),
        Column::left("SERVER"),
        Column::left("STATE"),
        Column::right("AGE"),
        Column::right("IDLE"),
        Column::right("IN"),
        Column::right("OUT"),
    ];
    let rows: Vec<_> = sessions.sessions.iter().map(row).collect();
    let mut text = table(&headings, &rows, columns, colours);
    let shown = sessions.sessions.len() as u64;
    text.push_str(&format!(
        "{} shown of {} that match, of {} open\n",
        count(shown),
        count(sessions.matching),
        count(sessions.open),
    ));
    if sessions.silent_workers > 0 {
        text.push_str("some are missing: a worker has not answered in time\n");
    }
    text
}

fn row(session: &Session) -> Vec<Cell> {
    let server = match &session.server {
        Some(server) => format!("{}/{server}", session.pool),
        None => format!("{}/-", session.pool),
    };
    vec![
        Cell::painted(&session.id, Paint::Bold),
        Cell::new(&session.client),
        Cell::new(server),
        Cell::new(&session.state),
        Cell::new(age(session.age_ms)),
        Cell::new(age(session.idle_ms)),
        Cell::new(bytes(session.bytes_in)),
        Cell::new(bytes(session.bytes_out)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_has_a_line_per_connection_and_what_was_left_out() {
        let session = Session {
            id: "0x20000000000001".to_owned(),
            client: "192.0.2.7:41234".to_owned(),
            listener: "amqp".to_owned(),
            listener_address: None,
            pool: "rabbit".to_owned(),
            server: Some("rabbit-1".to_owned()),
            local_address: None,
            server_address: None,
            state: "relaying".to_owned(),
            accepted_at_ms: 0,
            age_ms: 7_500_000,
            idle_ms: 61_000,
            bytes_in: 2048,
            bytes_out: 12,
            retries: 0,
        };
        let waiting = Session {
            server: None,
            state: "choosing".to_owned(),
            ..session.clone()
        };
        let sessions = Sessions {
            open: 5_000,
            matching: 1_200,
            silent_workers: 1,
            sessions: vec![session, waiting],
        };
        let text = screen(&sessions, usize::MAX, false);
        let expected = "\
ID                CLIENT           SERVER           STATE        AGE    IDLE       IN   OUT
0x20000000000001  192.0.2.7:41234  rabbit/rabbit-1  relaying  2h 05m  1m 01s  2.0 KiB  12 B
0x20000000000001  192.0.2.7:41234  rabbit/-         choosing  2h 05m  1m 01s  2.0 KiB  12 B
2 shown of 1,200 that match, of 5,000 open
some are missing: a worker has not answered in time
";
        assert_eq!(text, expected);
    }
}
