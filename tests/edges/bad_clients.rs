//! Clients that send nonsense, nothing, too much, or that go without a word.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use crate::warren::{Setup, Warren};
use crate::wire::{
    Server, address_of, connect, drain, expect_end, expect_reset, expect_reset_after_end,
    expect_silence, finish_writing, pair, pass, ping, reset, send, stuff,
};

const MIB: u64 = 1024 * 1024;

#[test]
fn garbage_passes_untouched() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let garbage: Vec<u8> = (0..=u8::MAX)
        .cycle()
        .map(|b| b.wrapping_mul(167))
        .take(70_001)
        .collect();
    pass(
        &mut client,
        &mut at_server,
        b"GET / HTTP/1.1\r\n\r\n\0\xff\xfe",
    );
    let sent = garbage.clone();
    let sending = thread::spawn(move || {
        client.write_all(&sent).unwrap();
        client
    });
    let mut came = vec![0; garbage.len()];
    at_server.read_exact(&mut came).unwrap();
    assert!(came == garbage);
    let client = sending.join().unwrap();
    let address = address_of(&client);
    drop(client);
    expect_end(&mut at_server);
    drop(at_server);
    assert_eq!(warren.ending(address), "client-closed");
    warren.finish(&[&server]);
}

#[test]
fn a_silent_client_is_kept() {
    let server = Server::start();
    let warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    expect_silence(&mut at_server, Duration::from_secs(3));
    expect_silence(&mut client, Duration::from_secs(1));
    ping(&mut client, &mut at_server, b"after all");
    assert!(warren.accounts().is_empty());
    drop((client, at_server));
    warren.finish(&[&server]);
}

#[test]
fn a_flood_into_a_stalled_server_is_bounded_and_arrives_whole() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    let before = warren.process("VmRSS");
    let stuffed = stuff(&mut client);
    thread::sleep(Duration::from_millis(500));
    let grown = warren.process("VmRSS").saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} kB more while the server stalls");
    let total = 256 * MIB;
    let sending = thread::spawn(move || {
        send(&mut client, 7, total - stuffed);
        finish_writing(&client);
        expect_end(&mut client);
    });
    assert_eq!(drain(&mut at_server, 7), total);
    drop(at_server);
    sending.join().unwrap();
    let account = warren.account(address);
    assert_eq!(account["bytes_to_server"], total);
    assert_eq!(account["ending"], "client-closed");
    warren.finish(&[&server]);
}

#[test]
fn a_stalled_reader_disturbs_nobody_else() {
    let server = Server::start();
    let setup = Setup {
        global: "workers = 1",
        ..Setup::of(&[&server])
    };
    let warren = Warren::start(&setup);
    let (mut stalled, at_server) = pair(&warren, &server);
    stuff(&mut stalled);
    let (mut client, mut other) = pair(&warren, &server);
    let start = Instant::now();
    for _ in 0..200 {
        ping(&mut client, &mut other, b"round and round");
    }
    let took = start.elapsed();
    assert!(
        took < Duration::from_secs(4),
        "200 round trips took {took:?}"
    );
    drop((client, other));
    reset(stalled);
    drop(at_server);
    warren.finish(&[&server]);
}

#[test]
fn a_client_that_resets_is_passed_on_as_reset() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    ping(&mut client, &mut at_server, b"hello");
    reset(client);
    expect_reset(&mut at_server);
    let account = warren.account(address);
    assert_eq!(account["ending"], "client-reset");
    assert_eq!(account["by"], "client");
    assert_eq!(account["during"], "relaying");
    assert_eq!(account["code"], "CD");
    warren.finish(&[&server]);
}

#[test]
fn a_server_that_resets_is_passed_on_as_reset() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    ping(&mut client, &mut at_server, b"hello");
    reset(at_server);
    expect_reset(&mut client);
    let account = warren.account(address);
    assert_eq!(account["ending"], "server-reset");
    assert_eq!(account["by"], "server");
    assert_eq!(account["code"], "SD");
    warren.finish(&[&server]);
}

#[test]
fn a_client_that_has_said_all_still_gets_megabytes() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    client.write_all(b"all of it").unwrap();
    finish_writing(&client);
    at_server.read_exact(&mut [0; 9]).unwrap();
    expect_end(&mut at_server);
    let sending = thread::spawn(move || send(&mut at_server, 9, 20 * MIB));
    assert_eq!(drain(&mut client, 9), 20 * MIB);
    sending.join().unwrap();
    let account = warren.account(address);
    assert_eq!(account["ending"], "client-closed");
    assert_eq!(account["bytes_to_client"], 20 * MIB);
    warren.finish(&[&server]);
}

#[test]
fn a_server_that_has_said_all_still_gets_megabytes() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    at_server.write_all(b"all of it").unwrap();
    finish_writing(&at_server);
    client.read_exact(&mut [0; 9]).unwrap();
    expect_end(&mut client);
    let sending = thread::spawn(move || send(&mut client, 9, 20 * MIB));
    assert_eq!(drain(&mut at_server, 9), 20 * MIB);
    drop(at_server);
    sending.join().unwrap();
    let account = warren.account(address);
    assert_eq!(account["ending"], "server-closed");
    assert_eq!(account["bytes_to_server"], 20 * MIB);
    warren.finish(&[&server]);
}

#[test]
fn a_reset_is_noticed_while_the_server_stalls() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    stuff(&mut client);
    let since = Instant::now();
    reset(client);
    assert_eq!(warren.ending(address), "client-reset");
    let took = since.elapsed();
    assert!(took < Duration::from_secs(5), "noticed after {took:?}");
    expect_reset(&mut at_server);
    warren.finish(&[&server]);
}

#[test]
fn a_client_that_resets_in_the_queue_leaves_it() {
    let server = Server::start();
    let setup = Setup {
        servers: format!(
            "a = {{ address = \"{}\", max_connections = 1 }}",
            server.address
        ),
        pool: "queue_timeout = \"1m\"",
        ..Setup::default()
    };
    let mut warren = Warren::start(&setup);
    let (first, at_server) = pair(&warren, &server);
    let waiting = connect(&warren);
    let address = address_of(&waiting);
    warren.until("it waits", |warren| (warren.queued() == 1).then_some(()));
    reset(waiting);
    let account = warren.account(address);
    assert_eq!(account["ending"], "client-reset");
    assert_eq!(account["during"], "choosing");
    assert_eq!(account["code"], "CQ");
    assert_eq!(account["server"], "-");
    drop((first, at_server));
    warren.finish(&[&server]);
}

#[test]
fn a_client_that_closes_in_the_queue_without_a_word_leaves_it() {
    let server = Server::start();
    let setup = Setup {
        servers: format!(
            "a = {{ address = \"{}\", max_connections = 1 }}",
            server.address
        ),
        pool: "queue_timeout = \"1m\"",
        ..Setup::default()
    };
    let mut warren = Warren::start(&setup);
    let (first, at_server) = pair(&warren, &server);
    let silent = connect(&warren);
    let mut spoken = connect(&warren);
    spoken.write_all(b"a question").unwrap();
    warren.until("they wait", |warren| (warren.queued() == 2).then_some(()));
    let address = address_of(&silent);
    drop(silent);
    finish_writing(&spoken);
    let account = warren.account(address);
    assert_eq!(account["ending"], "client-closed");
    assert_eq!(account["during"], "choosing");
    assert_eq!(account["code"], "CQ");
    assert_eq!(account["server"], "-");
    drop((first, at_server));
    // Who said something before it closed its half is served.
    let mut at_server = server.accept();
    let mut question = [0; 10];
    at_server.read_exact(&mut question).unwrap();
    assert_eq!(&question, b"a question");
    expect_end(&mut at_server);
    at_server.write_all(b"an answer").unwrap();
    drop(at_server);
    let mut answer = String::new();
    spoken.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "an answer");
    warren.finish(&[&server]);
}

#[test]
fn a_reset_after_the_last_byte_is_noticed() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    ping(&mut client, &mut at_server, b"hello");
    finish_writing(&client);
    expect_end(&mut at_server);
    // Past the one look that every connection gets.
    thread::sleep(Duration::from_millis(2500));
    reset(client);
    let account = warren.account(address);
    assert_eq!(account["ending"], "client-reset");
    expect_reset_after_end(&at_server);
    warren.finish(&[&server]);
}

#[test]
fn a_servers_reset_after_its_last_byte_is_noticed() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    ping(&mut client, &mut at_server, b"hello");
    finish_writing(&at_server);
    expect_end(&mut client);
    thread::sleep(Duration::from_millis(2500));
    reset(at_server);
    assert_eq!(warren.ending(address), "server-reset");
    expect_reset_after_end(&client);
    warren.finish(&[&server]);
}

#[test]
fn a_servers_reset_is_noticed_while_the_client_stalls() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    stuff(&mut at_server);
    reset(at_server);
    assert_eq!(warren.ending(address), "server-reset");
    expect_reset(&mut client);
    warren.finish(&[&server]);
}

#[test]
fn a_storm_of_resets_leaves_nothing() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    for round in 0..1000 {
        reset(connect(&warren));
        if round % 50 == 0 {
            ping(&mut client, &mut at_server, b"undisturbed");
            while server.accept_now().is_some() {}
        }
    }
    drop((client, at_server));
    warren.settle();
    while server.accept_now().is_some() {}
    warren.finish(&[&server]);
}

#[test]
fn an_answer_long_after_the_last_byte_arrives_whole() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    for client_first in [true, false] {
        let (client, at_server) = pair(&warren, &server);
        let address = address_of(&client);
        let (mut first, mut last) = match client_first {
            true => (client, at_server),
            false => (at_server, client),
        };
        first.write_all(b"question").unwrap();
        finish_writing(&first);
        last.read_exact(&mut [0; 8]).unwrap();
        expect_end(&mut last);
        // Long enough for the sweep to call the connection quiet.
        thread::sleep(Duration::from_secs(4));
        last.write_all(b"answer").unwrap();
        drop(last);
        first.read_exact(&mut [0; 6]).unwrap();
        expect_end(&mut first);
        let ending = if client_first {
            "client-closed"
        } else {
            "server-closed"
        };
        assert_eq!(warren.ending(address), ending);
    }
    warren.finish(&[&server]);
}
