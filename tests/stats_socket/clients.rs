//! Other people's programs at the stats socket. Each is skipped, with a word, where it is missing.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::balancer::{Balancer, Daemon, Servers};
use crate::skip::skip;
use crate::value;

/// A program on the path, or where Debian keeps the plugins of monitoring systems.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/lib/nagios/plugins")]);
    let found = folders
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        skip(&format!("{name} is not installed"));
    }
    found
}

/// A program of the clients from PyPI.
fn from_pypi(name: &str) -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("stats_socket_clients");
    // One test at a time prepares; the others find it done.
    static PREPARING: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _alone = PREPARING.lock();
    let prepared = Command::new(script("prepare-socket")).arg(&folder).output();
    match prepared {
        Ok(output) if output.status.success() => Some(folder.join("venv/bin").join(name)),
        _ => {
            skip("the clients from PyPI could not be fetched");
            None
        }
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/clients")
        .join(name)
}

fn text(output: &Output) -> String {
    let both = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    both.concat()
}

#[test]
fn haproxyadmin_changes_servers_and_limits() {
    let Some(python) = from_pypi("python") else {
        return;
    };
    let servers = Servers::start();
    let balancers = [
        Balancer::haproxy(&servers),
        Some(Balancer::warren(&servers)),
    ];
    for balancer in balancers.into_iter().flatten() {
        let mut command = Command::new(&python);
        let run = command.arg(script("administer.py")).arg(balancer.socket());
        let output = run.output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }
}

#[test]
fn haproxytool_drains_and_weighs_a_server() {
    let Some(tool) = from_pypi("haproxytool") else {
        return;
    };
    let warren = Balancer::warren(&Servers::start());
    let tool = |arguments: &[&str]| {
        let socket = warren.socket();
        let mut command = Command::new(&tool);
        let command = command.args(["server", "-F"]).arg(socket).args(arguments);
        text(&command.output().unwrap())
    };
    for (arguments, wanted) in [
        (&["-l"][..], "rabbit                         r2"),
        (&["-n", "r2"], "r2 set to drain in rabbit backend"),
        (&["-s", "r2"], " DRAIN"),
        (&["-R", "r2"], "r2 set to ready in rabbit backend"),
        (
            &["-w", "30", "r2"],
            "r2 backend set weight to 30 in rabbit backend",
        ),
        (&["-W", "r2"], " 30"),
        (&["-d", "r2"], "r2 disabled in rabbit backend"),
    ] {
        let said = tool(arguments);
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    assert_eq!(value(&warren.ask("show stat\n"), "r2", "status"), "MAINT");
}

#[test]
fn hatop_shows_everything_on_its_screen() {
    let (Some(hatop), Some(python)) = (program("hatop"), from_pypi("python")) else {
        return;
    };
    let warren = Balancer::warren(&Servers::start());
    let mut command = Command::new(python);
    let run = command
        .arg(script("watch.py"))
        .arg(warren.socket())
        .arg(hatop);
    let output = run.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn check_haproxy_stats_says_what_is_down() {
    let Some(plugin) = program("check_haproxy_stats") else {
        return;
    };
    let warren = Balancer::warren(&Servers::start());
    let check = || {
        let mut command = Command::new(&plugin);
        command.arg("-s").arg(warren.socket()).output().unwrap()
    };
    let output = check();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    assert!(
        text(&output).contains("rabbit:r1 is DOWN"),
        "{}",
        text(&output)
    );
    // A server in maintenance is not what it complains of as DOWN.
    let _ = warren.ask_line("disable server rabbit/r1;disable server rabbit/r3");
    let said = text(&check());
    assert!(
        said.contains("rabbit:r1 is MAINT") && !said.contains("DOWN"),
        "{said}"
    );
}

#[test]
fn the_prometheus_exporter_finds_every_server() {
    let Some(exporter) = program("prometheus-haproxy-exporter") else {
        return;
    };
    let warren = Balancer::warren(&Servers::start());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let scraped = format!("--haproxy.scrape-uri=unix:{}", warren.socket().display());
    let mut command = Command::new(exporter);
    command
        .arg(scraped)
        .arg(format!("--web.listen-address={address}"));
    let started = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _exporter = Daemon(started.unwrap());
    let metrics = metrics(address);
    for line in [
        "haproxy_up 1",
        "haproxy_exporter_csv_parse_failures_total 0",
        "haproxy_server_up{backend=\"rabbit\",server=\"r1\"} 0",
        "haproxy_server_up{backend=\"rabbit\",server=\"r2\"} 1",
        "haproxy_backend_up{backend=\"rabbit\"} 1",
        "haproxy_frontend_limit_sessions{frontend=\"amqp\"} 200",
    ] {
        assert!(
            metrics.lines().any(|one| one == line),
            "{line} in {metrics}"
        );
    }
}

/// What an exporter says, once it listens.
fn metrics(address: SocketAddr) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
