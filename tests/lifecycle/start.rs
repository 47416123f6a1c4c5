//! Starts that fail, each with its exit code and its reason; and the admin socket.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::fake::{Fake, Mood};
use crate::process::mortal;
use crate::skip::skip;
use crate::warren::{Setup, Warren, unchecked};

/// A start that cannot succeed fails within this time.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Nobody connects to this server.
const NOBODY: &str = "127.0.0.1:9";

/// Starts it and expects an end with `code`; the log must have `words`.
async fn fails(setup: Setup, code: i32, words: &[&str]) {
    let mut warren = setup.launch();
    assert_eq!(warren.ends(AT_ONCE).await, code, "{}", warren.log());
    has(&warren.log(), words);
}

fn has(log: &str, words: &[&str]) {
    for word in words {
        assert!(log.contains(word), "no {word:?} in:\n{log}");
    }
}

#[tokio::test]
async fn a_port_in_use_ends_the_start() {
    let setup = Setup::new("", &unchecked(NOBODY));
    let address = format!("127.0.0.1:{}", setup.port);
    let _holder = std::net::TcpListener::bind(&address).unwrap();
    let socket = setup.socket.clone();
    fails(setup, 69, &["entrance", &address, "in use"]).await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn another_warren_keeps_its_port_and_its_socket() {
    let server = Fake::new(Mood::Good).await;
    let first = Setup::new("", &unchecked(server.address)).start().await;
    let address = format!("127.0.0.1:{}", first.setup.port);
    let second = Setup::at(first.setup.port, &first.setup.socket, &unchecked(NOBODY));
    fails(second, 69, &["entrance", &address, "in use"]).await;
    still_serves(&first).await;
    let other_port = Setup::new("", &unchecked(NOBODY)).port;
    let third = Setup::at(other_port, &first.setup.socket, &unchecked(NOBODY));
    let path = first.setup.socket.display().to_string();
    fails(third, 69, &["admin socket", &path, "another daemon"]).await;
    still_serves(&first).await;
    first.stop(AT_ONCE).await;
}

async fn still_serves(warren: &Warren) {
    for _ in 0..20 {
        warren.client().await.echo().await.unwrap();
    }
    assert!(warren.ask("show info").unwrap().contains("Name:"));
}

#[tokio::test]
async fn a_stale_admin_socket_is_replaced_and_ours_removed() {
    let setup = Setup::new("", &unchecked(NOBODY));
    drop(UnixListener::bind(&setup.socket).unwrap());
    assert!(setup.socket.exists(), "nothing is stale");
    let warren = setup.start().await;
    assert!(warren.ask("show info").unwrap().contains("Name:"));
    let mode = std::fs::metadata(&warren.setup.socket).unwrap();
    assert_eq!(mode.permissions().mode() & 0o7777, 0o660);
    // Checks that the socket is gone.
    warren.stop(AT_ONCE).await;
}

#[tokio::test]
async fn something_else_in_place_of_the_admin_socket_is_left_alone() {
    let setup = Setup::new("", &unchecked(NOBODY));
    std::fs::write(&setup.socket, "precious").unwrap();
    let mut warren = setup.launch();
    assert_eq!(warren.ends(AT_ONCE).await, 69);
    has(&warren.log(), &["not a socket"]);
    let kept = std::fs::read_to_string(&warren.setup.socket).unwrap();
    assert_eq!(kept, "precious");
}

#[tokio::test]
async fn a_missing_folder_of_the_admin_socket_ends_the_start() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("missing/admin.sock");
    let port = Setup::new("", &unchecked(NOBODY)).port;
    let setup = Setup::at(port, &socket, &unchecked(NOBODY));
    fails(setup, 69, &["admin socket", "no directory"]).await;
}

#[tokio::test]
async fn a_low_port_needs_a_capability() {
    let first = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first.is_ok_and(|first| first.trim() == "0") {
        skip("here everybody may bind low ports");
        return;
    }
    if !nix::unistd::geteuid().is_root() {
        skip("only root can become somebody else");
        return;
    }
    let home = tempfile::tempdir().unwrap();
    let open = |path: &Path| {
        let permissions = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, permissions).unwrap();
    };
    open(home.path());
    let mut binary = Path::new(env!("CARGO_BIN_EXE_warren")).to_owned();
    let mut reach = as_nobody(&binary);
    let reach = reach.arg("--version").stdout(Stdio::null());
    if !reach.status().unwrap().success() {
        let copy = home.path().join("warren");
        std::fs::copy(&binary, &copy).unwrap();
        open(&copy);
        binary = copy;
    }
    let setup = Setup::at(843, &home.path().join("admin.sock"), &unchecked(NOBODY));
    open(setup.home.path());
    let mut command = as_nobody(&binary);
    command.args(["run", "-c"]).arg(setup.file());
    let mut warren = setup.launch_as(command);
    assert_eq!(warren.ends(AT_ONCE).await, 77, "{}", warren.log());
    has(&warren.log(), &["127.0.0.1:843", "CAP_NET_BIND_SERVICE"]);
}

/// The binary without any privilege.
fn as_nobody(binary: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args(["--bounding-set=-all", "--pdeathsig=KILL", "--"])
        .arg(binary);
    command
}

#[tokio::test]
async fn a_wrong_configuration_is_told_and_starts_nothing() {
    let pool = format!("{}\n[pool.p]\nbalanse = \"first\"", unchecked(NOBODY));
    let setup = Setup::new("", &pool);
    let (port, socket) = (setup.port, setup.socket.clone());
    fails(setup, 78, &["balanse", "balance", "warren.toml"]).await;
    assert!(!socket.exists());
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[tokio::test]
async fn too_few_descriptors_are_told_with_the_number_needed() {
    let mut warren = limited_to(64);
    assert_eq!(warren.ends(AT_ONCE).await, 78, "{}", warren.log());
    let log = warren.log();
    has(&log, &["the hard limit is 64", "LimitNOFILE"]);
    let needed = log.lines().filter_map(|line| {
        let (_, after) = line.split_once("it needs ")?;
        after.split(' ').next()?.parse::<u64>().ok()
    });
    // The number is enough, and one less is not.
    let needed = needed.max().expect("the number needed");
    let mut enough = limited_to(needed);
    enough.logs("accepting").await;
    enough.stop(AT_ONCE).await;
    let mut too_few = limited_to(needed - 1);
    assert_eq!(too_few.ends(AT_ONCE).await, 78, "{}", too_few.log());
}

/// A start for a thousand connections with so many descriptors.
fn limited_to(descriptors: u64) -> Warren {
    let setup = Setup::new("max_connections = 1000", &unchecked(NOBODY));
    let mut command = mortal("sh");
    command
        .args(["-c", &format!("ulimit -n {descriptors}; exec \"$@\""), "sh"])
        .arg(env!("CARGO_BIN_EXE_warren"))
        .args(["run", "-c"])
        .arg(setup.file());
    setup.launch_as(command)
}

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_warren"));
    command.args(arguments).output().unwrap()
}

#[test]
fn wrong_usage_ends_with_64_and_help_with_0() {
    for wrong in [&["run", "--nonsense"][..], &["walk"], &[], &["run", "-c"]] {
        let output = run(wrong);
        assert_eq!(output.status.code(), Some(64), "{wrong:?}");
        assert!(!output.stderr.is_empty());
    }
    for right in [&["--help"][..], &["--version"], &["run", "--help"]] {
        let output = run(right);
        assert_eq!(output.status.code(), Some(0), "{right:?}");
        assert!(!output.stdout.is_empty());
    }
}

#[test]
fn a_missing_configuration_ends_with_78() {
    let start = Instant::now();
    let output = run(&["run", "-c", "/nonexistent/warren.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(words.contains("/nonexistent/warren.toml"), "{words}");
    assert!(start.elapsed() < AT_ONCE);
}
