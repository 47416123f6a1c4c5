//! Child processes that cannot outlive the benchmark, and the few words they exchange with it.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use nix::unistd::{Pid, getppid};

use crate::failure::Failure;

/// Tells a child the file of its network namespace.
const NAMESPACE: &str = "COMPARE_NAMESPACE";

/// Tells a child how many threads, and so CPUs, a balancer has.
const THREADS: &str = "COMPARE_THREADS";

static THREADS_OF_A_BALANCER: AtomicUsize = AtomicUsize::new(1);

/// A child that is killed when this value goes, and by the kernel when the benchmark itself dies
/// of anything, Ctrl-C and panics included.
#[derive(Debug)]
pub(crate) struct Guarded(Child);

impl Guarded {
    /// Starts `program` on the CPUs of a side, in a network namespace or in ours, with both outputs
    /// going to `output`.
    pub(crate) fn start(
        program: &OsStr,
        arguments: &[OsString],
        output: &File,
        side: Side,
        namespace: Option<&Path>,
    ) -> Result<Self, Failure> {
        let doing = || format!("start {}", program.display());
        let copy = || output.try_clone().map_err(Failure::io(doing()));
        myself(namespace)?
            .arg("launch")
            .arg(side.name())
            .arg("--")
            .arg(program)
            .args(arguments)
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(copy()?)
            .stderr(copy()?)
            .spawn()
            .map(Self)
            .map_err(Failure::io(doing()))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Whether the child has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Waits until it ends, which somebody must have asked it to do.
    pub(crate) fn wait(&mut self) -> Result<(), Failure> {
        self.0
            .wait()
            .map(drop)
            .map_err(Failure::io("wait for a child"))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to kill.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The other side of [`Guarded::start`]: turns this process into the command.
///
/// A separate step because the death signal must be set in the child, and the process id must
/// stay that of the program that is measured.
pub(crate) fn launch(side: Side, command: &[OsString]) -> Result<(), Failure> {
    prepare(side)?;
    let (program, arguments) = command.split_first().ok_or_else(|| Failure::Early {
        role: "launch without a command".into(),
    })?;
    let error = Command::new(program).args(arguments).exec();
    Err(Failure::Io {
        doing: format!("start {}", program.display()),
        source: error,
    })
}

/// A client, a server or the keeper of a namespace: this binary again, spoken to in lines.
#[derive(Debug)]
pub(crate) struct Worker {
    role: String,
    child: Guarded,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts `load` with these arguments, the first of which is the role.
    pub(crate) fn load(arguments: &[String], namespace: Option<&Path>) -> Result<Self, Failure> {
        let words = [&["load".to_owned()], arguments].concat();
        Self::start(&words, namespace)
    }

    /// Starts this binary again, in a network namespace or in ours.
    pub(crate) fn start(arguments: &[String], namespace: Option<&Path>) -> Result<Self, Failure> {
        let role = arguments.join(" ");
        let mut child = myself(namespace)?
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(Failure::io(format!("start {role}")))?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let child = Guarded(child);
        let from = from.ok_or_else(|| Failure::Early { role: role.clone() })?;
        Ok(Self {
            role,
            child,
            to,
            from: BufReader::new(from),
        })
    }

    /// Waits for one line from the worker. Workers give up by themselves when traffic stalls, so
    /// this needs no time limit.
    pub(crate) fn hear(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.from.read_line(&mut line) {
            Ok(0) | Err(_) => Err(self.early()),
            Ok(_) => Ok(line.trim_end().to_owned()),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Tells the worker to go on.
    pub(crate) fn go(&mut self) -> Result<(), Failure> {
        let told = self.to.as_mut().map(|to| to.write_all(b"go\n"));
        match told {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(self.early()),
        }
    }

    /// Lets the worker close what it holds and waits until it has.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        drop(self.to.take());
        self.child.wait()
    }

    /// The worker did not say what it should have.
    pub(crate) fn early(&self) -> Failure {
        Failure::Early {
            role: self.role.clone(),
        }
    }
}

/// Who a child is, which decides where it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Side {
    Balancer,
    Load,
}

impl Side {
    const fn name(self) -> &'static str {
        match self {
            Self::Balancer => "balancer",
            Self::Load => "load",
        }
    }
}

/// Asks the kernel to kill this process when the one that started it dies.
pub(crate) fn die_with_parent() -> Result<(), Failure> {
    let parent = getppid();
    set_pdeathsig(Signal::SIGKILL).map_err(|errno| Failure::io("prepare a child")(errno.into()))?;
    // It may have died just before, and then the signal never comes.
    if getppid() != parent {
        return Err(Failure::Early {
            role: "benchmark".into(),
        });
    }
    Ok(())
}

/// What every child does first: see [`die_with_parent`], and move to the CPUs of its side.
pub(crate) fn prepare(side: Side) -> Result<(), Failure> {
    let doing = || Failure::io("prepare a child");
    die_with_parent()?;
    if let Some(path) = env::var_os(NAMESPACE) {
        let namespace = File::open(path).map_err(doing())?;
        setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| doing()(errno.into()))?;
    }
    keep_to_side(side).map_err(|errno| doing()(errno.into()))
}

/// Gives the balancer the last CPUs, one per thread, and the load generator all others, if there
/// are any.
///
/// Left to the scheduler, a balancer shares its CPU with the client in one run and with nobody in
/// the next. The same binary then differs from itself by a factor of three in the row with one
/// connection, and by a third in the others.
fn keep_to_side(side: Side) -> nix::Result<()> {
    let itself = Pid::from_raw(0);
    let allowed = allowed_cpus()?;
    let threads = env::var(THREADS).ok().and_then(|text| text.parse().ok());
    let others = allowed.len().saturating_sub(threads.unwrap_or(1));
    if others == 0 {
        return Ok(());
    }
    let chosen = match side {
        Side::Balancer => &allowed[others..],
        Side::Load => &allowed[..others],
    };
    let mut cpus = CpuSet::new();
    chosen.iter().try_for_each(|cpu| cpus.set(*cpu))?;
    sched_setaffinity(itself, &cpus)
}

/// The CPUs that this process may run on.
pub(crate) fn allowed_cpus() -> nix::Result<Vec<usize>> {
    let cpus = sched_getaffinity(Pid::from_raw(0))?;
    Ok((0..CpuSet::count())
        .filter(|cpu| cpus.is_set(*cpu) == Ok(true))
        .collect())
}

/// Tells all children from now on how many threads a balancer has.
pub(crate) fn set_threads(threads: usize) {
    THREADS_OF_A_BALANCER.store(threads, Ordering::Relaxed);
}

fn myself(namespace: Option<&Path>) -> Result<Command, Failure> {
    let program = env::current_exe().map_err(Failure::io("find this program"))?;
    let mut command = Command::new(program);
    let threads = THREADS_OF_A_BALANCER.load(Ordering::Relaxed);
    command.env(THREADS, threads.to_string());
    if let Some(namespace) = namespace {
        command.env(NAMESPACE, namespace);
    }
    Ok(command)
}
