//! Another configuration for a daemon that is in use.

use std::path::Path;
use std::process::{Command, Output};

use nix::sys::signal::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fake::{Fake, Mood};
use crate::ports::free_port;
use crate::wait::until;
use crate::warren::{Client, SOON, Setup, Warren, unchecked};

/// `warren reload` or `warren diff`.
fn tell(warren: &Warren, command: &str) -> Output {
    tell_at(&warren.setup.socket, command)
}

fn tell_at(socket: &Path, command: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_warren"));
    program.arg(command).arg("--socket").arg(socket);
    program.output().unwrap()
}

/// Writes another configuration, has it applied, and returns what was said.
fn reload(warren: &Warren, global: &str, rest: &str) -> String {
    warren.setup.write(global, rest);
    let output = tell(warren, "reload");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}{:?}", warren.log());
    said
}

/// A pool `p` of these servers, checked often.
fn checked(servers: &[(&str, &Fake)]) -> String {
    let mut text = "[pool.p.check]\ntype = \"tcp\"\ninterval = \"100ms\"\nrise = 1\nfall = 1\n\
                    [pool.p.servers]\n"
        .to_owned();
    for (name, fake) in servers {
        text.push_str(&format!("{name} = \"{}\"\n", fake.address));
    }
    text
}

async fn client_at(port: u16) -> Client {
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    Client(stream.unwrap())
}

#[tokio::test]
async fn a_wrong_file_changes_nothing_and_says_why() {
    let server = Fake::new(Mood::Good).await;
    let mut warren = Setup::new("", &unchecked(server.address)).start().await;
    let mut client = warren.client().await;
    client.echo().await.unwrap();
    warren.setup.write(
        "",
        "[pool.p]\nbalanse = \"first\"\n[pool.p.servers]\none = \"nowhere\"",
    );
    for command in ["diff", "reload"] {
        let output = tell(&warren, command);
        assert_eq!(output.status.code(), Some(78), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("error[E0103]") && said.contains("did you mean `balance`?"),
            "{said}"
        );
        assert!(said.contains("warren.toml:13:1"), "the place: {said}");
    }
    warren
        .logs("the configuration was not reloaded: the one before stays")
        .await;
    let json = warren.ask("warren status").unwrap();
    let status: serde_json::Value = serde_json::from_str(&json).unwrap();
    let configuration = &status["configuration"];
    assert_eq!(
        configuration["reloads_refused"], 1,
        "a diff refuses nothing"
    );
    assert!(configuration["error"].is_string(), "{configuration}");
    // Neither a signal nor a file that is gone.
    std::fs::remove_file(warren.setup.file()).unwrap();
    warren.daemon.signal(Signal::SIGHUP);
    warren.logs("cannot read").await;
    client.echo().await.unwrap();
    warren.client().await.echo().await.unwrap();
    // A good one is applied, and the status forgets the error.
    assert_eq!(
        reload(&warren, "", &unchecked(server.address)),
        "nothing changes\n"
    );
    let status: serde_json::Value =
        serde_json::from_str(&warren.ask("warren status").unwrap()).unwrap();
    assert!(status["configuration"]["error"].is_null());
    assert_eq!(status["configuration"]["reloads"], 1);
}

#[tokio::test]
async fn servers_come_and_go_and_their_connections_stay() {
    let [one, two] = [Fake::new(Mood::Good).await, Fake::new(Mood::Good).await];
    let warren = Setup::new("", &checked(&[("one", &one)])).start().await;
    let mut old = warren.client().await;
    old.echo().await.unwrap();
    warren.setup.write("", &checked(&[("two", &two)]));
    let planned = String::from_utf8(tell(&warren, "diff").stdout).unwrap();
    assert_eq!(
        planned,
        format!(
            "server p/two: new, {}\nserver p/one: removed\n\
             server p/one: its 1 connection stays until it ends\n",
            two.address
        )
    );
    assert_eq!(
        warren.stat("one", "scur").as_deref(),
        Some("1"),
        "a diff changes nothing"
    );
    let said = String::from_utf8(tell(&warren, "reload").stdout).unwrap();
    assert_eq!(said, planned);
    // The answer comes when the new server has been checked: nobody is refused.
    for _ in 0..20 {
        warren.client().await.echo().await.unwrap();
    }
    assert_eq!(warren.stat("two", "stot").as_deref(), Some("20"));
    assert_eq!(warren.stat("one", "stot"), None);
    old.echo().await.unwrap();
    // Back again: it is the same server, with its connection.
    reload(&warren, "", &checked(&[("one", &one), ("two", &two)]));
    warren.shows("one", "status", "UP").await;
    assert_eq!(warren.stat("one", "scur").as_deref(), Some("1"));
    old.echo().await.unwrap();
    drop(old);
    warren.shows("one", "scur", "0").await;
}

/// `warren` with these words about this daemon.
fn run(warren: &Warren, words: &str) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_warren"));
    program.args(words.split(' '));
    program.arg("--socket").arg(&warren.setup.socket);
    program.output().unwrap()
}

/// How many connections `warren sessions` finds.
fn matching(warren: &Warren, filter: &str) -> u64 {
    let output = run(warren, &format!("sessions --json {filter}"));
    let listed: Option<serde_json::Value> = serde_json::from_slice(&output.stdout).ok();
    let listed = listed.unwrap_or_else(|| panic!("{output:?}"));
    listed["matching"].as_u64().unwrap()
}

#[tokio::test]
async fn connections_of_what_was_removed_are_found_and_ended() {
    let [one, two] = [Fake::new(Mood::Good).await, Fake::new(Mood::Good).await];
    let port = free_port();
    let both = format!(
        "{}[listen.second]\nbind = \"127.0.0.1:{port}\"\npool = \"q\"\n[pool.q.servers]\n\
         lone = \"{}\"",
        checked(&[("one", &one)]),
        two.address
    );
    let mut warren = Setup::new("", &both).start().await;
    let mut old = warren.client().await;
    old.echo().await.unwrap();
    let mut other = client_at(port).await;
    other.echo().await.unwrap();
    reload(&warren, "", &checked(&[("two", &two)]));
    // Numbers stay, and what was removed has its own for as long as it has connections.
    assert_eq!(warren.stat("two", "iid").as_deref(), Some("4"));
    assert_eq!(warren.stat("two", "sid").as_deref(), Some("2"));
    let all = warren.ask("show sess all").unwrap();
    for known in [
        "frontend=entrance (id=2 mode=tcp)\n  backend=p (id=4 mode=tcp)\n  server=one (id=1)\n",
        "frontend=second (id=3 mode=tcp)\n  backend=q (id=5 mode=tcp)\n  server=lone (id=1)\n",
    ] {
        let lines = all.lines().map(|line| line.split(" addr=").next().unwrap());
        let bare = lines.collect::<Vec<_>>().join("\n");
        assert!(bare.contains(known), "{all}");
    }
    for filter in ["--server p/one", "--server lone", "--pool q"] {
        assert_eq!(matching(&warren, filter), 1, "{filter}");
    }
    let drain = run(&warren, "drain one");
    let said = String::from_utf8_lossy(&drain.stderr);
    assert_eq!(drain.status.code(), Some(64), "{said}");
    let hint = "`shutdown sessions server p/one` over the stats socket ends its connection";
    assert!(said.contains(hint), "{said}");

    let told = warren.ask("shutdown sessions server p/one").unwrap();
    assert_eq!(told, "\n");
    old.is_reset().await;
    other.echo().await.unwrap();
    let told = warren.ask("shutdown sessions server #5/#1").unwrap();
    assert_eq!(told, "\n");
    other.is_reset().await;
    warren
        .logs("command=\"shutdown sessions server q/lone\"")
        .await;
    until("they are forgotten", SOON, async || {
        let again = "shutdown sessions server p/one;shutdown sessions server q/lone";
        let answer = warren.ask(again).unwrap();
        (answer == "No such server.\n\nNo such backend.\n\n").then_some(())
    })
    .await;
    // Their numbers are free.
    reload(&warren, "", &checked(&[("new", &one), ("two", &two)]));
    assert_eq!(warren.stat("new", "sid").as_deref(), Some("1"));
    assert_eq!(warren.stat("two", "sid").as_deref(), Some("2"));
}

#[tokio::test]
async fn counters_and_what_was_set_at_run_time_are_kept() {
    let [one, two] = [Fake::new(Mood::Good).await, Fake::new(Mood::Good).await];
    let servers = [("one", &one), ("two", &two)];
    let warren = Setup::new("", &checked(&servers)).start().await;
    for _ in 0..6 {
        warren.client().await.echo().await.unwrap();
    }
    for command in [
        "set server p/two state drain",
        "set weight p/one 42",
        "set maxconn frontend entrance 77",
    ] {
        assert_eq!(warren.ask(command).unwrap(), "\n");
    }
    let rest = checked(&servers).replace("rise = 1", "rise = 2");
    assert_eq!(
        reload(&warren, "drain_timeout = \"3s\"", &rest),
        "global.drain_timeout 30s -> 3s\npool p: check.rise 1 -> 2\n"
    );
    assert_eq!(warren.stat("two", "status").as_deref(), Some("DRAIN"));
    assert_eq!(warren.stat("one", "weight").as_deref(), Some("42"));
    assert_eq!(warren.stat("FRONTEND", "slim").as_deref(), Some("77"));
    assert_eq!(warren.stat("FRONTEND", "stot").as_deref(), Some("6"));
    let stot = |name| warren.stat(name, "stot").unwrap().parse::<u32>().unwrap();
    assert_eq!(stot("one") + stot("two"), 6);
    // What the file says anew counts.
    let rest = rest.replace(
        &format!("one = \"{}\"", one.address),
        &format!("one = {{ address = \"{}\", weight = 50 }}", one.address),
    );
    assert_eq!(
        reload(&warren, "drain_timeout = \"3s\"", &rest),
        "server p/one: weight 100 -> 50\n"
    );
    assert_eq!(warren.stat("one", "weight").as_deref(), Some("50"));
    // The checks go on.
    drop(one);
    warren.shows("one", "status", "DOWN").await;
}

#[tokio::test]
async fn maintenance_goes_on_when_the_file_moves_the_server() {
    let fakes = [(); 3].map(|()| Fake::new(Mood::Good));
    let [one, two, three] = fakes;
    let [one, two, three] = [one.await, two.await, three.await];
    let before = checked(&[("one", &one), ("two", &two)]);
    let warren = Setup::new("", &before).start().await;
    for command in ["set server p/two state maint", "set weight p/two 42"] {
        assert_eq!(warren.ask(command).unwrap(), "\n");
    }
    let moved = checked(&[("one", &one), ("two", &three)]);
    reload(&warren, "", &moved);
    for _ in 0..6 {
        warren.client().await.echo().await.unwrap();
    }
    assert_eq!(warren.stat("two", "status").as_deref(), Some("MAINT"));
    assert_eq!(warren.stat("two", "weight").as_deref(), Some("42"));
    assert_eq!(warren.stat("two", "stot").as_deref(), Some("0"));
    assert_eq!(run(&warren, "ready two").status.code(), Some(0));
    warren.shows("two", "status", "UP").await;
}

#[tokio::test]
async fn an_address_that_was_set_at_run_time_stays_until_the_file_has_another() {
    let [one, two] = [Fake::new(Mood::Good).await, Fake::new(Mood::Good).await];
    let named = |port: u16, rise: u32| {
        let rest = checked(&[]).replace("rise = 1", &format!("rise = {rise}"));
        format!("{rest}one = \"localhost:{port}\"\n")
    };
    let warren = Setup::new("", &named(one.address.port(), 1)).start().await;
    let set = format!(
        "set server p/one addr 127.0.0.1 port {}",
        two.address.port()
    );
    let _ = warren.ask(&set).unwrap();
    warren.shows("one", "status", "UP").await;
    let said = reload(&warren, "", &named(one.address.port(), 2));
    assert_eq!(said, "pool p: check.rise 1 -> 2\n");
    drop(one);
    warren.client().await.echo().await.unwrap();
    let status: serde_json::Value =
        serde_json::from_str(&warren.ask("warren status").unwrap()).unwrap();
    let server = &status["pools"][0]["servers"][0];
    assert_eq!(server["address"], two.address.to_string());
    assert_eq!(server["overridden"], true);
    warren.setup.write("", &named(9, 2));
    let planned = String::from_utf8(tell(&warren, "diff").stdout).unwrap();
    let address = two.address;
    let line = format!("server p/one: address {address} (set) -> localhost:9\n");
    assert!(planned.starts_with(&line), "{planned}");
}

#[tokio::test]
async fn a_closed_listener_stays_closed_and_one_with_another_name_is_open() {
    let server = Fake::new(Mood::Good).await;
    let warren = Setup::new("", &unchecked(server.address)).start().await;
    assert_eq!(warren.ask("disable frontend entrance").unwrap(), "\n");
    let taken = std::net::TcpListener::bind(("127.0.0.1", warren.setup.port)).unwrap();
    // It needs no address as long as it is closed.
    let rest = unchecked(server.address) + "\n[pool.p]\nmax_queue = 7\n";
    assert_eq!(reload(&warren, "", &rest), "pool p: max_queue 1024 -> 7\n");
    assert_eq!(warren.stat("FRONTEND", "status").as_deref(), Some("PAUSED"));
    let file = std::fs::read_to_string(warren.setup.file()).unwrap();
    let file = file.replace("listen.entrance", "listen.door");
    std::fs::write(warren.setup.file(), file).unwrap();
    let refused = tell(&warren, "reload");
    assert_eq!(refused.status.code(), Some(69), "{refused:?}");
    drop(taken);
    let said = String::from_utf8(tell(&warren, "reload").stdout).unwrap();
    assert_eq!(said, "listener door: new\nlistener entrance: removed\n");
    warren.client().await.echo().await.unwrap();
}

#[tokio::test]
async fn listeners_come_and_go_and_their_connections_stay() {
    let server = Fake::new(Mood::Good).await;
    let mut warren = Setup::new("", &unchecked(server.address)).start().await;
    let mut old = warren.client().await;
    old.echo().await.unwrap();
    let port = free_port();
    let second = format!(
        "{}\n[listen.second]\nbind = \"127.0.0.1:{port}\"\npool = \"p\"\ndeny = [\"127.0.0.2\"]",
        unchecked(server.address)
    );
    assert_eq!(reload(&warren, "", &second), "listener second: new\n");
    let mut other = client_at(port).await;
    other.echo().await.unwrap();
    // Its rules change for those that come from now on.
    let denied = second.replace("127.0.0.2", "127.0.0.0/8");
    assert_eq!(
        reload(&warren, "", &denied),
        "listener second: deny 127.0.0.2/32 -> 127.0.0.0/8\n"
    );
    // The reset may be faster than its connect returns.
    if let Ok(stream) = tokio::net::TcpStream::connect(("127.0.0.1", port)).await {
        Client(stream).is_reset().await;
    }
    other.echo().await.unwrap();
    assert_eq!(
        reload(&warren, "", &unchecked(server.address)),
        "listener second: removed\n"
    );
    let refused = tokio::net::TcpStream::connect(("127.0.0.1", port)).await;
    assert_eq!(
        refused.unwrap_err().kind(),
        std::io::ErrorKind::ConnectionRefused
    );
    other.echo().await.unwrap();
    // Another name for the same address: the socket goes on.
    let file = std::fs::read_to_string(warren.setup.file()).unwrap();
    std::fs::write(
        warren.setup.file(),
        file.replace("listen.entrance", "listen.door"),
    )
    .unwrap();
    let said = String::from_utf8(tell(&warren, "reload").stdout).unwrap();
    assert_eq!(said, "listener door: new\nlistener entrance: removed\n");
    warren.client().await.echo().await.unwrap();
    old.echo().await.unwrap();
    warren.logs("reload: listener entrance: removed").await;
    // Back again: it has the connections that are left of it.
    std::fs::write(warren.setup.file(), file).unwrap();
    let said = String::from_utf8(tell(&warren, "reload").stdout).unwrap();
    assert_eq!(said, "listener entrance: new\nlistener door: removed\n");
    warren.shows("FRONTEND", "scur", "1").await;
    old.echo().await.unwrap();
    assert!(
        warren
            .ask("show events changes")
            .unwrap()
            .contains("reload: listener door: new")
    );
}

#[tokio::test]
async fn who_waits_in_a_pool_that_is_removed_is_still_served_by_it() {
    let [one, two] = [Fake::new(Mood::Good).await, Fake::new(Mood::Good).await];
    let full = format!(
        "[pool.p]\nqueue_timeout = \"1h\"\ncheck.type = \"none\"\n\
         servers.one = {{ address = \"{}\", max_connections = 1 }}",
        one.address
    );
    let warren = Setup::new("", &full).start().await;
    let mut served = warren.client().await;
    served.echo().await.unwrap();
    let mut waiting = warren.client().await;
    warren.shows("BACKEND", "qcur", "1").await;
    let file = std::fs::read_to_string(warren.setup.file()).unwrap();
    let head = file.split("[pool.p]").next().unwrap();
    let other = format!(
        "{}[pool.other]\ncheck.type = \"none\"\nservers.two = \"{}\"",
        head.replace("pool = \"p\"", "pool = \"other\""),
        two.address
    );
    std::fs::write(warren.setup.file(), other).unwrap();
    assert_eq!(tell(&warren, "reload").status.code(), Some(0));
    warren.client().await.echo().await.unwrap();
    assert_eq!(warren.stat("two", "stot").as_deref(), Some("1"));
    served.echo().await.unwrap();
    drop(served);
    waiting.echo().await.unwrap();
}

#[tokio::test]
async fn an_address_that_cannot_be_had_changes_nothing() {
    let server = Fake::new(Mood::Good).await;
    let warren = Setup::new("", &unchecked(server.address)).start().await;
    let taken = Fake::new(Mood::Good).await;
    let rest = format!(
        "{}\n[listen.second]\nbind = [\"127.0.0.1:{}\", \"{}\"]\npool = \"p\"",
        unchecked(server.address).replace("one = ", "renamed = "),
        free_port(),
        taken.address
    );
    warren.setup.write("", &rest);
    let descriptors = warren.descriptors().await;
    let planned = tell(&warren, "diff");
    assert_eq!(planned.status.code(), Some(69), "{planned:?}");
    let output = tell(&warren, "reload");
    assert_eq!(output.status.code(), Some(69), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let wanted = format!("listener second cannot bind {}: ", taken.address);
    assert!(said.starts_with(&wanted), "{said}");
    assert!(
        warren.stat("one", "status").is_some(),
        "the old server is there"
    );
    warren.settles_to(descriptors).await;
    warren.client().await.echo().await.unwrap();
}

#[tokio::test]
async fn one_address_can_take_the_place_of_another_that_covers_it() {
    let server = Fake::new(Mood::Good).await;
    let warren = Setup::new("", &unchecked(server.address)).start().await;
    let file = std::fs::read_to_string(warren.setup.file()).unwrap();
    let bind = format!("127.0.0.1:{}", warren.setup.port);
    for new in [format!("0.0.0.0:{}", warren.setup.port), bind.clone()] {
        std::fs::write(warren.setup.file(), file.replace(&bind, &new)).unwrap();
        let output = tell(&warren, "reload");
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        warren.client().await.echo().await.unwrap();
    }
}

#[tokio::test]
async fn what_only_a_start_can_change_is_said() {
    let server = Fake::new(Mood::Good).await;
    let mut warren = Setup::new("", &unchecked(server.address)).start().await;
    let file = std::fs::read_to_string(warren.setup.file()).unwrap();
    let file = file.replace("workers = 2", "workers = 1\nmax_connections = 55");
    std::fs::write(warren.setup.file(), file).unwrap();
    let said = String::from_utf8(tell(&warren, "reload").stdout).unwrap();
    assert_eq!(
        said,
        "global.max_connections 0 -> 55\n\
         global.workers 2 -> 1: takes effect at the next start\n"
    );
    warren
        .logs("reload: global.workers 2 -> 1: takes effect at the next start")
        .await;
    assert!(warren.ask("show info").unwrap().contains("\nMaxconn: 55\n"));
    warren.client().await.echo().await.unwrap();
}

#[tokio::test]
async fn who_may_not_is_refused() {
    let server = Fake::new(Mood::Good).await;
    let warren = Setup::new("", &unchecked(server.address)).start().await;
    for command in ["reload", "diff"] {
        let answer = warren.ask(&format!("operator;{command}")).unwrap();
        assert!(answer.ends_with("Permission denied\n\n"), "{answer}");
    }
    let nobody = tell_at(Path::new("/nonexistent/admin.sock"), "reload");
    assert_eq!(nobody.status.code(), Some(1));
    warren.stop(SOON).await;
}

/// Fault 33: the listener, the pool and the server of all of them go at the same time.
#[tokio::test]
async fn everybody_closes_during_a_reload() {
    const CLIENTS: usize = 200;
    let [one, two] = [Fake::new(Mood::Good).await, Fake::new(Mood::Good).await];
    let port = free_port();
    let both = format!(
        "{}\n[listen.second]\nbind = \"127.0.0.1:{port}\"\npool = \"q\"\n[pool.q.servers]\n\
         two = \"{}\"",
        unchecked(one.address),
        two.address
    );
    let warren = Setup::new("", &both).start().await;
    warren.shows("two", "status", "UP").await;
    let mut clients = tokio::task::JoinSet::new();
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(CLIENTS + 1));
    for _ in 0..CLIENTS {
        let mut stream = client_at(port).await.0;
        let start = std::sync::Arc::clone(&start);
        clients.spawn(async move {
            start.wait().await;
            let said: Vec<u8> = (0..30_000_u32).flat_map(u32::to_be_bytes).collect();
            let (mut reader, mut writer) = stream.split();
            let saying = async {
                writer.write_all(&said).await?;
                writer.shutdown().await
            };
            let mut heard = Vec::new();
            let (all_said, all_heard) = tokio::join!(saying, reader.read_to_end(&mut heard));
            all_said.unwrap();
            all_heard.unwrap();
            assert!(heard == said, "{} of {} bytes", heard.len(), said.len());
        });
    }
    warren.setup.write("", &unchecked(one.address));
    start.wait().await;
    let socket = warren.setup.socket.clone();
    let output = tokio::task::spawn_blocking(move || tell_at(&socket, "reload"))
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    while let Some(ended) = clients.join_next().await {
        ended.unwrap();
    }
    let log = warren.stop(SOON).await;
    let ended = log
        .lines()
        .filter(|line| line.contains("listener=second pool=q server=two"));
    let in_order = ended.filter(|line| line.contains("ending=client-closed"));
    assert_eq!(in_order.count(), CLIENTS, "{log}");
}

#[tokio::test]
async fn a_hundred_wrong_files_do_not_keep_a_good_one_out() {
    let server = Fake::new(Mood::Good).await;
    let warren = Setup::new("", &unchecked(server.address)).start().await;
    for round in 1..=100 {
        warren.setup.write("", "[pool.p");
        assert!(
            warren
                .ask("reload")
                .unwrap()
                .starts_with("Success=0\nCode=78\n--\nerror[E0102]")
        );
        let rest = format!(
            "{}\n[pool.p]\nmax_queue = {round}\n",
            unchecked(server.address)
        );
        warren.setup.write("", &rest);
        let answer = warren.ask("reload").unwrap();
        let before = if round == 1 { 1024 } else { round - 1 };
        let line = format!("Success=1\nCode=0\n--\npool p: max_queue {before} -> {round}\n\n");
        assert_eq!(answer, line);
    }
    warren.client().await.echo().await.unwrap();
}

#[tokio::test]
async fn a_pool_that_is_left_without_a_usable_server_is_named() {
    let server = Fake::new(Mood::Good).await;
    let warren = Setup::new("", &unchecked(server.address)).start().await;
    let nobody = format!("[pool.p.servers]\none = \"127.0.0.1:{}\"", free_port());
    warren.setup.write("", &nobody);
    let answer = warren.ask("reload").unwrap();
    assert!(answer.starts_with("Success=1\nCode=0\n"), "{answer}");
    let last = answer.trim_end().lines().last();
    assert_eq!(last, Some("pool p has no usable server"), "{answer}");
}

#[tokio::test]
async fn a_pool_that_a_reload_would_leave_to_withdrawn_servers_is_named_beforehand() {
    let [one, two] = [Fake::new(Mood::Good).await, Fake::new(Mood::Good).await];
    let both = checked(&[("one", &one), ("two", &two)]);
    let warren = Setup::new("", &both).start().await;
    assert_eq!(warren.ask("disable server p/one").unwrap(), "\n");
    let planned = || String::from_utf8(tell(&warren, "diff").stdout).unwrap();
    assert_eq!(planned(), "nothing changes\n");
    warren.setup.write("", &checked(&[("one", &one)]));
    let said = "server p/two: removed\npool p has no usable server\n";
    assert_eq!(planned(), said);
    assert_eq!(reload(&warren, "", &checked(&[("one", &one)])), said);
}
