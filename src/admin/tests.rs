//! The protocol over a real socket, with a registry that has no pools.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::task::LocalSet;

use super::guests::MAX_CLIENTS;
use super::*;
use crate::config::{self, Config, Identity};
use crate::proxy::worker::CommonLimits;
use crate::stats::{Budget, Registry};

fn registry() -> Arc<Registry> {
    let config = Config {
        global: config::Global {
            workers: 1,
            max_connections: 0,
            drain_timeout: Duration::ZERO,
        },
        log: config::Log {
            format: config::LogFormat::Text,
            level: config::LogLevel::Info,
            connections: false,
        },
        admin: config::Admin {
            socket: None,
            socket_mode: 0o660,
            socket_level: config::Level::Admin,
            http: None,
            identity: Identity::Haproxy,
        },
        listeners: vec![config::Listener {
            name: "amqp".to_owned(),
            bind: vec!["127.0.0.1:5672".parse().unwrap()],
            pool: 0,
            max_connections: 0,
            max_accept_rate: 0,
            allow: vec![],
            deny: vec![],
            proxy_protocol: false,
            trusted: vec![],
        }],
        pools: vec![],
        virtual_routers: Vec::new(),
    };
    let budget = Budget {
        descriptors: 2048,
        max_connections: 1000,
        max_pipes: 48,
    };
    // The pool that the listener names is not asked for.
    Arc::new(Registry::new(
        config.into(),
        budget,
        Arc::default(),
        Instant::now(),
    ))
}

pub(super) fn hands() -> Rc<Hands> {
    let on_change: crate::health::monitor::OnChange = Rc::new(|_, _| {});
    let registry = registry();
    let limits = CommonLimits::new(&registry);
    let (reloads, _) = tokio::sync::mpsc::channel(1);
    let (routers, _) = tokio::sync::mpsc::channel(1);
    let (events, signal) = (Rc::default(), Rc::default());
    Hands::new(
        &registry, &on_change, &events, &signal, &limits, &reloads, &routers,
    )
}

/// Runs `test` against a served socket.
fn with_socket<F: Future<Output = ()>>(test: impl FnOnce(PathBuf) -> F) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let listener = bind(&path, 0o660).unwrap();
        let server = tokio::task::spawn_local(serve(listener, hands()));
        test(path).await;
        server.abort();
    });
}

/// Sends, half-closes, and returns all that comes.
async fn ask(path: &PathBuf, request: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const VERSION: &str = "2.6.0-warren-0.1.0\n\n";

#[test]
fn one_line_is_answered_and_the_connection_closed() {
    with_socket(|path| async move {
        let cases: &[(&[u8], String)] = &[
            (b"show version\n", VERSION.to_owned()),
            (b"show version\r\n", VERSION.to_owned()),
            (b"  show  version  extra\n", VERSION.to_owned()),
            (
                b"show version;show cli level\n",
                format!("{VERSION}admin\n\n"),
            ),
            // Lines that are already there are answered too, as HAProxy does.
            (
                b"show version\nshow cli level\n",
                format!("{VERSION}admin\n\n"),
            ),
            (b"quit\n", String::new()),
            (b"show version;quit;show version\n", VERSION.to_owned()),
            // Half a command is no command.
            (b"show version", String::new()),
            (b"", String::new()),
            (
                b"show servers state nosuch\n",
                "Can't find backend.\n\n".to_owned(),
            ),
            (b"show stat nosuch 1 1\n", "No such proxy.\n\n".to_owned()),
            (
                b"show stat domain dns\n",
                "Invalid statistics domain.\n\n".to_owned(),
            ),
            (b"show stat -1 8 -1 json\n", "[]\n\n".to_owned()),
        ];
        for (request, expected) in cases {
            let request_text = String::from_utf8_lossy(request);
            assert_eq!(ask(&path, request).await, *expected, "{request_text:?}");
        }
    });
}

#[test]
fn a_client_that_keeps_its_side_open_sees_the_close() {
    with_socket(|path| async move {
        let mut stream = UnixStream::connect(path).await.unwrap();
        stream.write_all(b"show version\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, VERSION);
    });
}

#[test]
fn prompt_toggles_the_interactive_mode() {
    with_socket(|path| async move {
        let answer = ask(
            &path,
            b"prompt\nshow version\nshow version;show cli level\nquit\n",
        )
        .await;
        assert_eq!(answer, format!("\n> {VERSION}> {VERSION}> admin\n\n> "));
        let answer = ask(&path, b"prompt\nprompt\nshow version\n").await;
        assert_eq!(answer, format!("\n> \n{VERSION}"));
        let answer = ask(&path, b"show version;prompt;show version\nshow cli level\n").await;
        assert_eq!(answer, format!("{VERSION}\n> {VERSION}> admin\n\n> "));
    });
}

#[test]
fn an_unknown_command_is_answered_with_what_was_perhaps_meant() {
    with_socket(|path| async move {
        const BETTER: &str =
            "Unknown command, but maybe one of the following ones is a better match:\n";
        const TAIL: &str =
            "  help [<command>]                        : list matching or all commands
  prompt                                  : toggle interactive mode with prompt
  quit                                    : disconnect\n\n";
        const SHOW_VERSION: &str =
            "  show version                            : show version of the current process\n";
        for request in [&b"sho version\n"[..], b"Show version\n", b"show versio\n"] {
            let expected = format!("{BETTER}{SHOW_VERSION}{TAIL}");
            assert_eq!(ask(&path, request).await, expected);
        }
        for request in [&b"show\n"[..], b"show servers\n"] {
            let answer = ask(&path, request).await;
            assert!(
                answer.starts_with(BETTER) && answer.ends_with(TAIL),
                "{answer}"
            );
        }
        for request in [&b"\n"[..], b"\x00\x01\xff\n", b"bogus\n"] {
            let answer = ask(&path, request).await;
            let first = "Unknown command. Please enter one of the following commands only:\n";
            assert!(
                answer.starts_with(first) && answer.ends_with(TAIL),
                "{answer}"
            );
        }
        let help = ask(&path, b"help show stat\n").await;
        assert!(help.starts_with("The following commands are valid at this level:\n  show stat "));
        assert_eq!(help.lines().count(), 6);
    });
}

#[test]
fn our_own_status_is_one_line_of_json() {
    with_socket(|path| async move {
        let answer = ask(&path, b"warren status\n").await;
        let (json, rest) = answer.split_once('\n').unwrap();
        assert_eq!(rest, "\n");
        let snapshot: crate::stats::snapshot::Snapshot = serde_json::from_str(json).unwrap();
        assert_eq!(snapshot.listeners[0].name, "amqp");
        assert_eq!(snapshot.connections.limit, 1000);
    });
}

#[test]
fn a_line_without_end_a_silent_client_and_a_crowd_harm_nobody() {
    with_socket(|path| async move {
        let started = tokio::time::Instant::now();
        let mut endless = UnixStream::connect(&path).await.unwrap();
        endless.write_all(&[b'A'; 20_000]).await.unwrap();
        let mut answer = Vec::new();
        assert_eq!(endless.read_to_end(&mut answer).await.unwrap(), 0);
        // At once, not because it was idle.
        assert!(started.elapsed() < Duration::from_secs(1));

        // As many silent clients as there are places: the next one is served at once, in the place
        // of the first; the others are cut off when they have been idle for long.
        let started = tokio::time::Instant::now();
        let mut silent = Vec::new();
        for _ in 0..MAX_CLIENTS {
            silent.push(UnixStream::connect(&path).await.unwrap());
        }
        assert_eq!(ask(&path, b"show version\n").await, VERSION);
        let first = &mut silent[0];
        assert_eq!(first.read_to_end(&mut answer).await.unwrap(), 0);
        assert!(started.elapsed() < Duration::from_secs(1));
        for client in &mut silent[1..] {
            client.write_all(b"show cli level\n").await.unwrap();
            client.read_exact(&mut [0; 7]).await.unwrap();
        }
        for mut client in silent {
            assert_eq!(client.read_to_end(&mut answer).await.unwrap(), 0);
        }
    });
}

#[test]
fn a_client_may_ask_for_more_patience_or_less() {
    with_socket(|path| async move {
        for (command, seconds, answered) in [
            ("show cli level", 9, true),
            ("show cli level", 11, false),
            ("set timeout cli 60", 59, true),
            ("set timeout cli 500ms", 1, false),
        ] {
            let mut client = UnixStream::connect(&path).await.unwrap();
            let start = format!("prompt\n{command}\n");
            client.write_all(start.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            // Nobody reads it when the client was cut off.
            let _ = client.write_all(b"show version\nquit\n").await;
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer).await;
            let answer = String::from_utf8(answer).unwrap();
            assert_eq!(answer.contains("2.6."), answered, "{command}, {seconds} s");
        }
    });
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    with_socket(|path| async move {
        let mut lazy = UnixStream::connect(&path).await.unwrap();
        // 2,000 answers of a kilobyte and a half are more than a socket buffer holds.
        let line = "show info;".repeat(1_600);
        lazy.write_all(format!("{line}\n").as_bytes())
            .await
            .unwrap();
        // The clock is paused: it jumps only when everything else waits.
        tokio::time::sleep(Duration::from_secs(11)).await;
        let mut answer = Vec::new();
        lazy.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() < 1_600 * 1_000, "{} bytes", answer.len());
    });
}

#[test]
fn who_waits_is_told_how_it_went_also_when_it_has_no_more_to_say() {
    with_socket(|path| async move {
        let started = tokio::time::Instant::now();
        let answer = ask(&path, b"wait 20s;show cli level\n").await;
        assert_eq!(answer, "Done.\n\nadmin\n\n");
        let took = started.elapsed();
        assert!((20..21).contains(&took.as_secs()), "{took:?}");
        let answer = ask(&path, b"wait 1h srv-removable a/b\n").await;
        assert_eq!(answer, "Failed. No such backend.\n\n");
        assert_eq!(
            ask(&path, b"operator;wait 1\n").await,
            "\nPermission denied\n\n"
        );
    });
}

/// Reads until what came ends with `end`.
async fn read_until(stream: &mut UnixStream, end: &str) -> String {
    let mut came = Vec::new();
    while !came.ends_with(end.as_bytes()) {
        let byte = stream.read_u8().await;
        came.push(byte.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&came))));
    }
    String::from_utf8(came).unwrap()
}

#[test]
fn events_are_followed_until_the_client_sends_something() {
    with_socket(|path| async move {
        assert_eq!(ask(&path, b"clear counters\n").await, "\n");
        let mut old = UnixStream::connect(&path).await.unwrap();
        old.write_all(b"prompt\nshow events changes -w\n")
            .await
            .unwrap();
        let shown = read_until(&mut old, ": clear counters\n").await;
        assert!(shown.starts_with("\n> 20"), "{shown}");
        let mut new = UnixStream::connect(&path).await.unwrap();
        new.write_all(b"show events changes -nw;show version\n")
            .await
            .unwrap();
        // Longer than anybody may be idle.
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(ask(&path, b"clear counters all\n").await, "\n");
        for follower in [&mut old, &mut new] {
            let shown = read_until(follower, "\n").await;
            assert!(shown.ends_with(": clear counters all\n"), "{shown}");
        }
        // What ends it is thrown away.
        old.write_all(b"show info\n").await.unwrap();
        assert_eq!(read_until(&mut old, "> ").await, "\n> ");
        old.write_all(b"show version\n").await.unwrap();
        assert_eq!(read_until(&mut old, "> ").await, format!("{VERSION}> "));
        new.shutdown().await.unwrap();
        let mut rest = String::new();
        new.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, format!("\n{VERSION}"));

        let answer = ask(&path, b"show events changes -n\n").await;
        assert_eq!(answer, "\n");
        let answer = ask(&path, b"show events changes -x;show events -w\n").await;
        assert_eq!(answer, "unknown option\nNo such event sink\n");
        let answer = ask(&path, b"user;show events changes\n").await;
        assert_eq!(answer, "\nPermission denied\n\n");
    });
}

/// So many events, a multiple of a hundred.
async fn clear_counters(path: &PathBuf, times: usize) {
    let line = "clear counters;".repeat(100) + "\n";
    for _ in 0..times / 100 {
        ask(path, line.as_bytes()).await;
    }
}

#[test]
fn a_follower_that_reads_too_slowly_is_told_how_much_it_missed() {
    with_socket(|path| async move {
        let mut slow = UnixStream::connect(&path).await.unwrap();
        slow.write_all(b"show events changes -w\n").await.unwrap();
        // More than a socket buffer holds.
        clear_counters(&path, 10_000).await;
        let (mut came, mut missing) = (0, 0);
        while came + missing < 10_000 {
            let line = read_until(&mut slow, "\n");
            let line = tokio::time::timeout(Duration::from_secs(60), line).await;
            let line = line.unwrap_or_else(|_| panic!("nothing after {came} and {missing}"));
            let words: Vec<_> = line.trim_end().splitn(3, ' ').collect();
            match words[..] {
                [_, count, "events are missing here, the log has them"] => {
                    missing += count.parse::<u64>().unwrap();
                }
                _ => came += u64::from(line.ends_with(": clear counters\n")),
            }
        }
        assert_eq!(came + missing, 10_000);
        assert!(missing > 0);
    });
}

#[test]
fn a_follower_that_does_not_read_is_cut_off() {
    with_socket(|path| async move {
        let mut lazy = UnixStream::connect(&path).await.unwrap();
        lazy.write_all(b"show events changes -w\n").await.unwrap();
        // More than a socket buffer holds.
        clear_counters(&path, 20_000).await;
        tokio::time::sleep(Duration::from_secs(11)).await;
        let mut rest = Vec::new();
        let read = lazy.read_to_end(&mut rest);
        let cut_off = tokio::time::timeout(Duration::from_secs(60), read).await;
        assert!(cut_off.is_ok() && !rest.is_empty());
    });
}

#[tokio::test]
async fn the_socket_has_its_mode_and_replaces_only_what_is_dead() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let alive = bind(&path, 0o640).unwrap();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o640);
    let error = bind(&path, 0o660).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(mode(), 0o640);

    drop(alive);
    let again = bind(&path, 0o600).unwrap();
    assert_eq!(mode(), 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    drop(again);

    fs::remove_file(&path).unwrap();
    fs::write(&path, "precious").unwrap();
    assert_eq!(
        bind(&path, 0o660).unwrap_err().kind(),
        std::io::ErrorKind::AlreadyExists
    );
    let missing = folder.path().join("missing").join("admin.sock");
    let error = bind(&missing, 0o660).unwrap_err();
    assert!(
        error.to_string().starts_with("there is no directory "),
        "{error}"
    );
}

#[test]
fn a_socket_for_users_shows_no_addresses_and_changes_nothing() {
    let registry = registry();
    let mut config = Config::clone(&registry.config());
    config.admin.socket_level = config::Level::User;
    let ask = |line: &str, level| {
        let words = &framing::commands(line.as_bytes())[0];
        command::answer(words, level, &config, &crate::stats::example::snapshot)
    };
    let command::Reply::Stat(filter, style) = ask("show stat typed", config::Level::User) else {
        panic!("rows");
    };
    let rows = crate::stats::csv::render(&crate::stats::example::snapshot(), &filter, style);
    assert!(!rows.contains(".addr.") && !rows.contains(".algo.") && rows.contains(".mode."));
    for line in [
        "set weight a/b 1",
        "clear counters",
        "operator",
        "set maxconn global 1",
    ] {
        let denied = command::Reply::Text("Permission denied\n".to_owned());
        assert_eq!(ask(line, config::Level::User), denied, "{line}");
    }
}
