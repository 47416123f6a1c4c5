//! Commands that change something, given to both in the same order.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::balancer::{Balancer, Servers};
use crate::{compare_stat, server_states, value};

/// Answered alike to the letter, one after the other.
const SAME: [&str; 190] = [
    "get weight rabbit/r2",
    "get weight",
    "get weight rabbit",
    "get weight nosuch/r2",
    "get weight rabbit/nosuch",
    "get weight #3/#2",
    "get weight #3/r2",
    "get weight rabbit/#2",
    "get weight rabbit/#2x",
    "get weight rabbit/#9",
    "get weight rabbit/#",
    "get weight rabbit/#-2",
    "get weight #2/r2",
    "get weight #9/r2",
    "get weight #/r2",
    "get weight #3",
    "get weight rabbit/",
    "get weight /r2",
    "get weight /",
    "set weight /r2 3",
    "set server /r2",
    "set server /r2 state ready",
    "enable server /r2",
    "disable health /r2",
    "set maxconn server /r2 3",
    "shutdown sessions server /r2",
    "set weight #3/#2 50",
    "get weight rabbit/r2",
    "set server rabbit/#2 weight 100%",
    "disable server #3/r2",
    "enable server #3/#2",
    "disable health rabbit/#2",
    "enable health #3/r2",
    "set maxconn server #3/#2 10",
    "set maxconn server rabbit/r2 0",
    "set maxconn frontend #2 150",
    "set maxconn frontend amqp 200",
    "set maxconn frontend #3 150",
    "disable frontend #2",
    "enable frontend #2",
    "disable frontend #3",
    "shutdown sessions server #3/#2",
    "shutdown sessions server #3/#9",
    "add server #9/r9 127.0.0.1:9",
    "add server #3/r2 127.0.0.1:9",
    "del server #3/#2",
    "del server rabbit/#9",
    "add server rabbit/ 127.0.0.1:9",
    "del server /r2",
    "set weight rabbit/r2",
    "set weight rabbit/r2 300",
    "set weight rabbit/r2 -3",
    "set weight rabbit/r2 abc",
    "set weight rabbit/r2 50x",
    "set weight rabbit/r2 100%x",
    "set weight rabbit/r2 -10%",
    "set weight rabbit/r2 50",
    "get weight rabbit/r2",
    "set weight rabbit/r2 30%",
    "get weight rabbit/r2",
    "set weight rabbit/r2 900%",
    "get weight rabbit/r2",
    "set server rabbit/r2 weight 0",
    "get weight rabbit/r2",
    "set server rabbit/r2 weight",
    "set server rabbit/r2 weight 100%",
    "set server",
    "set server rabbit/r2",
    "set server rabbit/r2 nosuch",
    "set server rabbit state ready",
    "set server nosuch/r2 state ready",
    "set server rabbit/nosuch state ready",
    "set server rabbit/r2 state",
    "set server rabbit/r2 state nosuch",
    "set server rabbit/r2 health",
    "set server rabbit/r2 health nosuch",
    "set server rabbit/r2 agent",
    "set server rabbit/r2 agent up",
    "set server rabbit/r2 addr",
    "set server rabbit/r2 addr nosuch",
    "set server plain/n1 addr 127.0.0.1",
    "set server plain/n1 addr 127.0.0.1 port nosuch",
    "set server plain/n1 addr 127.0.0.2 port",
    "set server plain/n1 addr 127.0.0.1",
    "set server plain/n1 addr [127.0.0.1]",
    "set server plain/n1 addr [::1",
    "set server plain/n1 addr []",
    "set server plain/n1 addr [::1]",
    "set server plain/n1 addr 0:0::2",
    "set server plain/n1 addr 127.0.0.1",
    "set server plain/n1 fqdn nosuch",
    "set server plain/n1 check-port 12",
    "set server plain/n1 check-addr 127.0.0.1",
    "set server plain/n1 agent-addr 127.0.0.1",
    "set server plain/n1 agent-send x",
    "set server plain/n1 ssl on",
    "enable server",
    "disable server nosuch/r2",
    "disable server rabbit",
    "disable server rabbit/r2",
    "enable server rabbit/r2",
    "enable health rabbit/r2",
    "disable health rabbit/r2",
    "enable health rabbit/r2",
    "enable health plain/n1",
    "disable health plain/n1",
    "enable agent rabbit/r2",
    "disable agent rabbit/r2",
    "enable agent nosuch/r2",
    "enable frontend",
    "disable frontend nosuch",
    "enable frontend amqp",
    "disable frontend amqp",
    "disable frontend amqp",
    "user;enable frontend amqp",
    "enable frontend amqp",
    "set maxconn server",
    "set maxconn server rabbit/r2",
    "set maxconn server rabbit/r2 abc",
    "set maxconn server rabbit/r2 3x",
    "set maxconn server nosuch/r2 3",
    "set maxconn server rabbit/r2 10",
    "set maxconn server rabbit/r2 0",
    "set maxconn frontend",
    "set maxconn frontend amqp",
    "set maxconn frontend nosuch 3",
    "set maxconn frontend amqp -1",
    "set maxconn frontend amqp 150",
    "set maxconn frontend amqp 200",
    "set maxconn global",
    "set maxconn global 100000",
    "set maxconn global 250",
    "set maxconn global 0",
    "set rate-limit",
    "set rate-limit sessions",
    "set rate-limit sessions global",
    "set rate-limit sessions nosuch 4",
    "set rate-limit nosuch global 5",
    "set rate-limit sessions global -3",
    "set rate-limit sessions global 5000",
    "set rate-limit connections global 6000",
    "user;set rate-limit sessions global 5",
    "set rate-limit sessions global 0",
    "set rate-limit connections global 0",
    "set timeout",
    "set timeout nosuch 3",
    "set timeout cli",
    "set timeout cli abc",
    "set timeout cli 0",
    "set timeout cli 20",
    "set timeout cli 100000000000",
    "set timeout cli 2147483647000ms",
    "set timeout cli 2147483647001ms",
    "shutdown sessions server",
    "shutdown sessions server nosuch/r2",
    "shutdown sessions server rabbit/nosuch",
    "shutdown sessions server rabbit/r2",
    "clear counters",
    "clear counters all",
    "operator;show cli level;set weight rabbit/r2 3;clear counters;clear counters all",
    "user;show cli level;get weight rabbit/r2;clear counters;disable server rabbit/r2",
    "user;operator;show cli level",
    "user;set timeout cli 3;set maxconn global 3;shutdown sessions server rabbit/r2",
    "experimental-mode;expert-mode",
    "experimental-mode on;experimental-mode;expert-mode;experimental-mode off;experimental-mode",
    "expert-mode on;expert-mode;expert-mode nosuch;expert-mode",
    "experimental-mode on;operator;experimental-mode",
    "user;experimental-mode;expert-mode on",
    "experimental-mode on;add server rabbit",
    "add server",
    "add server rabbit",
    "add server rabbit/r9",
    "add server nosuch/r9 127.0.0.1:9",
    "add server rabbit/r2 127.0.0.1:9",
    "add server rabbit/r9 127.0.0.1:9 weight 300",
    "add server rabbit/r9 127.0.0.1:9 nosuch",
    "add server rabbit/r9 127.0.0.1:9 weight 30 maxconn 7 check",
    "add server rabbit/r9 127.0.0.1:9",
    "get weight rabbit/r9",
    "enable server rabbit/r9",
    "del server rabbit/r9",
    "disable server rabbit/r9",
    "del server rabbit/r9",
    "del server rabbit/r9",
    "del server",
    "del server rabbit",
    "del server nosuch/r1",
    "del server rabbit/r2",
    "user;add server rabbit/r9 127.0.0.1:9;del server rabbit/r2",
    "user;enable health rabbit/r2;set server rabbit/r2 state maint;set nosuch",
];

#[test]
fn changes_are_answered_as_haproxy_answers_them() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    for command in SAME {
        let (ours, theirs) = (warren.ask_line(command), haproxy.ask_line(command));
        // What is unknown is answered with the list of commands, which differs.
        let known = |answer: &str| answer.split("Unknown command").next().unwrap().to_owned();
        assert_eq!(known(&ours), known(&theirs), "{command}");
    }
    // Nothing of it has left a trace.
    let ask = "show stat\n";
    let up = |rows: &str| value(rows, "r2", "status") == "UP";
    haproxy.ask_until(ask, up);
    compare_stat(&warren.ask_until(ask, up), &haproxy.ask_at_rest(ask));
}

/// What the statistics of both show after a change: a column of `show stat`.
const SHOWN: [(&str, &str, &str, &str); 14] = [
    ("set server rabbit/r2 state drain", "r2", "status", "DRAIN"),
    ("set server rabbit/r2 state maint", "r2", "status", "MAINT"),
    ("show version", "BACKEND", "status", "DOWN"),
    ("set server rabbit/r2 state ready", "r2", "status", "UP"),
    ("disable server rabbit/r1", "r1", "status", "MAINT"),
    ("enable server rabbit/r1", "r1", "status", "DOWN"),
    ("set weight rabbit/r2 40%", "r2", "weight", "40"),
    ("show version", "r2", "uweight", "40"),
    ("show version", "BACKEND", "weight", "40"),
    ("set weight rabbit/r2 0", "BACKEND", "act", "0"),
    ("set weight rabbit/r2 7", "BACKEND", "act", "1"),
    ("set maxconn server rabbit/r2 10", "r2", "slim", "10"),
    ("set maxconn frontend amqp 150", "FRONTEND", "slim", "150"),
    (
        "set server rabbit/r2 addr 127.0.0.9",
        "r2",
        "check_status",
        "L4CON",
    ),
];

#[test]
fn changes_are_seen_in_the_statistics_of_both() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    for balancer in [&haproxy, &warren] {
        for (command, row, column, wanted) in SHOWN {
            let _ = balancer.ask_line(command);
            balancer.ask_until("show stat\n", |rows| value(rows, row, column) == wanted);
        }
        let _ = balancer.ask_line("set maxconn global 250");
        assert!(balancer.ask("show info\n").contains("\nMaxconn: 250\n"));
        for (command, line) in [
            ("set rate-limit sessions global 70", "\nSessRateLimit: 70\n"),
            (
                "set rate-limit connections global 80",
                "\nConnRateLimit: 80\n",
            ),
        ] {
            let _ = balancer.ask_line(command);
            assert!(balancer.ask("show info\n").contains(line), "{command}");
        }
    }
    let _ = [&haproxy, &warren].map(|one| one.ask_line("disable server plain/n1"));
    let _ = [&haproxy, &warren].map(|one| one.ask_line("set server rabbit/r3 state drain"));
    let ask = "show servers state\n";
    let decided = |text: &str| text.contains(" r2 127.0.0.9 0 0 7 100 ");
    let ours = server_states(&warren.ask_until(ask, decided));
    haproxy.ask_until(ask, decided);
    assert_eq!(ours, server_states(&haproxy.ask_at_rest(ask)));
}

/// Whether the other side has closed or reset the connection.
pub(crate) fn is_over(client: &mut TcpStream) -> bool {
    client
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    match client.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

pub(crate) fn client(balancer: &Balancer, open: &str) -> TcpStream {
    let mut client = balancer.connect();
    client.write_all(b"hello").unwrap();
    balancer.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == open);
    client
}

#[test]
fn open_connections_survive_every_state_and_weight_and_end_when_told() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    for balancer in [&haproxy, &Balancer::warren(&servers)] {
        let mut clients = [client(balancer, "1"), client(balancer, "2")];
        for command in [
            "set server rabbit/r2 state drain",
            "set server rabbit/r2 state maint",
            "set server rabbit/r2 state ready",
            "set weight rabbit/r2 0",
            "set maxconn server rabbit/r2 1",
            "set maxconn frontend amqp 1",
            "set maxconn global 1",
        ] {
            assert_eq!(balancer.ask_line(command), "\n");
            assert!(!clients.iter_mut().any(is_over), "{command}");
        }
        let _ = balancer.ask_line("shutdown sessions server rabbit/r2");
        assert!(clients.iter_mut().all(is_over));
        balancer.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "0");
    }
}

/// HAProxy has it since 3.0; the answers are those of 3.4.
#[test]
fn a_server_is_waited_for_until_it_can_be_removed() {
    let servers = Servers::start();
    let warren = Balancer::warren(&servers);
    let mut client = client(&warren, "1");
    let connected = "Server still has connections attached to it, cannot remove it.";
    for (line, answer) in [
        (
            "wait 10s srv-removable rabbit/nosuch",
            "Failed. No such server.\n\n".to_owned(),
        ),
        (
            "wait 10s srv-removable rabbit/r2",
            "Failed. Only servers in maintenance mode can be deleted.\n\n".to_owned(),
        ),
        (
            "disable server rabbit/r2;wait 10ms srv-removable rabbit/r2",
            format!("\nWait delay expired. {connected}\n\n"),
        ),
        (
            "shutdown sessions server rabbit/r2;wait 20s srv-removable rabbit/r2;del server \
             rabbit/r2",
            "\nDone.\n\nServer deleted.\n".to_owned(),
        ),
    ] {
        assert_eq!(warren.ask_line(line), answer, "{line}");
    }
    assert!(is_over(&mut client));
}

#[test]
fn who_waits_for_a_limit_gets_in_when_it_is_raised() {
    let servers = Servers::start();
    let warren = Balancer::warren(&servers);
    for (lower, raise) in [
        ("set maxconn frontend amqp 1", "set maxconn frontend amqp 2"),
        ("set maxconn global 1", "set maxconn global 0"),
        (
            "set maxconn server rabbit/r2 1",
            "set maxconn server rabbit/r2 0",
        ),
    ] {
        let _ = warren.ask_line(lower);
        let first = client(&warren, "1");
        let second = warren.connect();
        std::thread::sleep(Duration::from_millis(100));
        assert_eq!(
            value(&warren.ask("show stat\n"), "r2", "scur"),
            "1",
            "{lower}"
        );
        let _ = warren.ask_line(raise);
        warren.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "2");
        drop((first, second));
        warren.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "0");
        let _ = warren.ask_line("set maxconn frontend amqp 200");
    }
}

#[test]
fn clients_are_accepted_no_faster_than_the_common_rate() {
    let servers = Servers::start();
    let warren = Balancer::warren(&servers);
    let _ = warren.ask_line("set rate-limit sessions global 10");
    let begun = Instant::now();
    let _clients: Vec<TcpStream> = (0..25).map(|_| warren.connect()).collect();
    warren.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "25");
    // The first, and what may come at once, are not paced.
    let took = begun.elapsed();
    assert!(took > Duration::from_secs(2), "{took:?}");
    warren.log_until("command=\"set rate-limit sessions global 10\"");
}

#[test]
fn every_change_is_logged_with_who_made_it() {
    let warren = Balancer::warren(&Servers::start());
    let _ =
        warren.ask_line("disable server rabbit/r2;set weight rabbit/r2 50%;get weight rabbit/r2");
    let _ = warren.ask_line("set weight rabbit/r2 300;user;enable server rabbit/r2");
    let log = warren.log_until("set server rabbit/r2 weight 50");
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("stats socket"))
        .collect();
    assert_eq!(lines.len(), 2, "{log}");
    let who = format!("uid={} ", nix::unistd::getuid());
    let pid = format!("pid={} ", std::process::id());
    for (line, command) in lines.iter().zip(["state maint", "weight 50"]) {
        assert!(line.contains(&who) && line.contains(&pid), "{line}");
        assert!(
            line.contains(&format!("set server rabbit/r2 {command}")),
            "{line}"
        );
    }
}

#[test]
fn a_server_whose_checks_are_stopped_stays_as_it_is() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    for balancer in [&haproxy, &Balancer::warren(&servers)] {
        let _ = balancer.ask_line("disable health rabbit/r2;set server rabbit/r2 addr 127.0.0.9");
        // Three checks would have failed by now.
        std::thread::sleep(Duration::from_millis(1000));
        let rows = balancer.ask("show stat\n");
        let shown = ["status", "check_status", "chkfail"].map(|column| value(&rows, "r2", column));
        assert_eq!(shown, ["no check", "", ""]);
        let states = balancer.ask("show servers state\n");
        assert!(states.contains(" 6 3 4 2 0 "), "{states}");
        let _ = balancer.ask_line("enable health rabbit/r2");
        balancer.ask_until("show stat\n", |rows| value(rows, "r2", "status") == "DOWN");
    }
}

/// Columns of `show stat` that tell of a server's health, and words of `show servers state`.
fn health(balancer: &Balancer, pool: &str, server: &str) -> Vec<String> {
    let rows = balancer.ask("show stat\n");
    let mut told: Vec<String> = ["status", "act", "bck", "check_health"]
        .map(|column| value(&rows, server, column).to_owned())
        .into();
    let states = balancer.ask(&format!("show servers state {pool}\n"));
    let row = states
        .lines()
        .find(|row| row.split(' ').nth(3) == Some(server));
    let states: Vec<_> = row.unwrap().split(' ').collect();
    // srv_op_state, srv_admin_state; and srv_check_health, if it is checked: HAProxy has another
    // one before the first word of an operator than after it.
    told.extend([5, 6].map(|at| states[at].to_owned()));
    if pool != "plain" {
        told.push(states[12].to_owned());
    }
    told
}

#[test]
fn health_is_what_an_operator_says_until_a_check_says_otherwise() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    let both = [&haproxy, &warren];
    let same = |pool, server| {
        let [theirs, ours] = both.map(|balancer| health(balancer, pool, server));
        assert_eq!(ours, theirs, "{pool}/{server}");
        ours
    };
    // Where nobody checks it stays.
    for (command, state) in [("down", "0"), ("up", "2"), ("down", "0")] {
        let _ = both.map(|one| one.ask_line(&format!("set server plain/n1 health {command}")));
        assert_eq!(same("plain", "n1")[4], state);
    }
    let _ = both.map(|one| one.ask_line("disable health rabbit/r2"));
    let _ = both.map(|one| one.ask_line("set server rabbit/r2 health down"));
    assert_eq!(same("rabbit", "r2")[4], "0");
    // The intended difference: HAProxy takes every server for up after maintenance.
    for command in ["state maint", "health down", "state ready"] {
        let _ = both.map(|one| one.ask_line(&format!("set server rabbit/r2 {command}")));
    }
    let states = both.map(|one| health(one, "rabbit", "r2")[4].clone());
    assert_eq!(states, ["2", "0"]);
    let _ = haproxy.ask_line("set server rabbit/r2 health down");
    let down = |rows: &str| {
        let backend = rows.lines().find(|row| row.starts_with("rabbit,BACKEND,"));
        backend.unwrap().split(',').nth(17) == Some("DOWN")
    };
    let _ = both.map(|one| one.ask_until("show stat\n", down));
    // Checks bring it back.
    let _ = both.map(|one| one.ask_line("enable health rabbit/r2"));
    let up = |rows: &str| value(rows, "r2", "status") == "UP";
    let _ = both.map(|one| one.ask_until("show stat\n", up));
    assert_eq!(same("rabbit", "r2")[4], "2");
    // One that is up and is said to be down goes down at once, with its connections.
    let mut clients = [client(&warren, "1")];
    let _ = warren.ask_line("set server rabbit/r2 health down");
    assert!(clients.iter_mut().all(is_over));
    let _ = warren.ask_until("show stat\n", up);
    warren.log_until("command=\"set server rabbit/r2 health down\"");
    let answer = warren.ask_line("set server rabbit/r2 health stopping");
    assert!(
        answer.starts_with("warren does not support this"),
        "{answer}"
    );
}

#[test]
fn a_disabled_frontend_refuses_clients_and_keeps_those_it_has() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    for balancer in [&haproxy, &Balancer::warren(&servers)] {
        for lower in ["show version", "set maxconn frontend amqp 1"] {
            let _ = balancer.ask_line(lower);
            let mut before = client(balancer, "1");
            assert_eq!(balancer.ask_line("disable frontend amqp"), "\n");
            let status = |rows: &str| value(rows, "FRONTEND", "status") == "PAUSED";
            balancer.ask_until("show stat\n", status);
            balancer.wait_until_refused();
            assert!(!is_over(&mut before));
            drop(before);
            balancer.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "0");
            assert_eq!(balancer.ask_line("enable frontend amqp"), "\n");
            balancer.wait_until_accepting();
            drop(client(balancer, "1"));
            balancer.ask_until("show stat\n", |rows| value(rows, "r2", "scur") == "0");
        }
    }
}

/// Somebody else has taken the port of a listener while it was closed.
#[test]
fn a_listener_whose_port_is_taken_stays_closed() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    let [ours, theirs] = [&warren, &haproxy].map(|balancer| {
        let mut said = vec![balancer.ask_line("disable frontend amqp")];
        let paused = |rows: &str| value(rows, "FRONTEND", "status") == "PAUSED";
        balancer.ask_until("show stat\n", paused);
        balancer.wait_until_refused();
        let taken = balancer.take_port();
        said.push(balancer.ask_line("enable frontend amqp"));
        assert!(paused(&balancer.ask("show stat\n")), "{said:?}");
        drop(taken);
        said.push(balancer.ask_line("enable frontend amqp"));
        balancer.wait_until_accepting();
        said.push(balancer.ask_line("enable frontend amqp"));
        said
    });
    assert_eq!(ours, theirs);
    assert!(
        ours[1].starts_with("Failed to resume frontend, "),
        "{ours:?}"
    );
    warren.log_until("listener amqp cannot bind");
}

/// One more server, which serves, and goes when it has nothing to do any more.
#[test]
fn servers_come_and_go_as_haproxys_do() {
    let servers = Servers::start();
    let Some(haproxy) = Balancer::haproxy(&servers) else {
        return;
    };
    let warren = Balancer::warren(&servers);
    let [ours, theirs] = [&warren, &haproxy].map(|balancer| {
        let mut said = Vec::new();
        let mut tell = |line: &str| said.push(balancer.ask_line(line));
        tell(&format!("add server rabbit/r9 {} weight 100", servers.live));
        tell("enable server rabbit/r9");
        let serves = |rows: &str| ["UP", "no check"].contains(&value(rows, "r9", "status"));
        balancer.ask_until("show stat\n", serves);
        tell("set server rabbit/r2 state maint");
        let client = balancer.connect();
        balancer.ask_until("show stat\n", |rows| value(rows, "r9", "scur") == "1");
        tell("disable server rabbit/r9");
        tell("del server rabbit/r9");
        drop(client);
        balancer.ask_until("show stat\n", |rows| value(rows, "r9", "scur") == "0");
        tell("del server rabbit/r9");
        tell("set server rabbit/r2 state ready");
        let rows = balancer.ask("show stat\n");
        assert!(!rows.contains("rabbit,r9,"), "{rows}");
        said
    });
    assert_eq!(ours, theirs);
    let log = warren.log_until("command=\"del server rabbit/r9\"");
    assert!(log.contains("command=\"add server rabbit/r9 "), "{log}");
}
