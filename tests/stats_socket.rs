//! The stats socket against the real thing: the same questions to Debian's haproxy with an
//! equivalent configuration. Skipped, with a word, where haproxy is not installed.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use warren::stats::csv::COLUMNS;

#[path = "stats_socket/balancer.rs"]
mod balancer;
#[path = "stats_socket/changes.rs"]
mod changes;
#[path = "stats_socket/clients.rs"]
mod clients;
#[path = "stats_socket/schema.rs"]
mod schema;
#[path = "stats_socket/sessions.rs"]
mod sessions;
#[path = "support/skip.rs"]
mod skip;

use balancer::{Balancer, Servers};

/// Sends `request` and returns everything until the close.
fn ask(socket: &Path, request: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn show_stat_is_haproxys_before_and_under_traffic() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    let ask = "show stat\n";
    compare_stat(&warren.ask(ask), &haproxy.ask_at_rest(ask));

    // Three connections that stay, with five bytes each for the server.
    let connect = |balancer: &Balancer| {
        let clients: Vec<_> = (0..3).map(|_| balancer.connect()).collect();
        clients
            .iter()
            .for_each(|mut client| client.write_all(b"hello").unwrap());
        clients
    };
    let clients = [connect(&haproxy), connect(&warren)];
    let open = |rows: &str| value(rows, "r2", "scur") == "3";
    haproxy.ask_until("show stat\n", open);
    let ours = warren.ask_until("show stat\n", |rows| value(rows, "r2", "bin") == "15");
    for column in [
        "scur", "stot", "bin", "bout", "rate_lim", "dcon", "conn_tot",
    ] {
        assert_eq!(
            value(&ours, "FRONTEND", column),
            match column {
                "bin" => "15",
                "bout" | "rate_lim" | "dcon" => "0",
                _ => "3",
            },
            "{column}"
        );
    }
    // HAProxy counts bytes when a connection ends, warren while it goes on.
    drop(clients);
    let ended = |rows: &str| value(rows, "r2", "scur") == "0" && value(rows, "r2", "bin") == "15";
    haproxy.ask_until(ask, ended);
    let theirs = haproxy.ask_at_rest(ask);
    let ours = warren.ask_until(ask, ended);
    compare_stat(&ours, &theirs);
    assert_eq!(value(&ours, "r2", "lbtot"), "3");
}

/// A value of the first row of that name.
fn value<'a>(rows: &'a str, name: &str, column: &str) -> &'a str {
    let index = COLUMNS.iter().position(|one| *one == column).unwrap();
    let mut rows = rows.lines().map(|row| row.split(',').collect::<Vec<_>>());
    rows.find(|values| values.get(1) == Some(&name)).unwrap()[index]
}

fn compare_stat(ours: &str, theirs: &str) {
    let mut ours = ours.trim_end().lines();
    let mut theirs = theirs.trim_end().lines();
    // Theirs goes on after the lone `-` with the columns of its modules.
    let header = format!("# {},-,", COLUMNS.join(","));
    assert!(theirs.next().unwrap().starts_with(&header));
    assert_eq!(ours.next().unwrap(), header);
    let (ours, theirs): (Vec<_>, Vec<_>) = (ours.collect(), theirs.collect());
    assert_eq!(ours.len(), theirs.len());
    for (our_row, their_row) in ours.iter().zip(&theirs) {
        compare_rows(our_row, their_row);
    }
}

/// The typed lines without their values, and without the columns of HAProxy's modules.
fn typed_keys(answer: &str) -> Vec<String> {
    let lines = answer.lines().filter(|line| !line.is_empty());
    let position = |line: &str| line.split('.').nth(3).unwrap().parse::<usize>().unwrap();
    lines
        .filter(|line| position(line) < COLUMNS.len())
        .map(|line| line.splitn(4, ':').take(3).collect::<Vec<_>>().join(":"))
        .collect()
}

#[test]
fn show_stat_typed_and_as_json_has_haproxys_fields_tags_and_types() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    let ask = "show stat typed\n";
    let theirs = typed_keys(&haproxy.ask_at_rest(ask));
    assert_eq!(typed_keys(&warren.ask(ask)), theirs);
    // What HAProxy says of each value; where it belongs is in the row.
    let described = warren.ask("show stat typed desc\n");
    let lines = described.lines().filter(|line| !line.is_empty());
    lines.for_each(|line| assert!(line.ends_with('"'), "{line}"));

    let ask = "show stat -1 7 -1 json\n";
    let items = |answer: String| -> Vec<serde_json::Value> {
        let rows: Vec<Vec<serde_json::Value>> = serde_json::from_str(&answer).unwrap();
        let mut items: Vec<_> = rows.into_iter().flatten().collect();
        items.retain(|item| item["field"]["pos"].as_u64().unwrap() < COLUMNS.len() as u64);
        for item in &mut items {
            let kind = if item["value"]["value"].is_string() {
                "text"
            } else {
                "number"
            };
            item["value"]["value"] = kind.into();
        }
        items
    };
    assert_eq!(items(warren.ask(ask)), items(haproxy.ask_at_rest(ask)));
    // In the same order of members, for whoever reads it with a pattern.
    let first = |answer: String| answer.split("\"value\":").next().unwrap().to_owned();
    assert_eq!(first(warren.ask(ask)), first(haproxy.ask(ask)));
    for nothing in ["show stat -1 8 -1 json\n", "show stat -1 8 -1 typed\n"] {
        assert_eq!(warren.ask(nothing), haproxy.ask(nothing));
    }
}

/// Columns that are empty in the same rows and otherwise differ: HAProxy's limit of a pool is a
/// tenth of those of its frontends; it takes servers for up before their first check, so that one
/// that never was up has gone down; it guesses how many connections it could reuse; its words
/// around an error of the system are its own. The others differ by the clock.
#[rustfmt::skip]
const DIFFERENT: [&str; 19] = [
    "slim", "chkfail", "chkdown", "need_conn_est", "last_chk",
    "lastchg", "downtime", "check_duration", "lastsess",
    "qtime", "qtime_max", "ctime", "ctime_max", "ttime", "ttime_max",
    "rate", "rate_max", "conn_rate", "conn_rate_max",
];

/// The same but for the intended differences.
fn compare_rows(our_row: &str, their_row: &str) {
    let their_values: Vec<_> = their_row.split(',').collect();
    let our_values: Vec<_> = our_row.split(',').collect();
    assert_eq!(our_values.len(), COLUMNS.len() + 2, "{our_row}");
    assert_eq!(our_values[COLUMNS.len()], "-");
    for (index, name) in COLUMNS.iter().enumerate() {
        let (their, our) = (their_values[index], our_values[index]);
        let place = format!("{name} of\n{our_row}\n{their_row}");
        match *name {
            // A worker takes a slot to see whether a client waits; for a moment it counts as one.
            // Ours says in the check's own words also why it passed.
            "last_chk" if their.is_empty() && our_values[1] == "r2" => {}
            _ if DIFFERENT.contains(name) => {
                assert_eq!(our.is_empty(), their.is_empty(), "{place}");
            }
            _ => assert_eq!(our, their, "{place}"),
        }
    }
}

#[test]
fn show_info_has_haproxys_keys_in_its_order() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let keys = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines
            .map(|line| line.split_once(": ").unwrap().0.to_owned())
            .collect()
    };
    // The intended differences: three keys more.
    let mut expected = keys(&haproxy.ask("show info\n"));
    let node = expected.iter().position(|key| key == "node").unwrap();
    expected.insert(node + 1, "description".to_owned());
    expected.extend(["Product", "Product_version"].map(str::to_owned));
    let ours = Balancer::warren(&servers).ask("show info\n");
    assert_eq!(keys(&ours), expected);
    assert!(ours.contains("\nMaxconn: 300\n"), "{ours}");
}

#[test]
fn show_info_typed_and_as_json_has_haproxys_fields_tags_and_types() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    for request in ["show info typed\n", "show info float typed\n"] {
        let keys = |answer: String| -> Vec<String> {
            let lines = answer.lines().filter(|line| !line.is_empty());
            lines
                .map(|line| line.splitn(4, ':').take(3).collect::<Vec<_>>().join(":"))
                .collect()
        };
        let mut ours = keys(warren.ask(request));
        // The intended differences.
        ours.retain(|key| !key.contains(".description.") && !key.contains(".Product"));
        assert_eq!(ours, keys(haproxy.ask(request)));
    }
    let items = |answer: String| -> Vec<serde_json::Value> {
        let mut items: Vec<serde_json::Value> = serde_json::from_str(&answer).unwrap();
        items.retain(|item| {
            let position = item["field"]["pos"].as_u64().unwrap();
            position != 51 && position < 72
        });
        for item in &mut items {
            item["value"]["value"] = item["value"]["value"].is_string().into();
        }
        items
    };
    let ask = "show info json\n";
    assert_eq!(items(warren.ask(ask)), items(haproxy.ask(ask)));
}

#[test]
fn show_servers_state_is_haproxys_but_for_the_clock() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    for request in [
        "show servers state\n",
        "show servers state plain\n",
        "show servers state #3\n",
        "show servers state 3\n",
    ] {
        let ours = server_states(&warren.ask(request));
        assert_eq!(ours, server_states(&haproxy.ask_at_rest(request)));
    }
}

/// The words of `show servers state`, without those that the clock moves.
fn server_states(text: &str) -> Vec<Vec<String>> {
    // srv_time_since_last_change
    const CLOCK: usize = 9;
    let rows = text.trim_end().lines().map(|line| {
        let mut words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        if !line.starts_with('#') && words.len() > CLOCK {
            words[CLOCK] = "clock".to_owned();
        }
        words
    });
    rows.collect()
}

/// Answered alike to the letter, but for the version.
const SAME: [&str; 44] = [
    "show backend\n",
    "show table\n",
    "show table nosuch\n",
    "show map\n",
    "show map #1\n",
    "show peers\n",
    "show peers nosuch\n",
    "show resolvers nosuch\n",
    "user;show env;show fd;show libs;show startup-logs;get var proc.x;show map;show peers\n",
    "operator;show cache;show profiling;set ssl cert x;enable dynamic-cookie backend rabbit\n",
    "show errors nosuch\n",
    "user;show errors\n",
    "show events nosuch\n",
    "show events nosuch -w\n",
    "show events -w\n",
    "user;show events nosuch\n",
    "show servers conn nosuch\n",
    "user;show backend;show version\n",
    "prompt\nget weight rabbit/r2;get weight rabbit/nosuch\nuser;operator\nshow cli level\n",
    "get weight rabbit/r2 ; get weight rabbit/r1\r\n",
    "show version;show cli level\n",
    "  show   version \r\n",
    "show version extra\nshow cli level\n",
    "quit\n",
    "show version;quit;show version\n",
    "show version",
    "prompt\nshow version\nshow version;show cli level\nquit\n",
    "prompt\nprompt\nshow version\n",
    "show version;prompt;show version\nshow cli level\nquit\n",
    "prompt\r\nshow version\r\nquit\r\n",
    "sho version\n",
    "Show version\n",
    "show\\ version\n",
    "help show version\n",
    "show servers state nosuch\n",
    "show servers state #2\n",
    "show servers state #9\n",
    "show servers conn 9\n",
    "show errors #9\n",
    "show stat nosuch 1 1\n",
    "show stat #9 1 1\n",
    "show stat domain nosuch\n",
    "show version <<\nshow cli level\nquit\n\n",
    "show version;show cli level <<\r\nclear counters all\r\n\r\n",
];

/// Answered with the list of commands, which is shorter here.
const LISTS: [&str; 5] = ["\n", ";\n", "show version;\n", "help\n", "show\n"];

#[test]
fn the_protocol_is_haproxys() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    let their_version = haproxy.ask("show version\n");
    let our_version = warren.ask("show version\n");
    assert!(our_version.starts_with("2.6.") && our_version.ends_with("\n\n"));
    let both = |request| {
        let theirs = haproxy.ask(request);
        let theirs = theirs.replace(their_version.trim_end(), our_version.trim_end());
        (warren.ask(request), theirs)
    };
    for request in SAME {
        let (ours, theirs) = both(request);
        assert_eq!(ours, theirs, "{request:?}");
    }
    // But for the moment, and for the estimate of connections needed.
    let captured = |answer: String| answer.split(" on [").next().unwrap().to_owned();
    let ask = "show errors\n";
    assert_eq!(captured(warren.ask(ask)), captured(haproxy.ask(ask)));
    let idle = |answer: String| answer.replace(" 5000 0 1 1 ", " 5000 0 0 0 ");
    let ask = "show servers conn\n";
    assert_eq!(idle(warren.ask(ask)), idle(haproxy.ask(ask)));
    for request in LISTS {
        let (ours, theirs) = both(request);
        let without_commands = |answer: &str| -> Vec<String> {
            let lines = answer.lines().filter(|line| !line.starts_with("  "));
            lines.map(str::to_owned).collect()
        };
        assert_eq!(
            without_commands(&ours),
            without_commands(&theirs),
            "{request:?}"
        );
    }
    // Filters choose the same rows.
    // The same keys; what is in them is the insides of each.
    let keys = |answer: String| -> Vec<String> {
        let lines = answer.lines().map(|line| line.split(':').next().unwrap());
        lines.map(str::to_owned).collect()
    };
    let ask = "show activity\n";
    assert_eq!(keys(warren.ask(ask)), keys(haproxy.ask(ask)));
    for filter in FILTERS {
        let (ours, theirs) = both(filter);
        let names = |answer: &str| -> Vec<String> {
            let rows = answer.lines().skip(1).filter(|row| !row.is_empty());
            rows.map(|row| row.split(',').take(2).collect::<Vec<_>>().join("/"))
                .collect()
        };
        assert_eq!(names(&ours), names(&theirs), "{filter:?}");
    }
}

#[test]
fn the_latest_changes_are_events_and_what_warren_has_not_is_said() {
    let warren = Balancer::warren(&Servers::start());
    let list = warren.ask("show events\n");
    assert!(
        list.contains("\n    changes    : type=buffer, 0 dropped, "),
        "{list}"
    );
    let _ = warren.ask("set server rabbit/r2 state drain\n");
    let events = warren.ask("show events changes\n");
    for line in [
        "rabbit/r1 unknown -> down: ",
        "rabbit/r2 up -> drain: by an operator\n",
    ] {
        assert!(events.contains(line), "{events}");
    }
    let sockets = warren.ask("show cli sockets\n");
    let line = format!("\nunix@{} admin all\n\n", warren.socket().display());
    assert!(sockets.ends_with(&line), "{sockets}");
    for request in [
        "add map x y\n",
        "add acl x y\n",
        "set ssl cert x\n",
        "show env\n",
    ] {
        assert_eq!(warren.ask(request), "This is not supported by warren.\n\n");
    }
}

const FILTERS: [&str; 12] = [
    "show stat #3 -1 1\n",
    "show stat rabbit -1 1\n",
    "show stat 3 7 0\n",
    "show stat -1 4 2\n",
    "show stat 2 1 -1\n",
    "show stat -1 6 -1\n",
    "show stat -1 2\n",
    "show stat 99 7 -1\n",
    "show stat bogus\n",
    "show stat up\n",
    "show stat no-maint\n",
    "show stat domain proxy -1 1 -1\n",
];

fn warren_status(socket: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(["status", "--socket"])
        .arg(socket)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn warren_status_tells_by_text_json_and_exit_code() {
    let warren = Balancer::warren(&Servers::start());
    let mode = std::fs::metadata(warren.socket()).unwrap().permissions();
    assert_eq!(mode.mode() & 0o777, 0o660);

    // Two servers are down.
    let output = warren_status(&warren.socket(), &[]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let screen = String::from_utf8(output.stdout).unwrap();
    let first = format!("warren {} on ", env!("CARGO_PKG_VERSION"));
    assert!(screen.starts_with(&first), "{screen}");
    assert!(
        screen.contains("\n! server rabbit/r1 is down\n"),
        "{screen}"
    );
    assert!(!screen.contains('\x1b'), "no colours for a pipe: {screen}");

    let output = warren_status(&warren.socket(), &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["connections"]["limit"], 300);
    assert_eq!(json["pools"][0]["servers"][1]["state"], "up");
}

#[test]
fn warren_status_without_a_daemon_says_what_to_do() {
    let output = warren_status(Path::new("/nonexistent/admin.sock"), &[]);
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("no warren is running here"), "{message}");
    assert_eq!(message.lines().count(), 1);
}
