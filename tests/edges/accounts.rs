//! One log line per connection that says what happened.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::warren::{Setup, Warren};
use crate::wire::{Server, address_of, connect, expect_end, pair, pass, ping, reset};

/// Everything that an account says.
const FIELDS: [&str; 18] = [
    "by",
    "bytes_to_client",
    "bytes_to_server",
    "choosing_ms",
    "client",
    "code",
    "connecting_ms",
    "during",
    "ending",
    "level",
    "listener",
    "message",
    "pool",
    "relaying_s",
    "retries",
    "server",
    "target",
    "timestamp",
];

/// The time by another clock-reader than ours. Times in this shape sort as they follow each other.
fn utc() -> String {
    let date = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%S.%3NZ"])
        .output();
    String::from_utf8(date.unwrap().stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

#[test]
fn an_account_says_all_there_is_to_say() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let (mut client, mut at_server) = pair(&warren, &server);
    let address = address_of(&client);
    pass(&mut client, &mut at_server, &[1; 12_345]);
    std::thread::sleep(Duration::from_millis(400));
    pass(&mut at_server, &mut client, &[2; 678]);
    let ended = utc();
    drop(client);
    expect_end(&mut at_server);
    drop(at_server);
    let account = warren.account(address);
    let names: Vec<&str> = account
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(names, FIELDS);
    for (name, value) in [
        ("level", "INFO"),
        ("target", "warren::connection"),
        ("message", "connection ended"),
        ("listener", "test"),
        ("pool", "test"),
        ("server", "a"),
        ("ending", "client-closed"),
        ("by", "client"),
        ("during", "relaying"),
        ("code", "--"),
    ] {
        assert_eq!(account[name], value, "{name}");
    }
    assert_eq!(
        account["client"]
            .as_str()
            .unwrap()
            .parse::<SocketAddr>()
            .unwrap(),
        address
    );
    assert_eq!(account["bytes_to_server"], 12_345);
    assert_eq!(account["bytes_to_client"], 678);
    assert_eq!(account["retries"], 0);
    let relaying = account["relaying_s"].as_f64().unwrap();
    assert!((0.4..15.0).contains(&relaying), "{relaying}");
    for name in ["choosing_ms", "connecting_ms"] {
        let time = account[name].as_f64().unwrap();
        assert!((0.0..10_000.0).contains(&time), "{name} = {time}");
    }
    let logged = account["timestamp"].as_str().unwrap();
    assert!(
        *ended <= *logged && *logged <= *utc(),
        "logged at {logged}, ended after {ended}"
    );
    warren.finish(&[&server]);
}

#[test]
fn the_accounts_and_the_counters_agree_on_every_byte() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let mut sent = Vec::new();
    for number in 0..30_usize {
        let (mut client, mut at_server) = pair(&warren, &server);
        let (up, down) = (number * 1_111, number * number * 97);
        pass(&mut client, &mut at_server, &vec![3; up]);
        pass(&mut at_server, &mut client, &vec![4; down]);
        let address = address_of(&client);
        let ending = match number % 4 {
            0 => {
                drop(client);
                expect_end(&mut at_server);
                drop(at_server);
                "client-closed"
            }
            1 => {
                drop(at_server);
                expect_end(&mut client);
                drop(client);
                "server-closed"
            }
            2 => {
                reset(client);
                drop(at_server);
                "client-reset"
            }
            _ => {
                reset(at_server);
                drop(client);
                "server-reset"
            }
        };
        // By its number: after a reset the next client may get the same port.
        let account = warren.until("its account", |warren| {
            warren.accounts().into_iter().nth(number)
        });
        assert_eq!(account["client"], address.to_string(), "{account}");
        assert_eq!(account["bytes_to_server"], up, "{account}");
        assert_eq!(account["bytes_to_client"], down, "{account}");
        assert_eq!(account["ending"], ending, "{account}");
        sent.push((up as u64, down as u64));
    }
    let (up, down) = sent
        .iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    let status = warren.status();
    for place in ["/listeners/0", "/pools/0/servers/0"] {
        let counters = status.pointer(place).unwrap();
        assert_eq!(counters["bytes_in"], up, "{place}");
        assert_eq!(counters["bytes_out"], down, "{place}");
        assert_eq!(counters["sessions"], 30, "{place}");
    }
    assert_eq!(warren.of_server("a", "/client_aborts"), 7);
    assert_eq!(warren.of_server("a", "/server_aborts"), 7);
    warren.finish(&[&server]);
}

#[test]
fn the_times_of_the_accounts_are_those_of_the_status() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup {
        servers: format!(
            "a = {{ address = \"{}\", max_connections = 1 }}",
            server.address
        ),
        pool: "queue_timeout = \"1m\"",
        ..Setup::default()
    });
    let (first, first_at_server) = pair(&warren, &server);
    let since = Instant::now();
    let mut client = connect(&warren);
    warren.until("it waits", |warren| (warren.queued() == 1).then_some(()));
    std::thread::sleep(Duration::from_millis(400));
    drop((first, first_at_server));
    let mut at_server = server.accept();
    ping(&mut client, &mut at_server, b"my turn");
    std::thread::sleep(Duration::from_millis(100));
    let address = address_of(&client);
    drop((client, at_server));
    let account = warren.account(address);
    let passed = since.elapsed().as_secs_f64() * 1e3;

    let time = |name: &str| account[name].as_f64().unwrap();
    let parts = [
        time("choosing_ms"),
        time("connecting_ms"),
        time("relaying_s") * 1e3,
    ];
    let sum: f64 = parts.iter().sum();
    assert!(parts[0] >= 400.0 && parts[2] >= 100.0, "{account}");
    assert!(sum <= passed, "{sum} ms of {passed} ms: {account}");
    // The one that waited has the longest times of all.
    let status = warren.status();
    for place in ["/pools/0", "/pools/0/servers/0"] {
        let of = |name: &str| {
            let number = status.pointer(&format!("{place}/averages/{name}"));
            number.unwrap().as_u64().unwrap() as f64
        };
        assert_eq!(of("queue_max_ms"), parts[0].floor(), "{place}");
        assert!(of("queue_ms") <= of("queue_max_ms"), "{place}");
        assert!(of("connect_max_ms") < 400.0, "{place}");
        let longest = of("total_max_ms");
        assert!(
            sum - 1.0 <= longest && longest <= passed,
            "{place}: {longest}"
        );
    }
    warren.finish(&[&server]);
}

#[test]
fn no_account_is_written_twice_or_left_out() {
    let server = Server::start();
    let mut warren = Warren::start(&Setup::of(&[&server]));
    let mut addresses = Vec::new();
    for _ in 0..5 {
        let open: Vec<_> = (0..60).map(|_| pair(&warren, &server)).collect();
        addresses.extend(open.iter().map(|ends| address_of(&ends.0)));
        drop(open);
    }
    warren.settle();
    let mut logged: Vec<String> = warren
        .accounts()
        .iter()
        .map(|account| account["client"].as_str().unwrap().to_owned())
        .collect();
    let mut expected: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    logged.sort();
    expected.sort();
    assert!(
        logged == expected,
        "{} accounts, {} clients",
        logged.len(),
        expected.len()
    );
    warren.finish(&[&server]);
}

#[test]
fn warnings_about_the_file_are_lines_of_the_log() {
    let server = Server::start();
    let setup = Setup {
        pool: "idle_timeout = \"30s\"",
        complaints: &["the idle timeout can end healthy"],
        ..Setup::of(&[&server])
    };
    // Every line that is not JSON fails the test.
    let warren = Warren::start(&setup);
    let lines = warren.lines();
    let warning = lines.iter().find(|line| line["level"] == "WARN").unwrap();
    assert!(
        warning["message"]
            .as_str()
            .unwrap()
            .contains("idle timeout"),
        "{warning}"
    );
    warren.finish(&[&server]);
}
