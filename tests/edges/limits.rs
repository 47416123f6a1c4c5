//! Limits on connections, rates, queues and time; lists, backup servers and weights.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::warren::{Setup, Warren};
use crate::wire::{
    Server, address_of, connect, connect_from, expect_end, expect_reset, expect_silence, pair,
    pass, ping,
};

/// Two are served, the third waits in the backlog until one of them ends.
fn serves_two_at_once(setup: &Setup<'_>, server: &Server) {
    let mut warren = Warren::start(setup);
    let first = pair(&warren, server);
    let _second = pair(&warren, server);
    let mut third = connect(&warren);
    std::io::Write::write_all(&mut third, b"hello").unwrap();
    assert!(server.accept_within(Duration::from_secs(1)).is_none());
    expect_silence(&mut third, Duration::from_millis(100));
    let status = warren.status();
    assert_eq!(status["connections"]["now"], 2);
    assert_eq!(status["connections"]["max"], 2, "one too many was accepted");
    let address = address_of(&first.0);
    drop(first);
    assert_eq!(warren.ending(address), "client-closed");
    let mut at_server = server.accept();
    std::io::Read::read_exact(&mut at_server, &mut [0; 5]).unwrap();
    ping(&mut third, &mut at_server, b"served after all");
    drop((third, at_server, _second));
    warren.finish(&[server]);
}

#[test]
fn the_rest_waits_at_the_limit_of_a_listener() {
    let server = Server::start();
    let setup = Setup {
        listen: "max_connections = 2",
        ..Setup::of(&[&server])
    };
    serves_two_at_once(&setup, &server);
}

#[test]
fn the_rest_waits_at_the_limit_of_the_daemon() {
    let server = Server::start();
    let setup = Setup {
        global: "max_connections = 2",
        ..Setup::of(&[&server])
    };
    serves_two_at_once(&setup, &server);
}

#[test]
fn accepting_is_paced() {
    let server = Server::start();
    let setup = Setup {
        listen: "max_accept_rate = 10",
        ..Setup::of(&[&server])
    };
    let warren = Warren::start(&setup);
    let since = Instant::now();
    let clients: Vec<TcpStream> = (0..20).map(|_| connect(&warren)).collect();
    let servers: Vec<TcpStream> = (0..20).map(|_| server.accept()).collect();
    let took = since.elapsed();
    assert!(took > Duration::from_millis(1500), "20 clients in {took:?}");
    assert!(took < Duration::from_secs(6), "20 clients in {took:?}");
    drop((clients, servers));
    warren.finish(&[&server]);
}

/// One connection at a time, and what else the pool says.
fn one_at_a_time(server: &Server, pool: &str) -> Warren {
    Warren::start(&Setup {
        servers: format!(
            "a = {{ address = \"{}\", max_connections = 1 }}",
            server.address
        ),
        pool,
        ..Setup::default()
    })
}

#[test]
fn a_queued_client_is_served_when_a_slot_is_free() {
    let server = Server::start();
    let mut warren = one_at_a_time(&server, "queue_timeout = \"1m\"");
    let (first, at_server) = pair(&warren, &server);
    let mut waiting: Vec<TcpStream> = Vec::new();
    for place in 1..=3 {
        waiting.push(connect(&warren));
        warren.until("it waits", |warren| {
            (warren.queued() == place).then_some(())
        });
    }
    thread::sleep(Duration::from_millis(300));
    assert!(
        server.accept_now().is_none(),
        "more than the server's limit"
    );
    drop((first, at_server));
    // First come, first served.
    for mut client in waiting {
        let mut at_server = server.accept();
        assert!(server.accept_within(Duration::from_millis(100)).is_none());
        ping(&mut client, &mut at_server, b"my turn");
        let address = address_of(&client);
        drop((client, at_server));
        let account = warren.account(address);
        assert_eq!(account["ending"], "client-closed");
        assert!(
            account["choosing_ms"].as_f64().unwrap() >= 300.0,
            "{account}"
        );
    }
    assert_eq!(warren.of_server("a", "/open/max"), 1);
    warren.finish(&[&server]);
}

#[test]
fn a_server_that_is_added_serves_nobody_before_it_is_enabled() {
    let [server, added] = [Server::start(), Server::start()];
    let servers = format!(
        "a = {{ address = \"{}\", max_connections = 1 }}",
        server.address
    );
    let mut warren = Warren::start(&Setup {
        servers,
        pool: "queue_timeout = \"1m\"",
        complaints: &["server changed"],
        ..Setup::default()
    });
    let (first, at_server) = pair(&warren, &server);
    let mut client = connect(&warren);
    warren.until("it waits", |warren| (warren.queued() == 1).then_some(()));
    // Nobody checks it, and somebody waits for one.
    warren.tell(&format!("add server test/b {}", added.address));
    assert_eq!(warren.queued(), 1);
    assert!(added.accept_within(Duration::from_millis(100)).is_none());
    warren.tell("enable server test/b");
    let mut at_added = added.accept();
    ping(&mut client, &mut at_added, b"enabled");
    drop((first, at_server, client, at_added));
    warren.finish(&[&server, &added]);
}

#[test]
fn waiting_has_an_end() {
    let server = Server::start();
    let mut warren = one_at_a_time(&server, "queue_timeout = \"500ms\"");
    let (first, at_server) = pair(&warren, &server);
    let mut waiting = connect(&warren);
    let since = Instant::now();
    expect_reset(&mut waiting);
    assert!(since.elapsed() >= Duration::from_millis(400));
    let account = warren.account(address_of(&waiting));
    assert_eq!(account["ending"], "queue-timeout");
    assert_eq!(account["during"], "choosing");
    assert_eq!(account["by"], "us");
    assert_eq!(account["code"], "sQ");
    drop((first, at_server));
    warren.finish(&[&server]);
}

#[test]
fn a_full_queue_refuses() {
    let server = Server::start();
    let mut warren = one_at_a_time(&server, "queue_timeout = \"1m\"\nmax_queue = 1");
    let (first, at_server) = pair(&warren, &server);
    let mut waiting = connect(&warren);
    warren.until("it waits", |warren| (warren.queued() == 1).then_some(()));
    let mut refused = connect(&warren);
    expect_reset(&mut refused);
    let account = warren.account(address_of(&refused));
    assert_eq!(account["ending"], "queue-full");
    assert_eq!(account["code"], "SQ");
    drop((first, at_server));
    let mut at_server = server.accept();
    ping(&mut waiting, &mut at_server, b"my turn");
    drop((waiting, at_server));
    warren.finish(&[&server]);
}

#[test]
fn lists_let_in_and_keep_out() {
    let server = Server::start();
    let setup = Setup {
        listen: "allow = [\"127.0.0.0/24\"]\ndeny = [\"127.0.0.66/32\"]",
        ..Setup::of(&[&server])
    };
    let mut warren = Warren::start(&setup);
    for source in [[127, 0, 0, 66], [127, 0, 1, 1]] {
        let mut client = connect_from(warren.address, source);
        expect_reset(&mut client);
        let account = warren.account(address_of(&client));
        assert_eq!(account["ending"], "denied");
        assert_eq!(account["during"], "admitting");
        assert_eq!(account["code"], "PR");
    }
    assert_eq!(warren.status()["listeners"][0]["denied"], 2);
    let mut client = connect_from(warren.address, [127, 0, 0, 65]);
    warren.served(&mut client, &[&server]);
    drop(client);
    warren.finish(&[&server]);
}

#[test]
fn a_backup_serves_only_while_the_others_are_down() {
    let (active, backup) = (Server::start(), Server::start());
    let setup = Setup {
        check: "type = \"tcp\"\ninterval = \"100ms\"\nrise = 1\nfall = 1",
        servers: format!(
            "a = \"{}\"\nspare = {{ address = \"{}\", backup = true }}",
            active.address, backup.address
        ),
        complaints: &["server changed"],
        ..Setup::default()
    };
    let mut warren = Warren::start(&setup);
    let serves = |warren: &mut Warren, servers: &[&Server], name: &str| {
        for _ in 0..5 {
            let mut client = connect(warren);
            let address = address_of(&client);
            warren.served(&mut client, servers);
            drop(client);
            assert_eq!(warren.account(address)["server"], name);
        }
    };
    let state_is = |warren: &mut Warren, state: &str| {
        warren.until(state, |warren| {
            let status = warren.status();
            (status["pools"][0]["servers"][0]["state"] == state).then_some(())
        });
    };
    serves(&mut warren, &[&active, &backup], "a");
    let address = active.address;
    // Established before and kept open by the server: its connections are reset all the same.
    let mut old = connect(&warren);
    let at_server = warren.served(&mut old, &[&active]);
    drop(active);
    state_is(&mut warren, "down");
    expect_reset(&mut old);
    assert_eq!(warren.ending(address_of(&old)), "server-down");
    assert_eq!(warren.of_server("a", "/server_aborts"), 1);
    drop(at_server);
    serves(&mut warren, &[&backup], "spare");
    let active = Server::start_at(address);
    state_is(&mut warren, "up");
    serves(&mut warren, &[&active, &backup], "a");
    // A check that is under way has a descriptor of its own for a moment.
    warren.finish(&[&active, &backup]);
}

#[test]
fn weight_zero_takes_nothing() {
    let (none, all) = (Server::start(), Server::start());
    for balance in ["leastconn", "roundrobin", "random", "source", "first"] {
        let setup = Setup {
            servers: format!(
                "a = {{ address = \"{}\", weight = 0 }}\nb = \"{}\"",
                none.address, all.address
            ),
            pool: &format!("balance = \"{balance}\""),
            ..Setup::default()
        };
        let warren = Warren::start(&setup);
        let open: Vec<_> = (0..10).map(|_| pair(&warren, &all)).collect();
        assert_eq!(warren.of_server("a", "/chosen"), 0, "{balance}");
        drop(open);
        warren.finish(&[&all]);
    }
}

#[test]
fn only_idle_connections_end_by_idle_timeout() {
    let server = Server::start();
    let setup = Setup {
        pool: "idle_timeout = \"2s\"",
        complaints: &["the idle timeout can end healthy"],
        ..Setup::of(&[&server])
    };
    let mut warren = Warren::start(&setup);
    let (mut idle, mut at_server) = pair(&warren, &server);
    let (mut up, mut at_server_up) = pair(&warren, &server);
    let (mut down, mut at_server_down) = pair(&warren, &server);
    let since = Instant::now();
    let watching = thread::spawn(move || {
        expect_reset(&mut idle);
        (since.elapsed(), address_of(&idle))
    });
    // One direction is enough.
    while since.elapsed() < Duration::from_secs(6) {
        pass(&mut up, &mut at_server_up, b".");
        pass(&mut at_server_down, &mut down, b".");
        thread::sleep(Duration::from_millis(300));
    }
    let (took, address) = watching.join().unwrap();
    assert!(
        took >= Duration::from_secs(2) && took < Duration::from_secs(5),
        "{took:?}"
    );
    expect_reset(&mut at_server);
    let account = warren.account(address);
    assert_eq!(account["ending"], "idle-timeout");
    assert_eq!(account["by"], "us");
    assert_eq!(account["code"], "cD");
    drop(up);
    drop(down);
    expect_end(&mut at_server_up);
    expect_end(&mut at_server_down);
    drop((at_server_up, at_server_down));
    warren.finish(&[&server]);
}
