//! A year of elections on a virtual clock, and a list of broken state machines that it catches.
//!
//! The simulation (`election_simulation/`) needs speed, and must be able to fail: so this test
//! copies the pure files of `src/vrrp` and the simulation into a folder, compiles them with
//! optimisation as one program without dependencies, and runs that. For the broken machines it
//! replaces some text in the copies first.
//!
//!     cargo test --test election_simulation                       a year, and all broken machines
//!     WARREN_SIM_YEARS=100 cargo test --test election_simulation  as many years as you like
//!     WARREN_SIM_SEED=7 ...                                       begins with this seed
//!
//! A failure prints its seed; with SIM_TRACE in the environment every transition is told.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

#[path = "election_simulation/broken.rs"]
mod broken;

use broken::{BROKEN, Broken};

/// A broken machine must be caught within so many seeds, all of which the unbroken one passes.
const SEEDS: &str = "30";

/// What the pure files need of the configuration.
const CONFIG: &str = "
pub const OWNER: u8 = 255;
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VrrpVersion { V2, V3 }
pub mod units {
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Centiseconds(pub u16);
    impl Centiseconds {
        pub fn duration(self) -> std::time::Duration {
            std::time::Duration::from_millis(10 * u64::from(self.0))
        }
    }
}
";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Copies a file, with its text changed if it is the one that is to be broken.
fn copy(from: &Path, to: &Path, broken: Option<&Broken>) {
    let mut text = fs::read_to_string(from).unwrap();
    if let Some(broken) = broken
        && from.ends_with(broken.file)
    {
        let found = text.matches(broken.from).count();
        assert_eq!(
            found, 1,
            "`{}` is {found} times in {}",
            broken.from, broken.file
        );
        text = text.replace(broken.from, broken.to);
    }
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::write(to, text).unwrap();
}

/// Compiles the simulation in `folder` and returns the program, or the compiler's complaints.
fn build(folder: &Path, broken: Option<&Broken>) -> Result<PathBuf, String> {
    let (source, simulation) = (
        root().join("src/vrrp"),
        root().join("tests/election_simulation"),
    );
    let files = [
        "packet.rs",
        "receive.rs",
        "timing.rs",
        "router.rs",
        "router/state.rs",
        "router/backup.rs",
        "router/master.rs",
        "router/reconfigure.rs",
    ];
    for file in files {
        copy(&source.join(file), &folder.join("vrrp").join(file), broken);
    }
    for file in [
        "world.rs",
        "world/fault.rs",
        "world/oracle.rs",
        "world/rules.rs",
    ] {
        copy(&simulation.join(file), &folder.join(file), None);
    }
    let main = fs::read_to_string(simulation.join("simulate.rs")).unwrap();
    fs::write(
        folder.join("main.rs"),
        format!("{main}\nmod config;\nmod vrrp;\n"),
    )
    .unwrap();
    fs::write(folder.join("config.rs"), CONFIG).unwrap();
    let modules = "pub mod packet; pub mod receive; pub mod router; pub mod timing;";
    fs::write(folder.join("vrrp.rs"), modules).unwrap();
    let program = folder.join("simulate");
    let compiler = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(compiler)
        .args([
            "--edition",
            "2024",
            "-C",
            "opt-level=3",
            "-A",
            "warnings",
            "-o",
        ])
        .arg(&program)
        .arg(folder.join("main.rs"))
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(program),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn variable(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[test]
fn a_year_in_which_every_rule_holds() {
    let folder = tempfile::tempdir().unwrap();
    let program = build(folder.path(), None).unwrap();
    let (years, seed) = (
        variable("WARREN_SIM_YEARS", "1"),
        variable("WARREN_SIM_SEED", "1"),
    );
    let output = Command::new(program)
        .args([years.as_str(), seed.as_str(), "1000000000"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    print!("{text}");
    assert!(output.status.success(), "{text}");
    let simulated: f64 = text.split(' ').next().unwrap().parse().unwrap();
    assert!(simulated >= years.parse().unwrap(), "{text}");
}

/// Each within the same seeds that the unbroken one passes, and by the rule that is meant for it.
#[test]
fn every_broken_machine_is_caught() {
    assert!(BROKEN.len() >= 40);
    let unbroken = std::iter::once(None);
    let all: Vec<Option<&Broken>> = unbroken.chain(BROKEN.iter().map(Some)).collect();
    let next = AtomicUsize::new(0);
    let missed = Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, |n| n.get().min(4));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                while let Some(broken) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let what = broken.map_or("not broken", |broken| broken.what);
                    match judge(*broken) {
                        Ok(said) => println!("{what}: {said}"),
                        Err(said) => missed.lock().unwrap().push(format!("{what}: {said}")),
                    }
                }
            });
        }
    });
    let missed = missed.into_inner().unwrap();
    assert!(missed.is_empty(), "within {SEEDS} seeds: {missed:#?}");
}

/// What the simulation says of a machine; an error when it should say something else.
fn judge(broken: Option<&Broken>) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let program = build(folder.path(), broken).unwrap();
    let output = Command::new("timeout")
        .arg("300")
        .arg(program)
        .args(["1000", "1", SEEDS])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = text.lines().last().unwrap_or_default().to_owned();
    // 1 is the simulation's own; `timeout` has 124.
    let as_wanted = match broken {
        None => output.status.success(),
        Some(broken) => output.status.code() == Some(1) && said.contains(broken.caught_by),
    };
    match as_wanted {
        true => Ok(said),
        false => Err(format!("{}, {said}", output.status)),
    }
}
