//! No descriptor left, or an accept(2) that fails for whatever reason: the running process neither
//! spins nor gives up.

use std::io::{Read, Write};
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::system_calls::Strace;
use crate::warren::{Setup, Warren};
use crate::wire::{Server, address_of, connect, expect_reset, expect_silence, pair, ping};

/// Sets the soft limit, which is all that the kernel looks at; the hard one stays.
fn limit(warren: &Warren, descriptors: u64) {
    let status = Command::new("prlimit")
        .arg(format!("--nofile={descriptors}:"))
        .args(["--pid", &warren.id().to_string()])
        .status()
        .expect("prlimit is part of util-linux");
    assert!(status.success());
}

fn soft_limit(warren: &Warren) -> u64 {
    warren.status()["descriptors"].as_u64().unwrap()
}

#[test]
fn without_descriptors_accepting_waits_and_does_not_spin() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup {
        complaints: &["cannot accept"],
        ..Setup::of(&[&server])
    });
    let before = soft_limit(&warren);
    let (mut client, mut at_server) = pair(&warren, &server);
    ping(&mut client, &mut at_server, b"hello");
    // New descriptors get the lowest free number, which must be below the limit.
    limit(&warren, warren.lowest_free_descriptor());
    let mut refused: Vec<_> = (0..10).map(|_| connect(&warren)).collect();
    thread::sleep(Duration::from_millis(200));
    let cpu = warren.cpu();
    thread::sleep(Duration::from_secs(2));
    let used = warren.cpu() - cpu;
    assert!(
        used < Duration::from_millis(300),
        "{used:?} of CPU in two seconds"
    );
    ping(&mut client, &mut at_server, b"undisturbed");
    assert!(server.accept_now().is_none());
    expect_silence(&mut refused[0], Duration::from_millis(10));
    limit(&warren, before);
    // They have waited in the backlog.
    for client in &mut refused {
        client.write_all(b"hello").unwrap();
    }
    for _ in &refused {
        let mut at_server = server.accept();
        at_server.read_exact(&mut [0; 5]).unwrap();
        at_server.write_all(b"hello").unwrap();
    }
    for client in &mut refused {
        client.read_exact(&mut [0; 5]).unwrap();
    }
    let lines = warren.lines();
    let complaints = lines.iter().filter(|line| {
        line["level"] == "ERROR" && line["message"].as_str().unwrap().contains("cannot accept")
    });
    let complaints = complaints.count();
    // Each of two workers may complain once a second, for a little over two seconds.
    assert!((1..=8).contains(&complaints), "{complaints} complaints");
    drop((refused, client, at_server));
    warren.settle();
    warren.finish(&[&server]);
}

#[test]
fn without_a_descriptor_for_the_server_the_client_is_reset() {
    let server = Server::start();
    let setup = Setup {
        global: "workers = 1",
        pool: "retries = 0",
        complaints: &["cannot accept"],
        ..Setup::of(&[&server])
    };
    let mut warren = Warren::start(&setup);
    let before = soft_limit(&warren);
    limit(&warren, warren.lowest_free_descriptor() + 1);
    let mut client = connect(&warren);
    expect_reset(&mut client);
    limit(&warren, before);
    let account = warren.account(address_of(&client));
    assert_eq!(account["ending"], "connect-failed");
    assert_eq!(account["by"], "us");
    assert_eq!(account["code"], "RC");
    warren.finish(&[&server]);
}

/// How accept(2) fails as long as strace wants it, and what is said of that.
fn accept_fails(error: &str, complaint: &'static str) -> Option<()> {
    let server = Server::start();
    let mut warren = Warren::start(&Setup {
        global: "workers = 1",
        complaints: &[complaint],
        ..Setup::of(&[&server])
    });
    let (mut client, mut at_server) = pair(&warren, &server);
    let inject = format!("inject=accept4:error={error}");
    let strace = Strace::attach(&warren, &["-e", "trace=accept4", "-e", &inject])?;
    let waiting = connect(&warren);
    thread::sleep(Duration::from_millis(500));
    let cpu = warren.cpu();
    thread::sleep(Duration::from_secs(2));
    let used = warren.cpu() - cpu;
    ping(&mut client, &mut at_server, b"undisturbed");
    let calls = strace.detach().matches("(INJECTED)").count();
    println!("  {error}: {calls} calls, {used:?} of CPU in two seconds");
    assert!((1..60).contains(&calls), "{calls} calls");
    assert!(used <= Duration::from_millis(100), "{used:?} of CPU");
    warren.until(complaint, |warren| {
        let is_it = |text: &str| text.contains(complaint);
        let lines = warren.lines();
        lines
            .iter()
            .any(|line| is_it(line["message"].as_str().unwrap()))
            .then_some(())
    });
    drop((client, at_server, waiting));
    warren.finish(&[&server]);
    Some(())
}

/// Cases 17 and 18 of the fault catalogue.
#[test]
fn an_accept_that_is_not_allowed_pauses() {
    accept_fails("EPERM", "cannot accept: Operation not permitted");
}

#[test]
fn an_accept_without_memory_pauses() {
    accept_fails("ENOBUFS", "cannot accept: No buffer space");
    accept_fails("ENOMEM", "cannot accept: Cannot allocate");
}

#[test]
fn a_broken_listener_is_bound_anew() {
    accept_fails("EINVAL", "is broken: Invalid argument");
}
