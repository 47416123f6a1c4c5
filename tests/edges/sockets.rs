//! What the kernel says of our sockets.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::skip::skip;
use crate::warren::{Setup, Warren};
use crate::wire::{Server, pair, pass, ping};

/// `ss` with `filter`: one line per established connection, with its timer; `None` without ss.
fn ss(filter: &str) -> Option<String> {
    let output = Command::new("ss")
        .args(["-Htno", "state", "established", filter])
        .output();
    let Ok(output) = output else {
        skip("there is no ss");
        return None;
    };
    assert!(output.status.success(), "{output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn both_sides_have_keepalive() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    ping(&mut client, &mut at_server, b"hello");
    let sides = [
        format!("( sport = :{} )", warren.address.port()),
        format!("( dport = :{} )", server.address.port()),
    ];
    for filter in sides {
        let Some(_) = ss(&filter) else { return };
        // The side of the server gets its own with the first sweep.
        warren.until("a keepalive timer", |_| {
            let sockets = ss(&filter).unwrap();
            assert_eq!(sockets.lines().count(), 1, "{filter}: {sockets}");
            sockets.contains("timer:(keepalive").then_some(())
        });
    }
    drop((client, at_server));
    warren.finish(&[&server]);
}

#[test]
fn small_writes_do_not_wait_for_each_other() {
    let server = Server::start();
    let warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let start = Instant::now();
    for _ in 0..50 {
        // With Nagle's algorithm the second write of each side waits for a delayed ACK of 40 ms.
        pass(&mut client, &mut at_server, b"one");
        pass(&mut client, &mut at_server, b"two");
        pass(&mut at_server, &mut client, b"one");
        pass(&mut at_server, &mut client, b"two");
    }
    let took = start.elapsed();
    assert!(took < Duration::from_secs(2), "50 exchanges took {took:?}");
    drop((client, at_server));
    warren.finish(&[&server]);
}
