//! One measurement: start the four processes, read the balancer before and after the traffic.

use std::thread::sleep;
use std::time::Duration;

use crate::balancer::{Balancer, Contender, Programs};
use crate::failure::Failure;
use crate::load;
use crate::machine;
use crate::process::Worker;
use crate::rows::{Probe, Row, Settings, Traffic};
use crate::strace::{Counts, Strace};

/// What one measurement found.
#[derive(Debug)]
pub(crate) struct Sample {
    /// One for each of the row's metrics, in their order.
    pub(crate) values: Vec<f64>,
    /// System calls per unit of work, if they were counted.
    pub(crate) calls: Vec<(String, f64)>,
}

/// A row with its samples: one list per contender, in their order, with one entry per round.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) row: Row,
    pub(crate) samples: Vec<Vec<Sample>>,
}

/// What the client reports: how much of the row's work it did, and how long that took.
#[derive(Debug, Clone, Copy)]
struct Done {
    units: u64,
    nanoseconds: u64,
}

/// The balancer closes connections and frees memory a moment after the client is done.
const SETTLE: Duration = Duration::from_millis(50);

/// Measures every row, round by round, and tells how far it is on stderr.
pub(crate) fn all(
    rows: &[Row],
    settings: &Settings,
    programs: &Programs,
) -> Result<Vec<Measured>, Failure> {
    rows.iter()
        .map(|row| {
            let contenders = row.contenders();
            let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
            for round in 0..settings.rounds {
                let mut order: Vec<usize> = (0..contenders.len()).collect();
                if round % 2 == 1 {
                    order.reverse();
                }
                for index in order {
                    let sample = once(row, contenders[index], settings, programs)?;
                    progress(row, round, settings.rounds, contenders[index], &sample);
                    samples[index].push(sample);
                }
            }
            Ok(Measured { row: *row, samples })
        })
        .collect()
}

fn progress(row: &Row, round: u32, rounds: u32, contender: Contender, sample: &Sample) {
    let values: Vec<String> = row
        .metrics()
        .iter()
        .zip(&sample.values)
        .map(|(metric, value)| format!("{value:.*} {}", metric.decimals, metric.label))
        .collect();
    eprintln!(
        "{} {}/{rounds} {}: {}",
        row.name,
        round + 1,
        contender.name(),
        values.join(", ")
    );
}

fn once(
    row: &Row,
    contender: Contender,
    settings: &Settings,
    programs: &Programs,
) -> Result<Sample, Failure> {
    let mut server = Worker::start(&load::server(row.traffic))?;
    let port = server.hear()?.parse().map_err(|_| server.early())?;
    let balancer = Balancer::start(contender, programs, port, row.connections_max())?;
    let mut client = Worker::start(&load::client(row.traffic, balancer.port, settings))?;
    client.hear()?;
    sleep(SETTLE);
    let sample = probe(row, balancer.pid(), &mut client)?;
    client.finish()?;
    Ok(sample)
}

fn probe(row: &Row, pid: u32, client: &mut Worker) -> Result<Sample, Failure> {
    match row.probe {
        Probe::Cpu => {
            let before = machine::cpu_nanoseconds(pid)?;
            let done = traffic(client)?;
            let cpu = machine::cpu_nanoseconds(pid)?.saturating_sub(before);
            Ok(Sample {
                values: cpu_and_rate(row.traffic, cpu, done),
                calls: Vec::new(),
            })
        }
        Probe::Memory => {
            let before = machine::memory_bytes(pid)?;
            let done = traffic(client)?;
            let grown = machine::memory_bytes(pid)?.saturating_sub(before);
            Ok(Sample {
                values: vec![per(grown, done.units)],
                calls: Vec::new(),
            })
        }
        Probe::Calls => {
            let strace = Strace::attach(pid)?;
            let done = traffic(client)?;
            Ok(calls_per_unit(&strace.detach()?, done))
        }
    }
}

fn traffic(client: &mut Worker) -> Result<Done, Failure> {
    client.go()?;
    let line = client.hear()?;
    sleep(SETTLE);
    let mut numbers = line.split(' ').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(units)), Some(Ok(nanoseconds))) => Ok(Done { units, nanoseconds }),
        _ => Err(client.early()),
    }
}

fn cpu_and_rate(traffic: Traffic, cpu_nanoseconds: u64, done: Done) -> Vec<f64> {
    let cost = per(cpu_nanoseconds, done.units);
    let rate = per(done.units, done.nanoseconds);
    match traffic {
        // Nanoseconds per byte are seconds per GB; bytes per nanosecond are GB/s.
        Traffic::Bulk { .. } => vec![cost, rate * 8.0],
        Traffic::Echo { .. } | Traffic::Idle { .. } | Traffic::Short { .. } => {
            vec![cost / 1e3, rate * 1e9]
        }
    }
}

fn calls_per_unit(counts: &Counts, done: Done) -> Sample {
    let calls: Vec<_> = counts
        .iter()
        .map(|(name, calls)| (name.clone(), per(*calls, done.units)))
        .collect();
    Sample {
        values: vec![calls.iter().map(|(_, each)| each).sum()],
        calls,
    }
}

fn per(amount: u64, units: u64) -> f64 {
    amount as f64 / units.max(1) as f64
}
