//! `show sess` and `shutdown session`.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::balancer::{Balancer, Servers};
use crate::changes::{client, is_over};
use crate::value;

/// The lines of clients that came over TCP: HAProxy lists the client of the socket as well.
fn lines(answer: &str) -> Vec<String> {
    let lines = answer.lines().filter(|line| line.contains(" proto=tcp"));
    lines.map(str::to_owned).collect()
}

/// The keys of a line, and the values of those that tools read.
fn keys(line: &str) -> Vec<String> {
    const READ: [&str; 6] = ["proto", "fe", "be", "srv", "ts", "rc"];
    let words = line.split(' ').skip(1);
    words
        .map(|word| {
            let key = word.split('=').next().unwrap();
            if READ.contains(&key) { word } else { key }.to_owned()
        })
        .collect()
}

fn id(line: &str) -> &str {
    line.split(':').next().unwrap()
}

#[test]
fn a_connection_is_listed_shown_in_detail_and_ended() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    let (mut listed, mut dates) = (Vec::new(), Vec::new());
    for balancer in [&haproxy, &warren] {
        let mut clients = [client(balancer, "1"), client(balancer, "2")];
        let sources = clients.each_ref().map(|one| one.local_addr().unwrap());
        let found = lines(&balancer.ask_line("show sess"));
        assert_eq!(found.len(), 2, "{found:?}");
        let of = |client: usize| {
            let source = format!(" src={} ", sources[client]);
            found.iter().find(|line| line.contains(&source)).unwrap()
        };
        listed.push(keys(of(0)));
        let detail = balancer.ask_line(&format!("show sess {}", id(of(0))));
        for word in [
            id(of(0)),
            &format!("source={}", sources[0]),
            "proto=tcpv4",
            "\n  frontend=amqp (id=2 mode=tcp)",
            "\n  backend=rabbit (id=3 mode=tcp)",
            &format!("\n  server=r2 (id=2) addr={}\n", servers.live),
            &format!(" addr={}\n  backend", clients[0].peer_addr().unwrap()),
            "total=5)",
        ] {
            assert!(detail.contains(word), "{word} in {detail}");
        }
        // The address by which the server knows it.
        let local = detail
            .split("\n  backend=rabbit (id=3 mode=tcp) addr=")
            .nth(1);
        let local = local.and_then(|rest| rest.lines().next());
        assert!(local.is_some_and(|local| servers.know(local)), "{detail}");
        let date = |text: &str| text.split([']', ' ']).nth(1).unwrap().to_owned();
        let shape = date(&detail).replace(|c: char| c.is_ascii_digit(), "0");
        dates.push(shape.replace(|c: char| c.is_ascii_alphabetic(), "A"));
        let all = lines(&balancer.ask_line("show sess all"));
        assert_eq!(all.len(), 2, "{all:?}");

        assert_eq!(
            balancer.ask_line(&format!("shutdown session {}", id(of(0)))),
            "\n"
        );
        assert!(is_over(&mut clients[0]) && !is_over(&mut clients[1]));
        balancer.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "1");
    }
    assert_eq!(listed[1], listed[0]);
    assert_eq!(dates, ["[00/AAA/0000:00:00:00.000000"; 2]);
    let log = warren.log_until("command=\"shutdown session 0x");
    assert!(log.contains("ending=ended-by-operator by=us"), "{log}");
    for command in [
        "show sess 0x123",
        "shutdown session",
        "shutdown session nosuch",
        "shutdown session 0x123",
        "user;show sess;shutdown session 0x123",
        "operator;shutdown session 0x123",
    ] {
        assert_eq!(
            warren.ask_line(command),
            haproxy.ask_line(command),
            "{command}"
        );
    }
}

#[test]
fn the_json_has_what_finds_a_connection_at_the_broker() {
    let servers = Servers::start();
    let warren = Balancer::warren(&servers);
    let one = client(&warren, "1");
    let before = SystemTime::now();
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["sessions", "--json", "--socket"])
        .arg(warren.socket())
        .output()
        .unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let session = &told["sessions"][0];
    assert_eq!(session["client"], one.local_addr().unwrap().to_string());
    let front = one.peer_addr().unwrap().to_string();
    assert_eq!(session["listener_address"], front);
    assert_eq!(session["server_address"], servers.live.to_string());
    let local = session["local_address"].as_str().unwrap();
    assert!(servers.know(local), "{session}");
    let accepted = Duration::from_millis(session["accepted_at_ms"].as_u64().unwrap());
    let before = before.duration_since(UNIX_EPOCH).unwrap();
    let ago = before.checked_sub(accepted);
    assert!(ago.is_some_and(|ago| ago.as_secs() < 20), "{session}");
}

#[test]
fn an_id_is_not_used_for_a_later_connection() {
    let warren = Balancer::warren(&Servers::start());
    let first = client(&warren, "1");
    let before = lines(&warren.ask_line("show sess"));
    drop(first);
    warren.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "0");
    let mut second = client(&warren, "1");
    let answer = warren.ask_line(&format!("shutdown session {}", id(&before[0])));
    assert_eq!(answer, "No such session (use 'show sess').\n\n");
    assert!(!is_over(&mut second));
}

#[test]
fn more_connections_than_one_page_are_all_listed_once() {
    let warren = Balancer::warren(&Servers::start());
    let _ = warren.ask_line("set maxconn frontend amqp 0");
    let mut clients: Vec<TcpStream> = (0..290).map(|_| warren.connect()).collect();
    clients
        .iter_mut()
        .for_each(|one| one.write_all(b"x").unwrap());
    warren.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "290");
    let mut found = lines(&warren.ask_line("show sess"));
    found.sort_unstable();
    found.dedup_by_key(|line| id(line).to_owned());
    assert_eq!(found.len(), 290);
}
