//! Counting a balancer's system calls from outside.

use std::fs::{self, File};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::failure::Failure;
use crate::process::{Guarded, Side};

/// strace, attached to all threads of a process.
#[derive(Debug)]
pub(crate) struct Strace {
    process: Guarded,
    folder: TempDir,
}

/// How often each system call was made, most frequent first.
pub(crate) type Counts = Vec<(String, u64)>;

const ATTACH_LIMIT: Duration = Duration::from_secs(5);
const ATTACH_STEP: Duration = Duration::from_millis(10);

impl Strace {
    /// Attaches and returns once every call is counted.
    pub(crate) fn attach(pid: u32) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(Failure::io("prepare strace"))?;
        let said = folder.path().join("said");
        let output = File::create(&said).map_err(Failure::io("prepare strace"))?;
        let counts = folder.path().join("counts");
        let arguments = ["-c", "-f", "-U", "calls,name", "-o"]
            .map(Into::into)
            .into_iter()
            .chain([counts.into(), "-p".into(), pid.to_string().into()])
            .collect::<Vec<_>>();
        let process = Guarded::start("strace".as_ref(), &arguments, &output, Side::Balancer, None)?;

        let mut strace = Self { process, folder };
        let deadline = Instant::now() + ATTACH_LIMIT;
        loop {
            let text = read(&said)?;
            if text.contains("attached") {
                return Ok(strace);
            }
            if strace.process.has_ended() || Instant::now() > deadline {
                return Err(Failure::Strace(text));
            }
            sleep(ATTACH_STEP);
        }
    }

    /// Detaches and returns what was counted.
    pub(crate) fn detach(mut self) -> Result<Counts, Failure> {
        let pid = i32::try_from(self.process.pid()).map_err(|e| Failure::Strace(e.to_string()))?;
        kill(Pid::from_raw(pid), Signal::SIGINT)
            .map_err(|errno| Failure::io("stop strace")(errno.into()))?;
        self.process.wait()?;
        parse(&read(&self.folder.path().join("counts"))?)
    }
}

/// Reads the two columns that `-U calls,name` asks for; headings and rules have no number.
fn parse(table: &str) -> Result<Counts, Failure> {
    let mut counts: Counts = table
        .lines()
        .filter_map(|line| {
            let (calls, name) = line.trim().split_once(char::is_whitespace)?;
            Some((name.trim().to_owned(), calls.parse().ok()?))
        })
        .filter(|(name, _)| name != "total")
        .collect();
    if counts.is_empty() {
        return Err(Failure::Strace(format!("no counts in its table:\n{table}")));
    }
    counts.sort_by_key(|(_, calls)| std::cmp::Reverse(*calls));
    Ok(counts)
}

fn read(path: &Path) -> Result<String, Failure> {
    fs::read_to_string(path).map_err(Failure::io(path.display().to_string()))
}
