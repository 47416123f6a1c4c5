//! A machine with systemd as process 1, in namespaces. Nothing of it is left when it is dropped.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long things may take that happen at once. The machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// A running machine.
pub(crate) struct Machine {
    /// `unshare`, whose end is the machine's.
    outside: Child,
    /// systemd, as this process sees it.
    init: Pid,
    group: PathBuf,
    log: PathBuf,
    _home: TempDir,
}

/// Why there can be no machine here, if so: found out by trying.
pub(crate) fn impossible(share: &Path) -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("not root".to_owned());
    }
    if !Path::new("/lib/systemd/systemd").exists() {
        return Some("systemd is not installed".to_owned());
    }
    if let Err(reason) = control_groups() {
        return Some(reason);
    }
    let machine = Machine::start("probe", share);
    let machine = machine.and_then(|machine| machine.is_up().map(|()| machine));
    machine
        .err()
        .map(|why| format!("systemd cannot run in a namespace here: {why}"))
}

/// A command that the kernel kills when the thread that starts it ends.
pub(crate) fn mortal(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// Where groups of version 2 are mounted.
fn control_groups() -> Result<PathBuf, String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let found = mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let place = words.next()?;
        (words.next()? == "cgroup2").then(|| PathBuf::from(place))
    });
    found.ok_or_else(|| "there are no control groups of version 2".to_owned())
}

impl Machine {
    /// A machine that has booted, with `share` as its `/srv`.
    pub(crate) fn boot(name: &str, share: &Path) -> Self {
        let machine = Self::start(name, share).unwrap();
        machine.is_up().unwrap();
        machine
    }

    fn start(name: &str, share: &Path) -> Result<Self, String> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let group = format!("warren-test-{}-{number}", std::process::id());
        let group = control_groups()?.join(group);
        fs::create_dir(&group).map_err(|error| format!("no control group: {error}"))?;
        let home = tempfile::tempdir().unwrap();
        let log = home.path().join("log");
        let output = File::create(&log).unwrap();
        let boot = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/package/boot");
        let mut command = mortal(boot);
        command.arg(&group).arg(share).arg(name);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(Stdio::null());
        command.stdout(output.try_clone().unwrap()).stderr(output);
        let mut machine = Self {
            outside: command.spawn().unwrap(),
            init: Pid::from_raw(0),
            group,
            log,
            _home: home,
        };
        machine.init = machine.find_init()?;
        Ok(machine)
    }

    /// The only child of `unshare`, once it is systemd.
    fn find_init(&mut self) -> Result<Pid, String> {
        let id = self.outside.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let begun = Instant::now();
        loop {
            let child = fs::read_to_string(&children).unwrap_or_default();
            let name = fs::read_to_string(format!("/proc/{}/comm", child.trim()));
            if name.is_ok_and(|name| name == "systemd\n") {
                return Ok(Pid::from_raw(child.trim().parse().unwrap()));
            }
            if self.outside.try_wait().unwrap().is_some() || begun.elapsed() > SOON {
                return Err(self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn is_up(&self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let output = self.run("systemctl is-system-running");
            let state = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            // Some unit of this host may have failed; it is none of those that we need.
            if ["running", "degraded"].contains(&state.as_str()) {
                return Ok(());
            }
            if begun.elapsed() > SOON {
                return Err(format!("it is {state:?} after {SOON:?}\n{}", self.log()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// A shell inside that runs `script` as root, for two minutes at most.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = mortal("nsenter");
        let init = self.init.to_string();
        command.args([
            "-t", &init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
        ]);
        command.args(["--root", "--wdns=/root", "--", "timeout", "120"]);
        command.args(["/bin/bash", "-c", script]).env_clear();
        command.env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.env("LC_ALL", "C.UTF-8").env("SYSTEMD_PAGER", "");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command.stdin(Stdio::null());
        command
    }

    /// Runs `script` to its end.
    pub(crate) fn run(&self, script: &str) -> Output {
        self.command(script).output().unwrap()
    }

    /// Runs `script`, which has to succeed, and returns what it wrote, without the last line break.
    pub(crate) fn ok(&self, script: &str) -> String {
        let output = self.run(script);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let status = output.status;
        assert!(
            status.success(),
            "{script}\n{:?} {:?}\n{out}{err}{}",
            status.code(),
            status.signal(),
            self.journal()
        );
        out.trim_end().to_owned()
    }

    /// Runs `script`, which has to fail, and returns all that it wrote.
    pub(crate) fn fails(&self, script: &str) -> String {
        let output = self.run(&format!("exec 2>&1; {script}"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(!output.status.success(), "{script}\n{text}");
        text
    }

    /// Asks until there is an answer.
    pub(crate) fn until<T>(&self, what: &str, mut question: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = question() {
                return answer;
            }
            assert!(
                begun.elapsed() < SOON,
                "not within {SOON:?}: {what}\n{}",
                self.journal()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the unit has logged, and what systemd has to say about it.
    pub(crate) fn journal(&self) -> String {
        let output = self.run("journalctl --unit warren --output cat --no-pager --lines 200");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// A property of `warren.service`.
    pub(crate) fn property(&self, name: &str) -> String {
        self.property_of("warren", name)
    }

    /// A property of a unit.
    pub(crate) fn property_of(&self, unit: &str, name: &str) -> String {
        self.ok(&format!("systemctl show {unit} --property {name} --value"))
    }

    /// The process of `warren.service`, as this process sees it; `None` while there is none.
    pub(crate) fn daemon(&self) -> Option<Pid> {
        self.daemon_of("warren")
    }

    /// The same of another unit.
    pub(crate) fn daemon_of(&self, unit: &str) -> Option<Pid> {
        let inside = self.property_of(unit, "MainPID");
        if inside == "0" {
            return None;
        }
        // It is in the unit's control group, with the ids that we know.
        let file = format!("system.slice/{unit}.service/cgroup.procs");
        let file = self.group.join(file);
        let ids = fs::read_to_string(file).ok()?;
        ids.lines().find_map(|id| {
            let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
            let line = status.lines().find(|line| line.starts_with("NSpid:"))?;
            let is_it = line.split_whitespace().last() == Some(&inside);
            is_it.then(|| Pid::from_raw(id.parse().unwrap()))
        })
    }

    /// Whose network namespace is the machine's.
    pub(crate) fn network(&self) -> Pid {
        self.init
    }
}

/// Runs `work` in a thread that is in the network namespace of a process.
pub(crate) fn in_network<T: Send + 'static>(
    of: Pid,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let network = File::open(format!("/proc/{of}/ns/net")).unwrap();
    std::thread::spawn(move || {
        setns(network, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The kernel kills everything in the machine with its process 1.
        if self.init.as_raw() > 0 {
            let _ = kill(self.init, Signal::SIGKILL);
        }
        let _ = self.outside.kill();
        let _ = self.outside.wait();
        let begun = Instant::now();
        while !remove_group(&self.group) && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Removes a control group with all below it; not while a process is in one of them.
fn remove_group(group: &Path) -> bool {
    let below = fs::read_dir(group).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.path().is_dir()) {
        remove_group(&entry.path());
    }
    fs::remove_dir(group).is_ok() || !group.exists()
}
