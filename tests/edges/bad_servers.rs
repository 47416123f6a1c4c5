//! Servers that refuse, swallow, stay silent, hang up, or are not there at all.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::ports::free_port;
use crate::warren::{Setup, Warren};
use crate::wire::{
    Server, address_of, connect, expect_end, expect_reset, expect_silence, pair, ping,
};

/// Nobody listens here.
fn refusing() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

/// A server whose queue is full: the kernel ignores every further SYN.
struct BlackHole {
    address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl BlackHole {
    fn start() -> Self {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener
            .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
            .unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut queued = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let connected = socket.connect_timeout(&address, Duration::from_millis(300));
            queued.push(socket);
            if connected.is_err() {
                break;
            }
            assert!(queued.len() < 10, "the queue does not fill");
        }
        let address = address.as_socket().unwrap();
        Self {
            address,
            _listener: listener,
            _queued: queued,
        }
    }
}

fn start(servers: &[SocketAddr], pool: &str) -> Warren {
    let line = |(name, address): (char, &SocketAddr)| format!("{name} = \"{address}\"\n");
    Warren::start(&Setup {
        servers: ('a'..).zip(servers).map(line).collect(),
        pool,
        ..Setup::default()
    })
}

/// Clients are served although one of the servers is bad; each sees nothing of it.
fn served_elsewhere(bad: SocketAddr, pool: &str) -> Vec<serde_json::Value> {
    let server = Server::start();
    let pool = format!("balance = \"roundrobin\"\n{pool}");
    let mut warren = start(&[bad, server.address], &pool);
    for _ in 0..4 {
        let (mut client, mut at_server) = pair(&warren, &server);
        ping(&mut client, &mut at_server, b"hello");
        drop(client);
        expect_end(&mut at_server);
    }
    let accounts = warren.until("four accounts", |warren| {
        Some(warren.accounts()).filter(|accounts| accounts.len() == 4)
    });
    assert!(
        accounts.iter().all(|account| account["server"] == "b"),
        "{accounts:#?}"
    );
    let failed = warren.of_server("a", "/failed_attempts");
    let retries: u64 = accounts
        .iter()
        .map(|a| a["retries"].as_u64().unwrap())
        .sum();
    assert!(
        failed >= 2 && retries == failed,
        "{failed} failed, {retries} retries"
    );
    // HAProxy's difference: `wredis` counts those that went elsewhere, `wretr` those that stayed.
    for (name, counters) in [("a", [0, failed, 0]), ("b", [0, 0, 4])] {
        let counted = ["/retries", "/redispatches", "/sessions"];
        assert_eq!(
            counted.map(|field| warren.of_server(name, field)),
            counters,
            "{name}"
        );
    }
    warren.finish(&[&server]);
    accounts
}

#[test]
fn clients_of_a_server_that_refuses_go_to_another() {
    served_elsewhere(refusing(), "");
}

#[test]
fn clients_of_a_server_that_swallows_go_to_another() {
    let hole = BlackHole::start();
    let accounts = served_elsewhere(hole.address, "connect_timeout = \"300ms\"");
    let retried = accounts
        .iter()
        .find(|account| account["retries"] == 1)
        .unwrap();
    assert!(
        retried["connecting_ms"].as_f64().unwrap() >= 300.0,
        "{retried}"
    );
}

#[test]
fn refusals_everywhere_reset_the_client() {
    let mut warren = start(&[refusing(), refusing()], "retries = 1");
    let mut client = connect(&warren);
    let since = Instant::now();
    expect_reset(&mut client);
    assert!(since.elapsed() < Duration::from_secs(5));
    let account = warren.account(address_of(&client));
    assert_eq!(account["ending"], "connect-refused");
    assert_eq!(account["by"], "server");
    assert_eq!(account["during"], "connecting");
    assert_eq!(account["code"], "SC");
    assert_eq!(account["retries"], 1);
    warren.settle();
}

#[test]
fn refusals_of_the_only_server_end_after_the_retries() {
    let mut warren = start(&[refusing()], "retries = 2\nconnect_timeout = \"200ms\"");
    let mut client = connect(&warren);
    expect_reset(&mut client);
    let account = warren.account(address_of(&client));
    assert_eq!(account["ending"], "connect-refused");
    assert_eq!(account["retries"], 2);
    let counted = ["/attempts", "/failed_attempts", "/retries", "/redispatches"];
    let counted = counted.map(|field| warren.of_server("a", field));
    assert_eq!(counted, [3, 3, 2, 0]);
    assert_eq!(warren.of_server("a", "/connect_errors"), 1);
    warren.settle();
}

#[test]
fn a_server_that_swallows_alone_is_a_timeout() {
    let hole = BlackHole::start();
    let mut warren = start(&[hole.address], "retries = 0\nconnect_timeout = \"500ms\"");
    let mut client = connect(&warren);
    let since = Instant::now();
    expect_reset(&mut client);
    let took = since.elapsed();
    assert!(
        took >= Duration::from_millis(400) && took < Duration::from_secs(5),
        "{took:?}"
    );
    let account = warren.account(address_of(&client));
    assert_eq!(account["ending"], "connect-timeout");
    assert_eq!(account["code"], "sC");
    warren.settle();
}

#[test]
fn a_client_that_goes_while_its_server_swallows_ends_in_order() {
    let hole = BlackHole::start();
    let mut warren = start(&[hole.address], "retries = 0\nconnect_timeout = \"1m\"");
    let client = connect(&warren);
    let address = address_of(&client);
    std::thread::sleep(Duration::from_millis(300));
    crate::wire::reset(client);
    let account = warren.account(address);
    assert_eq!(account["ending"], "client-reset");
    assert_eq!(account["during"], "connecting");
    assert_eq!(account["code"], "CC");
    warren.settle();
}

#[test]
fn a_server_that_says_nothing_is_kept() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    client.write_all(b"AMQP\0\0\x09\x01").unwrap();
    expect_silence(&mut client, Duration::from_secs(3));
    assert!(warren.accounts().is_empty());
    at_server.write_all(b"late").unwrap();
    let mut came = [0; 4];
    std::io::Read::read_exact(&mut client, &mut came).unwrap();
    let address = address_of(&client);
    drop(client);
    drop(at_server);
    let account = warren.account(address);
    assert_eq!(account["bytes_to_server"], 8);
    assert_eq!(account["bytes_to_client"], 4);
    warren.finish(&[&server]);
}

#[test]
fn a_server_that_hangs_up_at_once_is_named() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, at_server) = pair(&warren, &server);
    drop(at_server);
    expect_end(&mut client);
    let address = address_of(&client);
    drop(client);
    let account = warren.account(address);
    assert_eq!(account["ending"], "server-closed");
    assert_eq!(account["by"], "server");
    assert_eq!(
        account["retries"], 0,
        "it had the connection: no other server may get it"
    );
    warren.finish(&[&server]);
}

#[test]
fn a_server_that_cannot_be_found_is_down() {
    let server = Server::start();
    let setup = Setup {
        servers: format!(
            "a = \"nonexistent.invalid:5672\"\nb = \"{}\"",
            server.address
        ),
        complaints: &["server changed"],
        ..Setup::default()
    };
    let warren = Warren::start(&setup);
    let status = warren.status();
    assert_eq!(status["pools"][0]["servers"][0]["state"], "down");
    for _ in 0..4 {
        let (mut client, mut at_server) = pair(&warren, &server);
        ping(&mut client, &mut at_server, b"hello");
    }
    warren.finish(&[&server]);
}

#[test]
fn without_a_server_that_can_be_found_clients_are_reset() {
    let setup = Setup {
        servers: "a = \"nonexistent.invalid:5672\"".to_owned(),
        complaints: &["server changed", "pool has no usable server"],
        ..Setup::default()
    };
    let mut warren = Warren::start(&setup);
    let mut client: TcpStream = connect(&warren);
    expect_reset(&mut client);
    let account = warren.account(address_of(&client));
    assert_eq!(account["ending"], "no-server");
    assert_eq!(account["server"], "-");
    assert_eq!(account["code"], "SC");
    warren.settle();
}

#[test]
fn a_server_may_be_a_name() {
    let server = Server::start();
    let setup = Setup {
        servers: format!("a = \"localhost:{}\"", server.address.port()),
        ..Setup::default()
    };
    Warren::start(&setup).finish(&[&server]);
}
