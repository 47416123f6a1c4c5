//! Runs tests, some at once, and reports as `cargo test` does. A test whose program is missing is
//! reported as ignored, with the reason.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Set when this process is root only in a user namespace.
const INSIDE: &str = "WARREN_TEST_IN_NAMESPACE";
/// Programs that become another user, who does not exist in a user namespace.
const NEED_ROOT: &[&str] = &[super::FRR];

/// They wait most of the time.
const AT_ONCE: usize = 4;

/// One test.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    /// Where it is.
    pub(crate) path: &'static str,
    /// The program without which it cannot run.
    pub(crate) needs: &'static str,
    /// What it does.
    pub(crate) run: fn(),
}

impl Test {
    /// As on the command line; the compiler writes spaces around the colons.
    fn name(&self) -> String {
        self.path.replace(' ', "")
    }
}

/// Runs what the command line selects.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .collect();
    let selects =
        |test: &&Test| words.is_empty() || words.iter().any(|w| test.name().contains(w.as_str()));
    let selected: Vec<&Test> = tests.iter().filter(selects).collect();
    if std::env::args().any(|word| word == "--list") {
        for test in &selected {
            println!("{}: test", test.name());
        }
        return ExitCode::SUCCESS;
    }
    let missing = become_root().err();
    println!("\nrunning {} tests", selected.len());
    let next = AtomicUsize::new(0);
    let counts = Mutex::new((0, 0, 0));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(test) = selected.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = one(test, missing.as_deref());
                    let mut counts = counts.lock().unwrap();
                    match outcome {
                        Some(true) => counts.0 += 1,
                        Some(false) => counts.1 += 1,
                        None => counts.2 += 1,
                    }
                }
            });
        }
    });
    let (passed, failed, skipped) = *counts.lock().unwrap();
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; \
         {} filtered out\n",
        tests.len() - selected.len()
    );
    ExitCode::from(u8::from(failed > 0))
}

/// `None`: skipped.
fn one(test: &Test, missing: Option<&str>) -> Option<bool> {
    let reason = missing.map(str::to_owned).or_else(|| lacking(test.needs));
    if let Some(reason) = reason {
        println!("test {} ... ignored, skipped: {reason}", test.name());
        return None;
    }
    let begun = Instant::now();
    // A thread of its own: the processes that it started end with it, whatever happens.
    let ended = std::thread::Builder::new()
        .name(test.name())
        .spawn(test.run)
        .unwrap()
        .join();
    let word = if ended.is_ok() { "ok" } else { "FAILED" };
    let took = begun.elapsed().as_secs_f32();
    println!("test {} ... {word} ({took:.1} s)", test.name());
    Some(ended.is_ok())
}

/// Why this program cannot run here.
fn lacking(program: &str) -> Option<String> {
    if !is_installed(program) {
        return Some(format!("there is no {program}"));
    }
    let inside = std::env::var_os(INSIDE).is_some();
    (inside && NEED_ROOT.contains(&program)).then(|| format!("{program} needs a real root"))
}

fn is_installed(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    places
        .iter()
        .any(|place| Path::new(place).join(program).exists())
}

/// Root in a user namespace of its own, if this process is not root. Fails with the reason.
fn become_root() -> Result<(), String> {
    if nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    if std::env::var_os(INSIDE).is_some() {
        return Err("the user namespace does not make us root".to_owned());
    }
    let unshare = ["--user", "--map-root-user", "--net"];
    let possible = Command::new("unshare").args(unshare).arg("true").status();
    if !possible.is_ok_and(|status| status.success()) {
        return Err("not root, and user namespaces are not allowed".to_owned());
    }
    let error = Command::new("unshare")
        .args(unshare)
        .args(std::env::args_os())
        .env(INSIDE, "1")
        .exec();
    Err(format!("cannot run unshare: {error}"))
}
