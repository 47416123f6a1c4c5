//! Runs tests one after the other on the main thread and reports as `cargo test` does.
//!
//! The usual test harness gives each test a thread of its own, but a broker is killed by the
//! kernel when the thread that started it ends, so all of them must be started by one that stays.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::{Duration, Instant};

/// A future on the main thread.
pub(crate) type Running<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// How a test ended, unless it panicked.
pub(crate) enum Outcome {
    /// Everything held.
    Passed,
    /// It could not be tried here, for this reason.
    Skipped(String),
}

/// One test; `W` is what tests share.
pub(crate) struct Test<W: 'static> {
    /// As on the command line.
    pub(crate) name: &'static str,
    /// After this it has failed.
    pub(crate) limit: Duration,
    /// What it does.
    pub(crate) run: for<'a> fn(&'a W) -> Running<'a, Outcome>,
}

/// What the command line asks for: a test runs when its name contains one of the words, or there
/// are none.
struct Arguments {
    words: Vec<String>,
    list: bool,
}

/// Runs the tests that the command line selects.
pub(crate) async fn run<W>(world: &W, tests: &[Test<W>]) -> ExitCode {
    let arguments = arguments();
    let selected: Vec<&Test<W>> = tests
        .iter()
        .filter(|test| selects(&arguments.words, test.name))
        .collect();
    if arguments.list {
        for test in &selected {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }

    println!("\nrunning {} tests", selected.len());
    let start = Instant::now();
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for test in &selected {
        let begun = Instant::now();
        let result = outcome(world, test).await;
        let took = begun.elapsed().as_secs_f32();
        match result {
            Ok(Outcome::Passed) => {
                passed += 1;
                println!("test {} ... ok ({took:.1} s)", test.name);
            }
            Ok(Outcome::Skipped(reason)) => {
                skipped += 1;
                println!("test {} ... ignored, skipped: {reason}", test.name);
            }
            Err(problem) => {
                failed += 1;
                println!("test {} ... FAILED ({took:.1} s)\n{problem}", test.name);
            }
        }
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; \
         {} filtered out; finished in {:.2}s\n",
        tests.len() - selected.len(),
        start.elapsed().as_secs_f32(),
    );
    ExitCode::from(u8::from(failed > 0))
}

fn selects(words: &[String], name: &str) -> bool {
    words.is_empty() || words.iter().any(|word| name.contains(word.as_str()))
}

fn arguments() -> Arguments {
    let all: Vec<String> = std::env::args().skip(1).collect();
    Arguments {
        list: all.iter().any(|argument| argument == "--list"),
        words: all
            .into_iter()
            .filter(|argument| !argument.starts_with('-'))
            .collect(),
    }
}

/// A panic fails one test, not the run.
async fn outcome<W>(world: &W, test: &Test<W>) -> Result<Outcome, String> {
    let mut body = (test.run)(world);
    let caught = std::future::poll_fn(|context| {
        match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
            // The hook has already printed the message.
            Err(_) => Poll::Ready(Err("panicked, see above".to_owned())),
        }
    });
    match tokio::time::timeout(test.limit, caught).await {
        Ok(result) => result,
        Err(_) => Err(format!("not done after {:?}", test.limit)),
    }
}
