//! What is measured: the table of rows, and how long each takes.

use std::time::Duration;

use crate::balancer::Contender;
use crate::failure::Failure;

/// One row of the comparison: a kind of traffic and what is read from the balancer meanwhile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) traffic: Traffic,
    pub(crate) probe: Probe,
}

/// The traffic of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Traffic {
    /// Each connection sends a message and waits for it to come back, over and over.
    Echo { connections: u32, bytes: u32 },
    /// Each connection publishes a message to a real broker and waits for its confirm, over and
    /// over.
    Amqp { connections: u32, bytes: u32 },
    /// Each stream carries its share of the volume from client to server.
    Bulk { streams: u32 },
    /// Connections that spoke once and are silent.
    Idle { connections: u32 },
    /// Connect, one byte each way, and the client ends it.
    Short { ending: Ending },
}

/// How the client of a short connection ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Ending {
    Fin,
    Reset,
}

/// What is read from the balancer before and after the traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// CPU time of all its threads.
    Cpu,
    /// Its proportional set size, what the kernel keeps for all sockets, and the CPU time that it
    /// takes while nothing happens.
    Memory,
    /// Its system calls, counted by strace.
    Calls,
}

/// One number of a row.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct Metric {
    pub(crate) label: &'static str,
    pub(crate) decimals: usize,
    pub(crate) better: Better,
    /// What counts is how much it is above the same without a balancer.
    pub(crate) added: bool,
}

/// Which way a metric should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    Less,
    More,
}

/// How much of everything.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Settings {
    pub(crate) rounds: u32,
    /// Of each balancer.
    pub(crate) threads: usize,
    /// How long an echo row runs.
    #[serde(rename = "echo_milliseconds", serialize_with = "as_milliseconds")]
    pub(crate) echo: Duration,
    /// What a bulk row carries, over all its streams.
    pub(crate) bulk_bytes: u64,
    pub(crate) short_connections: u32,
}

/// Short connections that are open at the same time.
pub(crate) const SHORT_AT_ONCE: u32 = 32;
/// What a balancer needs beside two descriptors per connection, with room to spare.
const SPARE_CONNECTIONS: u32 = 500;

const ROWS: [Row; 12] = [
    cpu(
        "echo-64x1k",
        "64 connections, 1 KiB there and back",
        Traffic::Echo {
            connections: 64,
            bytes: 1024,
        },
    ),
    cpu(
        "echo-1000x256",
        "1,000 connections, 256 B there and back",
        Traffic::Echo {
            connections: 1000,
            bytes: 256,
        },
    ),
    cpu(
        "echo-1x64",
        "one connection, 64 B there and back",
        Traffic::Echo {
            connections: 1,
            bytes: 64,
        },
    ),
    cpu(
        "bulk-1",
        "one stream, client to server",
        Traffic::Bulk { streams: 1 },
    ),
    cpu(
        "bulk-16",
        "16 streams, client to server",
        Traffic::Bulk { streams: 16 },
    ),
    idle("idle-1000", "1,000 silent connections", 1000),
    idle("idle-9000", "9,000 silent connections", 9000),
    cpu(
        "short-fin",
        "connect, 1 B each way, client closes, 32 at a time",
        Traffic::Short {
            ending: Ending::Fin,
        },
    ),
    cpu(
        "short-reset",
        "connect, 1 B each way, client resets, 32 at a time",
        Traffic::Short {
            ending: Ending::Reset,
        },
    ),
    cpu(
        "amqp-16",
        "RabbitMQ, 16 connections, publish 1 KiB and wait for the confirm",
        Traffic::Amqp {
            connections: 16,
            bytes: 1024,
        },
    ),
    calls(
        "calls-echo",
        "8 connections, 1 KiB there and back, under strace",
        Traffic::Echo {
            connections: 8,
            bytes: 1024,
        },
    ),
    calls(
        "calls-short",
        "connect, 1 B each way, client resets, under strace",
        Traffic::Short {
            ending: Ending::Reset,
        },
    ),
];

const fn cpu(name: &'static str, what: &'static str, traffic: Traffic) -> Row {
    Row {
        name,
        what,
        traffic,
        probe: Probe::Cpu,
    }
}

const fn idle(name: &'static str, what: &'static str, connections: u32) -> Row {
    Row {
        name,
        what,
        traffic: Traffic::Idle { connections },
        probe: Probe::Memory,
    }
}

const fn calls(name: &'static str, what: &'static str, traffic: Traffic) -> Row {
    Row {
        name,
        what,
        traffic,
        probe: Probe::Calls,
    }
}

const fn less(label: &'static str, decimals: usize) -> Metric {
    Metric {
        label,
        decimals,
        better: Better::Less,
        added: false,
    }
}

const fn more(label: &'static str, decimals: usize) -> Metric {
    Metric {
        better: Better::More,
        ..less(label, decimals)
    }
}

const fn added(label: &'static str, decimals: usize) -> Metric {
    Metric {
        added: true,
        ..less(label, decimals)
    }
}

/// The rows with these names, or all of them; those under strace only when it is wanted.
pub(crate) fn select(only: &[String], strace: bool) -> Result<Vec<Row>, Failure> {
    let possible = || {
        ROWS.iter()
            .filter(move |row| strace || row.probe != Probe::Calls)
    };
    if let Some(name) = only
        .iter()
        .find(|name| possible().all(|row| row.name != **name))
    {
        let known: Vec<_> = possible().map(|row| row.name).collect();
        return Err(Failure::NoSuchRow {
            name: name.clone(),
            known: known.join(", "),
        });
    }
    Ok(possible()
        .filter(|row| only.is_empty() || only.iter().any(|name| name == row.name))
        .copied()
        .collect())
}

impl Row {
    /// Who is measured.
    pub(crate) fn contenders(&self) -> &'static [Contender] {
        use Contender::{Direct, Haproxy, HaproxySplice, Nginx, Warren};
        match (self.probe, self.traffic) {
            (Probe::Calls, _) => &[Warren, Haproxy, Nginx],
            (Probe::Cpu, Traffic::Bulk { .. }) => &[Warren, Haproxy, HaproxySplice, Nginx, Direct],
            (Probe::Cpu | Probe::Memory, _) => &[Warren, Haproxy, Nginx, Direct],
        }
    }

    /// Whom warren is compared with: the HAProxy whose settings fit the traffic best.
    pub(crate) fn baseline(&self) -> Contender {
        match self.traffic {
            Traffic::Bulk { .. } => Contender::HaproxySplice,
            Traffic::Echo { .. }
            | Traffic::Amqp { .. }
            | Traffic::Idle { .. }
            | Traffic::Short { .. } => Contender::Haproxy,
        }
    }

    /// What a sample of this row consists of, in this order.
    pub(crate) fn metrics(&self) -> &'static [Metric] {
        match (self.probe, self.traffic) {
            (Probe::Memory, _) => {
                &const {
                    [
                        less("bytes per connection", 0),
                        added("kernel bytes per connection", 0),
                        less("idle CPU us/s", 0),
                    ]
                }
            }
            (Probe::Calls, Traffic::Short { .. }) => &const { [less("calls per connection", 2)] },
            (Probe::Calls, _) => &const { [less("calls per round trip", 2)] },
            (Probe::Cpu, Traffic::Bulk { .. }) => {
                &const {
                    [
                        less("CPU s per GB", 3),
                        less("system CPU s per GB", 3),
                        more("Gbit/s", 1),
                    ]
                }
            }
            (Probe::Cpu, Traffic::Short { .. }) => {
                &const {
                    [
                        less("CPU us per connection", 1),
                        less("system CPU us per connection", 1),
                        more("connections/s", 0),
                        more("last quarter to first", 2),
                        less("errors", 0),
                    ]
                }
            }
            (Probe::Cpu, Traffic::Amqp { .. }) => {
                &const {
                    [
                        less("CPU us per message", 1),
                        less("system CPU us per message", 1),
                        more("confirms/s", 0),
                        less("p50 us", 0),
                        less("p99 us", 0),
                        less("p99.9 us", 0),
                    ]
                }
            }
            (Probe::Cpu, _) => {
                &const {
                    [
                        less("CPU us per round trip", 2),
                        less("system CPU us per round trip", 2),
                        more("round trips/s", 0),
                        added("p50 us", 1),
                        added("p99 us", 1),
                        added("p99.9 us", 1),
                    ]
                }
            }
        }
    }

    /// The most connections that the balancer may have to hold, with room to spare.
    pub(crate) fn connections_max(&self) -> u32 {
        SPARE_CONNECTIONS
            + match self.traffic {
                Traffic::Echo { connections, .. }
                | Traffic::Amqp { connections, .. }
                | Traffic::Idle { connections } => connections,
                Traffic::Bulk { streams } => streams,
                Traffic::Short { .. } => SHORT_AT_ONCE,
            }
    }

    /// Descriptors that the balancer needs: two per connection and a few of its own.
    pub(crate) fn descriptors(&self) -> u64 {
        2 * u64::from(self.connections_max()) + 100
    }
}

impl Settings {
    /// Quick short rows stay below 14,000 connections: from there on `connect` must search for a
    /// free port among those in TIME_WAIT. The others have more than the 28,000 ports that there
    /// are, so that a balancer that wastes them shows.
    pub(crate) fn new(quick: bool, rounds: Option<u32>, threads: usize) -> Self {
        if quick {
            Self {
                rounds: rounds.unwrap_or(3),
                threads,
                echo: Duration::from_millis(1500),
                bulk_bytes: 2_000_000_000,
                short_connections: 5_000,
            }
        } else {
            Self {
                rounds: rounds.unwrap_or(5),
                threads,
                echo: Duration::from_secs(5),
                bulk_bytes: 8_000_000_000,
                short_connections: 60_000,
            }
        }
    }
}

fn as_milliseconds<S: serde::Serializer>(
    duration: &Duration,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u128(duration.as_millis())
}
