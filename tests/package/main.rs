//! The Debian package and the systemd unit, on machines with systemd as process 1, each in
//! namespaces of its own.
//!
//! Needs root, control groups of version 2, and cargo-deb; else every test is reported as skipped.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod deb;
mod install;
mod lan;
mod machine;
mod pair;
mod restart;
#[path = "../support/runner.rs"]
mod runner;
mod service;
mod traffic;

use std::process::ExitCode;
use std::time::Duration;

use deb::Packages;
use runner::{Outcome, Test};

/// What tests share: the packages, or why nothing can be tried.
pub(crate) type World = Result<Packages, String>;

/// A test of the packages.
macro_rules! test {
    ($module:ident::$name:ident) => {
        Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            limit: Duration::from_secs(300),
            run: |world: &World| {
                Box::pin(async move {
                    match world {
                        Ok(packages) => {
                            $module::$name(packages);
                            Outcome::Passed
                        }
                        Err(reason) => Outcome::Skipped(reason.clone()),
                    }
                })
            },
        }
    };
}

const TESTS: &[Test<World>] = &[
    test!(install::lintian_finds_nothing),
    test!(install::from_installation_to_purge),
    test!(restart::a_restart_refuses_nobody),
    test!(restart::a_killed_daemon_refuses_nobody),
    test!(restart::workers_and_addresses_may_change),
    test!(restart::a_reload_keeps_the_copies_in_step),
    test!(restart::what_shall_refuse_refuses),
    test!(pair::the_quick_start_works_as_printed),
    test!(pair::clients_who_came_to_a_dead_master_are_reset),
    test!(service::runs_without_privileges),
    test!(service::is_ready_when_the_first_checks_are_in),
    test!(service::reloads_in_two_steps),
    test!(service::is_killed_when_a_thread_stands_still),
];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let listing = std::env::args().any(|word| word == "--list");
    let world = if listing {
        Err(String::new())
    } else {
        Packages::build().and_then(|packages| match machine::impossible(&packages.folder) {
            Some(reason) => Err(reason),
            None => Ok(packages),
        })
    };
    runner::run(&world, TESTS).await
}
