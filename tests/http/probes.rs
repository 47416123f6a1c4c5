//! `/readyz` and `/healthz`, as a load balancer or Kubernetes asks them.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;

use crate::network::{body, enter, get, until};
use crate::node::{HTTP, POOLS, ROUTER, Warren, serve};

/// Waits until `/readyz` says no for this reason.
fn waits_for(reason: &str) {
    until(reason, || {
        let (status, _, body) = get(HTTP, "/readyz")?;
        (status == 503 && body.lines().any(|line| line == reason)).then_some(())
    });
}

fn waits_until_ready() {
    until("ready", || {
        get(HTTP, "/readyz").filter(|(status, ..)| *status == 200)
    });
}

#[test]
fn a_node_is_ready_when_it_would_serve() {
    if !enter() {
        return;
    }
    // A server whose check is not answered: the first round goes on.
    let silent = TcpListener::bind("127.0.0.1:5682").unwrap();
    let tables = POOLS.replace(
        "interval = \"200ms\"",
        "interval = \"200ms\"\ntype = \"http\"\ntimeout = \"1m\"",
    );
    let warren = Warren::start(&tables);
    waits_for("the first checks are still running");
    let (status, _, body) = get(HTTP, "/healthz").unwrap();
    assert_eq!(
        (status, body.as_str()),
        (200, "ok\n"),
        "it is well meanwhile"
    );
    std::thread::spawn(move || {
        for mut connection in silent.incoming().flatten() {
            std::thread::spawn(move || {
                let mut request = [0; 1024];
                let _ = connection.read(&mut request);
                let _ = connection.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            });
        }
    });
    waits_until_ready();

    let _ = warren.tell("set server rabbit/r2 state drain");
    waits_for("pool rabbit of listener amqp has no usable server");
    let _ = warren.tell("set server rabbit/r2 state ready");
    waits_until_ready();
    let _ = warren.tell("disable frontend amqp");
    waits_for("listener amqp is disabled");
    let _ = warren.tell("enable frontend amqp");
    waits_until_ready();
}

#[test]
fn a_node_that_could_not_take_over_is_not_ready() {
    if !enter() {
        return;
    }
    serve(5682);
    let tables = format!("{POOLS}{ROUTER}");
    let warren = Warren::start(&format!("{tables}startup_delay = \"1h\"\n"));
    waits_for("virtual router amqp claims nothing yet: startup_delay has not passed");
    assert_eq!(number("warren_ready"), 0);
    let _ = warren.reload(&tables);
    waits_until_ready();
    assert_eq!(number("warren_ready"), 1);
    for (state, ready) in [("down", false), ("up", true)] {
        let mut ip = Command::new("ip");
        assert!(
            ip.args(["link", "set", "far", state])
                .status()
                .unwrap()
                .success()
        );
        match ready {
            true => waits_until_ready(),
            false => {
                waits_for("virtual router amqp waits for interface eth0, which has no carrier")
            }
        }
    }
}

/// The number of a metric without labels.
fn number(name: &str) -> u64 {
    let text = body(HTTP, "/metrics?scope=warren");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap().parse().unwrap()
}

#[test]
fn a_reload_is_told_by_the_metrics() {
    if !enter() {
        return;
    }
    serve(5682);
    let warren = Warren::ready(POOLS);
    let at = number("warren_config_last_reload_success_timestamp_seconds");
    assert_eq!(number("warren_config_last_reload_successful"), 1);
    let answer = warren.reload("[listen.amqp]\nbind = 7\n");
    until(&answer, || {
        (number("warren_config_last_reload_successful") == 0).then_some(())
    });
    assert_eq!(
        number("warren_config_last_reload_success_timestamp_seconds"),
        at
    );

    // The other server of the pool is new, and served at once.
    let tables = POOLS.replace("r3 =", "r4 = \"127.0.0.1:5682\"\nr3 =");
    let answer = warren.reload(&tables);
    until(&answer, || {
        (number("warren_config_last_reload_successful") == 1).then_some(())
    });
    let series = "warren_config_reloads_total{result=\"refused\"} 1\n";
    assert!(body(HTTP, "/metrics").contains(series));
    until("the new server", || {
        let up = "haproxy_server_status{proxy=\"rabbit\",server=\"r4\",state=\"UP\"} 1\n";
        body(HTTP, "/metrics").contains(up).then_some(())
    });
    until("its chart", || {
        body(HTTP, "/status.json")
            .contains("\"name\":\"r4\"")
            .then_some(())
    });
}

#[test]
fn a_node_that_drains_is_not_ready_but_well() {
    if !enter() {
        return;
    }
    serve(5682);
    let warren = Warren::ready(POOLS);
    // A client that stays holds up the end.
    let client = TcpStream::connect("127.0.0.1:5672").unwrap();
    until("the client", || {
        warren
            .tell("show stat")
            .contains("rabbit,r2,0,0,1,")
            .then_some(())
    });
    warren.terminate();
    waits_for("the daemon is stopping");
    for _ in 0..5 {
        let (status, ..) = get(HTTP, "/healthz").unwrap();
        assert_eq!(status, 200);
        std::thread::sleep(std::time::Duration::from_secs(1));
    }
    drop(client);
    until("the end", || get(HTTP, "/healthz").is_none().then_some(()));
}
