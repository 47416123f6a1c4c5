//! One measurement: start the four processes, read the balancer before and after the traffic.

use std::thread::sleep;
use std::time::Duration;

use crate::balancer::{Balancer, Contender, Programs};
use crate::failure::Failure;
use crate::load;
use crate::machine;
use crate::network::Scene;
use crate::process::Worker;
use crate::rabbit::Rabbit;
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
    pub(crate) contenders: Vec<Contender>,
    pub(crate) samples: Vec<Vec<Sample>>,
}

/// What the client reports: how much of the row's work it did, how long that took, and what else it
/// has seen: see [`crate::load`].
#[derive(Debug, Clone)]
struct Done {
    units: u64,
    nanoseconds: u64,
    seen: Vec<f64>,
}

/// The balancer closes connections and frees memory a moment after the client is done.
const SETTLE: Duration = Duration::from_millis(50);

/// What is done once for a new connection is over by then: warren sets TCP keepalive after a
/// second, and HAProxy has its work after two to five.
const ARMED: Duration = Duration::from_secs(6);
/// How long an idle balancer is looked at.
const IDLE: Duration = Duration::from_secs(3);

/// Measures every row, round by round, and tells how far it is on stderr. Complete rows are
/// in `results` also when a later one fails.
pub(crate) fn all(
    rows: &[Row],
    settings: &Settings,
    programs: &Programs,
    scene: &Scene,
    results: &mut Vec<Measured>,
) -> Result<(), Failure> {
    for row in rows {
        results.push(whole_row(row, settings, programs, scene)?);
    }
    Ok(())
}

fn whole_row(
    row: &Row,
    settings: &Settings,
    programs: &Programs,
    scene: &Scene,
) -> Result<Measured, Failure> {
    let contenders = row.contenders().iter().copied();
    let contenders: Vec<_> = contenders.filter(|one| programs.has(*one)).collect();
    let rabbit = match row.traffic {
        Traffic::Amqp { .. } => Some(Rabbit::start(scene)?),
        Traffic::Echo { .. }
        | Traffic::Bulk { .. }
        | Traffic::Idle { .. }
        | Traffic::Short { .. } => None,
    };
    let rabbit = rabbit.as_ref();
    let mut samples: Vec<Vec<Sample>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..settings.rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let sample = once(row, contenders[index], settings, programs, scene, rabbit)?;
            progress(row, round, settings.rounds, contenders[index], &sample);
            samples[index].push(sample);
        }
    }
    Ok(Measured {
        row: *row,
        contenders,
        samples,
    })
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
    scene: &Scene,
    rabbit: Option<&Rabbit>,
) -> Result<Sample, Failure> {
    // Lives as long as the measurement.
    let mut server = None;
    let port = match rabbit {
        Some(rabbit) => rabbit.port,
        None => {
            let role = load::server(row.traffic, scene.server);
            let server = server.insert(Worker::load(&role, scene.server_namespace())?);
            server.hear()?.parse().map_err(|_| server.early())?
        }
    };
    let balancer = Balancer::start(contender, programs, scene, port, row.connections_max())?;
    let role = load::client(row.traffic, balancer.address, settings);
    // The client's namespace is ours.
    let mut client = Worker::load(&role, None)?;
    client.hear()?;
    sleep(SETTLE);
    let sample = probe(row, balancer.pid(), &mut client)?;
    client.finish()?;
    Ok(sample)
}

fn probe(row: &Row, pid: Option<u32>, client: &mut Worker) -> Result<Sample, Failure> {
    let cpu = || pid.map_or(Ok(0), machine::cpu_nanoseconds);
    let memory = || pid.map_or(Ok(0), machine::memory_bytes);
    match row.probe {
        Probe::Cpu => {
            let before = (cpu()?, machine::busy_nanoseconds()?);
            let done = traffic(client)?;
            let after = (cpu()?, machine::busy_nanoseconds()?);
            let cpu = after.0.saturating_sub(before.0);
            let system = after.1.saturating_sub(before.1);
            Ok(Sample {
                values: cpu_and_rate(row.traffic, cpu, system, &done),
                calls: Vec::new(),
            })
        }
        Probe::Memory => {
            let before = (memory()?, machine::slab_bytes()?);
            let done = traffic(client)?;
            let grown = memory()?.saturating_sub(before.0);
            let slab = machine::slab_bytes()?.saturating_sub(before.1);
            sleep(ARMED);
            let busy = cpu()?;
            sleep(IDLE);
            let idle = (cpu()? - busy) as f64 / 1e3 / IDLE.as_secs_f64();
            Ok(Sample {
                values: vec![per(grown, done.units), per(slab, done.units), idle],
                calls: Vec::new(),
            })
        }
        Probe::Calls => {
            let strace = pid.map(Strace::attach).transpose()?;
            let done = traffic(client)?;
            let counts = strace.map_or(Ok(Counts::new()), Strace::detach)?;
            Ok(calls_per_unit(&counts, &done))
        }
    }
}

fn traffic(client: &mut Worker) -> Result<Done, Failure> {
    client.go()?;
    let line = client.hear()?;
    sleep(SETTLE);
    let mut numbers = line.split(' ');
    let mut number = || numbers.next().and_then(|word| word.parse().ok());
    let (Some(units), Some(nanoseconds)) = (number(), number()) else {
        return Err(client.early());
    };
    let seen = numbers.map(|word| word.parse().map_err(|_| client.early()));
    Ok(Done {
        units,
        nanoseconds,
        seen: seen.collect::<Result<_, _>>()?,
    })
}

fn cpu_and_rate(traffic: Traffic, cpu: u64, system: u64, done: &Done) -> Vec<f64> {
    let costs = [cpu, system].map(|nanoseconds| per(nanoseconds, done.units));
    let rate = per(done.units, done.nanoseconds);
    let (costs, rate) = match traffic {
        // Nanoseconds per byte are seconds per GB; bytes per nanosecond are GB/s.
        Traffic::Bulk { .. } => (costs, rate * 8.0),
        Traffic::Echo { .. }
        | Traffic::Amqp { .. }
        | Traffic::Idle { .. }
        | Traffic::Short { .. } => (costs.map(|cost| cost / 1e3), rate * 1e9),
    };
    let mut values = costs.to_vec();
    values.push(rate);
    values.extend(&done.seen);
    values
}

fn calls_per_unit(counts: &Counts, done: &Done) -> Sample {
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
