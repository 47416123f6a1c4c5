//! Test suites of other people's clients, run straight to a broker and through warren: the same
//! tests must pass.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use tokio::process::Command;

use crate::runner::Outcome;
use crate::warren_process::Warren;
use crate::world::{World, pool};

/// One run of one suite takes some seconds.
const RUN_LIMIT: Duration = Duration::from_secs(90);

/// How often a test that differed is run alone, on each way.
const AGAIN: usize = 8;

/// More tests than these do not differ because of a race.
const MANY: usize = 8;

/// A suite as `tests/clients/prepare` lays it out.
struct Suite {
    /// Its folder.
    folder: &'static str,
    /// What pytest is told: what to run, and what not.
    arguments: &'static [&'static str],
    /// So many tests pass at least; fewer, and the suite does not reach the broker.
    least: usize,
    /// Tells the suite to use a port of 127.0.0.1. No suite may have an address of its own left:
    /// the defaults of some name public servers.
    point: fn(&mut Command, &Path, u16),
}

/// py-amqp without its TLS tests.
const PY_AMQP: Suite = Suite {
    folder: "amqp-5.4.2",
    arguments: &["t/integration/test_rmq.py", "-k", "not TLS and not tls"],
    least: 10,
    point: |command, _, port| {
        command
            .env("RABBITMQ_HOST", "127.0.0.1")
            .env("RABBITMQ_5672_TCP", port.to_string())
            // Nobody listens there.
            .env("RABBITMQ_5671_TCP", "1");
    },
};

/// aiorabbit, which reads its address from a file.
const AIORABBIT: Suite = Suite {
    folder: "aiorabbit-1.0.3",
    arguments: &["tests"],
    least: 150,
    point: |_, folder, port| {
        let line = format!("export RABBITMQ_URI=amqp://guest:guest@127.0.0.1:{port}/%2f\n");
        std::fs::write(folder.join("build/test-environment"), line).expect("write the address");
    },
};

pub(crate) async fn py_amqp(world: &World) -> Outcome {
    PY_AMQP.compare(world).await
}

pub(crate) async fn aiorabbit(world: &World) -> Outcome {
    AIORABBIT.compare(world).await
}

impl Suite {
    async fn compare(&self, world: &World) -> Outcome {
        let clients = match prepare().await {
            Ok(folder) => folder,
            Err(reason) => return Outcome::Skipped(reason),
        };
        let node = &world.pair().await.nodes[0];
        let warren = Warren::start(&pool(std::slice::from_ref(node), ""), &["lone1"]).await;
        let before = warren.total("lone1");
        let all = self.arguments;
        let straight = self.passing(&clients, node.port, all).await;
        let through = self.passing(&clients, warren.port, all).await;
        println!(
            "  {}: {} tests pass straight, {} through warren",
            self.folder,
            straight.len(),
            through.len()
        );
        assert!(
            straight.len() >= self.least,
            "most tests fail without warren"
        );
        let differing = &straight ^ &through;
        assert!(differing.len() <= MANY, "no accident: {differing:#?}");
        for test in &differing {
            self.compare_again(&clients, node.port, warren.port, test)
                .await;
        }
        assert!(
            warren.total("lone1") > before,
            "the suite went through warren"
        );
        warren.stop().await;
        Outcome::Passed
    }

    /// Some tests race against the broker, whoever is between: see [`alike`].
    async fn compare_again(&self, clients: &Path, straight: u16, through: u16, test: &str) {
        let mut passed = [0, 0];
        for _ in 0..AGAIN {
            for (passed, port) in passed.iter_mut().zip([straight, through]) {
                let alone = self.passing(clients, port, &[test]).await;
                *passed += usize::from(alone.contains(test));
            }
        }
        println!(
            "  differing: {test}: {} of {AGAIN} pass straight, {} through warren",
            passed[0], passed[1]
        );
        assert!(alike(passed[0], passed[1]), "{test}: {passed:?} of {AGAIN}");
    }

    /// The names of the tests that pass against a port, among those that `tests` selects.
    async fn passing(&self, clients: &Path, port: u16, tests: &[&str]) -> BTreeSet<String> {
        let folder = clients.join(self.folder);
        let mut command = Command::new(clients.join("venv/bin/python"));
        command
            .args(["-m", "pytest", "-q", "-rp", "-p", "no:cacheprovider"])
            .args(tests)
            .current_dir(&folder)
            .env_clear()
            .env("HOME", clients)
            .env("PATH", "/usr/bin:/bin")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .kill_on_drop(true);
        (self.point)(&mut command, &folder, port);
        let run = tokio::time::timeout(RUN_LIMIT, command.output()).await;
        let output = run.expect("the suite ends in time").expect("start python");
        let text = String::from_utf8_lossy(&output.stdout);
        // pytest's 0: all passed; 1: some failed. Anything else says nothing about the tests.
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "pytest: {text}"
        );
        text.lines()
            .filter_map(|line| line.strip_prefix("PASSED "))
            .map(str::to_owned)
            .collect()
    }
}

/// Whether a test behaves the same on both ways, by how many times of [`AGAIN`] it passed. One that
/// always passes without warren must always pass through it; one that races must do so on both
/// ways, and about as often.
const fn alike(straight: usize, through: usize) -> bool {
    let steady = straight == 0 || straight == AGAIN;
    straight == through || (!steady && straight.abs_diff(through) <= AGAIN / 2)
}

const _: () = {
    assert!(alike(AGAIN, AGAIN) && alike(0, 0) && alike(AGAIN - 1, AGAIN - 2) && alike(1, 0));
    assert!(!alike(AGAIN, AGAIN - 1), "a fault now and then");
    assert!(!alike(AGAIN - 1, 0), "always, in a test that races");
    assert!(!alike(0, AGAIN), "a test that passes only through warren");
};

/// Fetches the suites and returns their folder, or why they cannot be had.
async fn prepare() -> Result<PathBuf, String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/prepare");
    let output = Command::new(script)
        .arg(&folder)
        .kill_on_drop(true)
        .output()
        .await;
    match output {
        Ok(Output { status, .. }) if status.success() => Ok(folder),
        Ok(Output { stderr, .. }) => {
            let text = String::from_utf8_lossy(&stderr);
            let last = text.lines().rfind(|line| !line.trim().is_empty());
            Err(format!(
                "the suites cannot be fetched: {}",
                last.unwrap_or("no reason given")
            ))
        }
        Err(error) => Err(format!("tests/clients/prepare: {error}")),
    }
}
