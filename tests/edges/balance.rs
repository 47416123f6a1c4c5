//! Which server gets a connection, with both workers choosing from one pool.

use std::collections::HashMap;
use std::net::TcpStream;

use crate::warren::{Setup, Warren};
use crate::wire::{Server, address_of, connect, connect_from};

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Three servers, of which the second has twice the weight.
struct Three {
    servers: [Server; 3],
    warren: Warren,
}

impl Three {
    fn start(balance: &str, limits: &str) -> Self {
        let servers = [Server::start(), Server::start(), Server::start()];
        let line = |((name, weight), server): ((&str, u32), &Server)| {
            format!(
                "{name} = {{ address = \"{}\", weight = {weight}{limits} }}\n",
                server.address
            )
        };
        let weights = NAMES.into_iter().zip([50, 100, 50]);
        let warren = Warren::start(&Setup {
            servers: weights.zip(&servers).map(line).collect(),
            pool: &format!("balance = \"{balance}\""),
            ..Setup::default()
        });
        Self { servers, warren }
    }

    /// Serves one client and says who did; both ends, to be kept or not.
    fn serve(&mut self, mut client: TcpStream) -> (&'static str, [TcpStream; 2]) {
        let servers = &self.servers;
        let (name, at_server) = self.warren.until("a server", |_| {
            let accepted = NAMES.into_iter().zip(servers);
            accepted
                .map(|(name, s)| (name, s.accept_now()))
                .find(|(_, s)| s.is_some())
        });
        let mut at_server = at_server.unwrap();
        crate::wire::ping(&mut client, &mut at_server, b"hello");
        (name, [client, at_server])
    }

    fn chosen(&self) -> [u64; 3] {
        NAMES.map(|name| self.warren.of_server(name, "/chosen"))
    }

    fn open(&self) -> [u64; 3] {
        NAMES.map(|name| self.warren.of_server(name, "/open/now"))
    }

    fn finish(self) {
        let [a, b, c] = &self.servers;
        self.warren.finish(&[a, b, c]);
    }
}

#[test]
fn leastconn_keeps_open_connections_by_weight() {
    let mut three = Three::start("leastconn", "");
    let mut kept: HashMap<&str, Vec<[TcpStream; 2]>> = HashMap::new();
    for _ in 0..40 {
        let client = connect(&three.warren);
        let (name, ends) = three.serve(client);
        kept.entry(name).or_default().push(ends);
    }
    assert_eq!(three.open(), [10, 20, 10]);
    // The server that loses its connections gets the next ones.
    let gone: Vec<_> = kept.remove("b").unwrap();
    let addresses: Vec<_> = gone.iter().map(|ends| address_of(&ends[0])).collect();
    drop(gone);
    for address in addresses {
        three.warren.account(address);
    }
    for _ in 0..20 {
        let client = connect(&three.warren);
        let (name, ends) = three.serve(client);
        assert_eq!(name, "b");
        kept.entry(name).or_default().push(ends);
    }
    drop(kept);
    three.finish();
}

#[test]
fn roundrobin_takes_turns_by_weight_whatever_is_open() {
    let mut three = Three::start("roundrobin", "");
    let mut names = Vec::new();
    for _ in 0..40 {
        let client = connect(&three.warren);
        names.push(three.serve(client).0);
    }
    assert_eq!(three.chosen(), [10, 20, 10]);
    for turn in names.chunks(4) {
        let of_b = turn.iter().filter(|name| **name == "b").count();
        assert_eq!(of_b, 2, "not smooth: {names:?}");
    }
    three.finish();
}

#[test]
fn random_spreads_by_weight() {
    let mut three = Three::start("random", "");
    let mut kept = Vec::new();
    for _ in 0..80 {
        let client = connect(&three.warren);
        kept.push(three.serve(client));
    }
    // The better of two draws stays close to 20, 40, 20.
    let [a, b, c] = three.open();
    assert!(a >= 10 && c >= 10 && b >= 28, "{a}, {b}, {c}");
    drop(kept);
    three.finish();
}

#[test]
fn source_sends_an_address_to_one_server() {
    let mut three = Three::start("source", "");
    let mut first: HashMap<u8, &str> = HashMap::new();
    for round in 0..3 {
        for last in 1..=40 {
            let client = connect_from(three.warren.address, [127, 0, 0, last]);
            let (name, _) = three.serve(client);
            let known = *first.entry(last).or_insert(name);
            assert_eq!(known, name, "127.0.0.{last} in round {round}");
        }
    }
    let of = |wanted| first.values().filter(|name| **name == wanted).count();
    let counts = NAMES.map(of);
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    assert!(
        counts[1] > counts[0].min(counts[2]),
        "no weight in {counts:?}"
    );
    three.finish();
}

#[test]
fn first_fills_one_server_after_the_other() {
    let mut three = Three::start("first", ", max_connections = 3");
    let mut kept = Vec::new();
    for name in ["a", "a", "a", "b", "b", "b", "c", "c"] {
        let client = connect(&three.warren);
        let served = three.serve(client);
        assert_eq!(served.0, name);
        kept.push(served);
    }
    let (_, ends) = kept.remove(1);
    let address = address_of(&ends[0]);
    drop(ends);
    three.warren.account(address);
    let client = connect(&three.warren);
    assert_eq!(three.serve(client).0, "a");
    drop(kept);
    three.finish();
}
