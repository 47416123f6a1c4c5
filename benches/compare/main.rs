//! warren against Debian's HAProxy and nginx: CPU, throughput, latency, memory, system calls.
//!
//! ```text
//! cargo bench --bench compare -- --quick
//! ```
//!
//! Client, balancer and server are in three network namespaces joined by veth, or, with
//! `--loopback`, all on one loopback interface. Every measurement starts four processes of its own:
//! a server, a balancer with one thread, a client, and this program, which reads what the kernel
//! says about the balancer alone. Client and server are this binary again (`load`), so their CPU
//! time never mixes with the balancer's; they run on other CPUs, too. With two CPUs it is therefore
//! often they who limit a rate.
//!
//! ```text
//! rows (what is measured) -> measure (one row, one balancer, once) -> report (medians, ratios)
//! ```
//!
//! The balancers take turns, and the order turns around each round, so that a machine that
//! becomes slower or faster meanwhile does so for all of them. Trust the ratios more than the
//! times.

mod balancer;
mod failure;
mod load;
mod machine;
mod measure;
mod network;
mod plot;
mod process;
mod rabbit;
mod report;
mod rows;
mod statistics;
mod strace;
mod watch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use balancer::Programs;
use failure::Failure;
use load::Load;
use machine::Machine;
use network::Scene;
use process::{Side, launch};
use rabbit::Rabbit;
use rows::{Row, Settings, Traffic};

/// Compare warren with HAProxy and nginx
#[derive(Debug, Parser)]
#[command(name = "compare", disable_help_subcommand = true)]
struct Arguments {
    /// Three short rounds instead of five long ones
    #[arg(long)]
    quick: bool,
    /// How many times each balancer is measured in each row
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// Threads of each balancer
    #[arg(long, default_value = "1", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: u16,
    /// Measure only these rows
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
    /// Also count system calls, with strace
    #[arg(long)]
    strace: bool,
    /// Write every value, medians and ratios to a file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Everything on one loopback interface, which needs no root, instead of three namespaces
    #[arg(long)]
    loopback: bool,
    /// Draw the ratios to a file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Measure this binary of warren instead of the one that cargo built
    #[arg(
        long,
        value_name = "PATH",
        default_value = env!("CARGO_BIN_EXE_warren"),
        hide_default_value = true
    )]
    warren: PathBuf,
    /// Compare with this binary of HAProxy instead of Debian's
    #[arg(long, value_name = "PATH")]
    haproxy: Option<PathBuf>,
    /// `cargo bench` passes this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this binary is when a running benchmark starts it again.
#[derive(Debug, Subcommand)]
enum Role {
    /// Be a client or a server
    #[command(subcommand, hide = true)]
    Load(Load),
    /// Keep a network namespace
    #[command(hide = true)]
    Keep,
    /// Become another program that dies with the benchmark
    #[command(hide = true)]
    Launch {
        side: Side,
        command: Vec<std::ffi::OsString>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.role {
        None if watch::is_watched() => {
            process::die_with_parent().and_then(|()| compare(&arguments))
        }
        None => match watch::watch() {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        Some(Role::Load(role)) => role.run().map_err(Failure::Load),
        Some(Role::Keep) => network::keep(),
        Some(Role::Launch { side, command }) => launch(*side, command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("compare: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), Failure> {
    let mut rows = rows::select(&arguments.only, arguments.strace)?;
    if let Some(reason) = Rabbit::missing() {
        let is_amqp = |row: &Row| matches!(row.traffic, Traffic::Amqp { .. });
        rows.retain(|row| !is_amqp(row));
        eprintln!("rows with RabbitMQ are left out: {reason}");
    }
    let threads = usize::from(arguments.threads);
    let settings = Settings::new(arguments.quick, arguments.rounds, threads);
    machine::allow_threads(threads)?;
    process::set_threads(threads);
    machine::allow_descriptors(rows.iter().map(Row::descriptors).max().unwrap_or(0))?;
    let programs = Programs::find(arguments.warren.clone(), arguments.haproxy.clone(), threads)?;
    let scene = if arguments.loopback {
        Scene::loopback()?
    } else {
        Scene::namespaces()?
    };
    let machine = Machine::read(&programs, scene.description.clone())?;
    let mut results = Vec::new();
    let measured = measure::all(&rows, &settings, &programs, &scene, &mut results);
    if !results.is_empty() {
        report::print(&machine, &settings, &results);
    }
    if let Some(path) = &arguments.json {
        report::write_json(path, &machine, &settings, &results)?;
    }
    if let Some(path) = &arguments.plot {
        plot::write(path, &results)?;
    }
    measured
}
