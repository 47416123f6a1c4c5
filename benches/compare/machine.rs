//! What the kernel knows: about the machine, and about one process.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::balancer::Programs;
use crate::failure::Failure;
use crate::process::allowed_cpus;

/// Where the numbers were measured; they mean little without it.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) cpus: usize,
    pub(crate) cpu_model: String,
    pub(crate) network: String,
    pub(crate) versions: Vec<String>,
}

impl Machine {
    pub(crate) fn read(programs: &Programs, network: String) -> Result<Self, Failure> {
        let cpus = read(Path::new("/proc/cpuinfo"))?;
        let field = |name: &str| {
            cpus.lines()
                .filter(|line| line.starts_with(name))
                .filter_map(|line| line.split_once(':'))
                .map(|(_, value)| value.trim().to_owned())
                .collect::<Vec<_>>()
        };
        Ok(Self {
            kernel: read(Path::new("/proc/sys/kernel/osrelease"))?
                .trim()
                .to_owned(),
            cpus: field("processor").len(),
            cpu_model: field("model name")
                .pop()
                .unwrap_or_else(|| "unknown model".into()),
            network,
            versions: programs.versions.clone(),
        })
    }
}

/// CPU time of all threads that the process has now, in nanoseconds, user and system.
///
/// The scheduler's own sum, because the tick that utime and stime count in is as long as 10 ms.
pub(crate) fn cpu_nanoseconds(pid: u32) -> Result<u64, Failure> {
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let mut total = 0;
    for task in fs::read_dir(&tasks).map_err(Failure::io(tasks.display().to_string()))? {
        let path = task
            .map_err(Failure::io(tasks.display().to_string()))?
            .path()
            .join("schedstat");
        total += read(&path)?
            .split_whitespace()
            .next()
            .and_then(|first| first.parse::<u64>().ok())
            .ok_or(Failure::Proc {
                path,
                wanted: "time on the CPU",
            })?;
    }
    Ok(total)
}

/// CPU time that all processors of this machine were busy since it started, in nanoseconds, whoever
/// kept them so; in steps of 10 ms (proc_stat(5)).
pub(crate) fn busy_nanoseconds() -> Result<u64, Failure> {
    const TICK: u64 = 10_000_000;
    let path = Path::new("/proc/stat");
    let text = read(path)?;
    let line = text.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = line
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq
    let &[user, nice, system, _, _, irq, softirq, ..] = &ticks[..] else {
        return Err(Failure::Proc {
            path: path.to_owned(),
            wanted: "times of the processors",
        });
    };
    Ok((user + nice + system + irq + softirq) * TICK)
}

/// Proportional set size of the process in bytes: its own pages and its share of shared ones.
pub(crate) fn memory_bytes(pid: u32) -> Result<u64, Failure> {
    kilobytes(PathBuf::from(format!("/proc/{pid}/smaps_rollup")), "Pss")
}

/// The value of the line `name: N kB`, in bytes.
fn kilobytes(path: PathBuf, name: &'static str) -> Result<u64, Failure> {
    read(&path)?
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(label, _)| *label == name)
        .and_then(|(_, value)| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or(Failure::Proc { path, wanted: name })
}

/// Memory that the kernel has handed out in small pieces, to whomever, in bytes: sockets and what
/// hangs on them are there (`Slab` in proc_meminfo(5)).
pub(crate) fn slab_bytes() -> Result<u64, Failure> {
    kilobytes(PathBuf::from("/proc/meminfo"), "Slab")
}

/// Refuses when the balancers' threads and the load generator would share a CPU: what is measured
/// then is who gets it.
pub(crate) fn allow_threads(threads: usize) -> Result<(), Failure> {
    let cpus = allowed_cpus().map_err(|errno| Failure::io("count the CPUs")(errno.into()))?;
    // With one each there is no choice, and a machine with one CPU shares it.
    if threads > 1 && cpus.len() <= threads {
        return Err(Failure::Cpus {
            threads,
            cpus: cpus.len(),
        });
    }
    Ok(())
}

/// Raises the soft descriptor limit as far as it goes and refuses if that is not enough.
pub(crate) fn allow_descriptors(needed: u64) -> Result<(), Failure> {
    let doing = "raise the descriptor limit";
    let (_, limit) =
        getrlimit(Resource::RLIMIT_NOFILE).map_err(|errno| Failure::io(doing)(errno.into()))?;
    if limit < needed {
        return Err(Failure::Descriptors { limit, needed });
    }
    setrlimit(Resource::RLIMIT_NOFILE, limit, limit)
        .map_err(|errno| Failure::io(doing)(errno.into()))
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::io(path.display().to_string()))
}
