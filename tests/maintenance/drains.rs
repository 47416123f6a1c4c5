//! `warren drain`, `warren ready` and `warren maint`.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;

use crate::accounts::densest;
use crate::ports::free_port;
use crate::world::{SOON, World, chatter, open};

#[tokio::test]
async fn connections_are_closed_evenly_and_come_back_elsewhere() {
    let world = World::start("", "").await;
    let crowd = world.crowd(60).await;
    assert_eq!(world.open().await, [20, 20, 20]);
    let ran = world.run("drain s2 --over 4s").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.out
            .ends_with("p/s2 has no connections: it is safe to stop the broker.\n"),
        "{ran:?}"
    );
    crowd.connected_are(60).await;
    let status = world.status().await;
    assert_eq!(open(&status), [30, 0, 30]);
    let drain = &status["drains"][0];
    assert_eq!(drain["stage"], "drained", "{drain}");
    assert_eq!(drain["open_at_start"], 20, "{drain}");
    assert_eq!(drain["rate"], 5, "{drain}");

    let accounts = world.accounts("drained");
    assert_eq!(accounts.len(), 20);
    assert!(accounts.iter().all(|account| account.server == "s2"));
    assert!(densest(&accounts) <= 5, "{accounts:?}");
    let took = accounts[19].at - accounts[0].at;
    assert!(took >= 3_000, "the time was not used: {took} ms");

    let log = world.log();
    assert!(
        log.contains("command=\"drain server p/s2 over 4s\""),
        "{log}"
    );
    assert!(log.contains(" by=us during=relaying code=KD"), "{log}");
    let events = world.ask("show events changes").await;
    for line in [
        "drain of p/s2 began: 20 connections over 4s, 5 a second\n",
        "drain of p/s2 ended: 20 connections closed in ",
    ] {
        assert!(events.contains(line), "{events}");
    }
    // Out of rotation until it is said to be ready.
    assert_eq!(status["pools"][0]["servers"][1]["state"], "drain");
    assert_eq!(world.run("ready s2").await.code, Some(0));
    let status = world.status().await;
    assert_eq!(status["pools"][0]["servers"][1]["state"], "up");
    assert_eq!(status["drains"].as_array().unwrap().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_that_are_silent_are_closed_first() {
    let world = World::start("", "").await;
    // Twelve on each server, in turn: four that talk, then eight that do not.
    let mut talking = Vec::new();
    for _ in 0..12 {
        talking.push(chatter(&world).await);
    }
    let crowd = world.crowd(24).await;
    assert_eq!(world.open().await, [12; 3]);
    let silent = |all: &str| {
        let seconds = all
            .split("silent=")
            .skip(1)
            .map(|rest| rest.split('s').next().unwrap());
        seconds
            .filter(|word| word.parse::<u32>().is_ok_and(|silent| silent >= 5))
            .count()
    };
    let all_silent = async || (silent(&world.ask("show sess all").await) == 24).then_some(());
    crate::wait::until("the silent ones are", SOON, all_silent).await;
    assert_eq!(world.run("drain s1 --over 3s").await.code, Some(0));
    crowd.connected_are(24).await;
    let accounts = world.accounts("drained");
    let talked: Vec<bool> = accounts
        .iter()
        .map(|one| talking.contains(&one.client))
        .collect();
    let expected = [vec![false; 8], vec![true; 4]].concat();
    assert_eq!(talked, expected, "{accounts:?}");
}

#[tokio::test]
async fn an_interrupted_command_does_not_end_the_drain_but_ready_does() {
    let world = World::start("", "").await;
    let crowd = world.crowd(30).await;
    let mut command = world.command("drain p/s3 --over 1h");
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let first = |status: &serde_json::Value| status["drains"][0]["closed"] == 1;
    let status = world.status_until("the first one is closed", first).await;
    assert_eq!(status["drains"][0]["stage"], "draining");
    let mut out = child.stdout.take().unwrap();
    let mut said = vec![0; 100];
    let length = out.read(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said[..length]);
    assert!(said.contains("p/s3: "), "{said}");
    let id = i32::try_from(child.id().unwrap()).unwrap();
    kill(Pid::from_raw(id), Signal::SIGINT).unwrap();
    let code = tokio::time::timeout(SOON, child.wait())
        .await
        .unwrap()
        .unwrap()
        .code();
    assert_eq!(code, Some(1));
    let mut rest = String::new();
    out.read_to_string(&mut rest).await.unwrap();
    assert!(
        rest.contains("The daemon goes on: `warren status` shows it"),
        "{rest}"
    );

    let screen = world.run("status").await;
    assert!(
        screen
            .out
            .contains("\ndrain      p/s3: 9 of 10 connections left, 59m "),
        "{screen:?}"
    );
    let listed = world.ask("show drains").await;
    assert!(
        listed.contains("\np s3 draining 9 10 1 1 3600000 "),
        "{listed}"
    );
    crowd.connected_are(30).await;
    // Somebody else, who waits, is told.
    let (waiting, ready) = tokio::join!(world.run("drain s3 --over 1h"), async {
        let again = |status: &serde_json::Value| status["drains"][0]["open_at_start"] == 9;
        world.status_until("it begins anew", again).await;
        world.run("ready s3").await
    });
    assert_eq!(
        (waiting.code, ready.code),
        (Some(1), Some(0)),
        "{waiting:?}"
    );
    assert!(
        waiting.out.ends_with("somebody has ended the drain.\n"),
        "{waiting:?}"
    );
    let status = world.status().await;
    assert_eq!(status["pools"][0]["servers"][2]["state"], "up");
    let log = world.log();
    assert!(
        log.contains("drain ended: the server is ready again"),
        "{log}"
    );
    assert_eq!(world.accounts("drained").len(), 2, "one by each drain");
}

#[tokio::test]
async fn all_at_once_is_possible_and_a_slow_start_follows() {
    let world = World::start("slow_start = \"1h\"", "").await;
    let crowd = world.crowd(300).await;
    let ran = world.run("drain s1 --over 0").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    crowd.connected_are(300).await;
    assert_eq!(world.open().await, [0, 150, 150]);
    assert_eq!(world.accounts("drained").len(), 100);
    // Nothing is left to be done: drained already.
    let again = world.run("drain s1").await;
    assert_eq!(again.code, Some(0), "{again:?}");

    assert_eq!(world.run("ready s1").await.code, Some(0));
    // HAProxy's way to drain closes nothing, and no slow start follows, as there.
    for state in ["drain", "ready"] {
        let answer = world.ask(&format!("set server p/s2 state {state}")).await;
        assert_eq!(answer, "\n");
    }
    let status = world.status().await;
    let servers = status["pools"][0]["servers"].as_array().unwrap();
    let weights = servers.iter().map(|server| &server["effective_weight"]);
    assert_eq!(weights.collect::<Vec<_>>(), [1, 100, 100]);
}

#[tokio::test]
async fn haproxys_commands_take_part() {
    let world = World::start("", "").await;
    let _crowd = world.crowd(9).await;
    // As HAProxy's: nothing is closed.
    assert_eq!(world.ask("set server p/s1 state drain").await, "\n");
    assert_eq!(world.open().await, [3; 3]);
    assert_eq!(world.status().await["drains"].as_array().unwrap().len(), 0);
    assert_eq!(
        world.run("drain s1 --over 1h --no-wait").await.code,
        Some(0)
    );
    assert_eq!(world.ask("set server p/s1 state drain").await, "\n");
    assert_eq!(world.status().await["drains"].as_array().unwrap().len(), 1);
    // One in maintenance is emptied as well, if so said.
    assert_eq!(world.run("maint s1").await.code, Some(0));
    assert_eq!(world.run("drain s1 --over 0").await.code, Some(0));
    assert_eq!(
        world.status().await["pools"][0]["servers"][0]["state"],
        "maint"
    );
    assert_eq!(world.ask("enable server p/s1").await, "\n");
    assert_eq!(world.status().await["drains"].as_array().unwrap().len(), 0);
    for line in [
        "user;drain server s1",
        "operator;ready server s1",
        "user;rebalance pool p",
    ] {
        assert!(
            world.ask(line).await.ends_with("Permission denied\n\n"),
            "{line}"
        );
    }
}

#[tokio::test]
async fn maintenance_ends_a_drain_and_leaves_its_connections_alone() {
    let world = World::start("", "").await;
    let _crowd = world.crowd(60).await;
    let (waiting, maint) = tokio::join!(world.run("drain s1 --over 8s"), async {
        let begun = |status: &serde_json::Value| open(status)[0] < 20;
        world.status_until("it has begun", begun).await;
        world.run("maint s1").await
    });
    assert_eq!(maint.code, Some(0), "{maint:?}");
    let status = world.status().await;
    let left = open(&status)[0];
    let drain = &status["drains"][0];
    assert_eq!(drain["stage"], "stopped", "{drain}");
    assert_eq!(drain["why"], "the server was put into maintenance");
    assert!(left > 0, "{drain}");
    assert_eq!(waiting.code, Some(1), "{waiting:?}");
    let last = format!(
        "p/s1: the server was put into maintenance, which has ended the drain; its {left} \
         connections stay until they end.\n"
    );
    assert!(waiting.out.ends_with(&last), "{waiting:?}");
    let events = world.ask("show events changes").await;
    let line = "drain of p/s1 ended: it was put into maintenance, ";
    assert!(events.contains(line), "{events}");
    // Longer than it took until the first ones were closed.
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    assert_eq!(world.open().await[0], left);
    assert_eq!(world.run("ready s1").await.code, Some(0));
    assert_eq!(world.status().await["drains"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_drain_waits_while_clients_could_go_nowhere_unless_it_is_forced() {
    let world = World::start("", "").await;
    let _crowd = world.crowd(60).await;
    let drain = "drain s1 --over 8s --no-wait";
    assert_eq!(world.run(drain).await.code, Some(0));
    assert_eq!(world.ask("disable server p/s2").await, "\n");
    assert_eq!(world.ask("disable server p/s3").await, "\n");
    let waits = |status: &serde_json::Value| status["drains"][0]["stage"] == "waiting";
    let status = world.status_until("it waits", waits).await;
    let why = "no other server is usable";
    assert_eq!(status["drains"][0]["why"], why);
    let left = open(&status)[0];
    assert!(left > 0, "{status}");
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    let screen = world.run("status").await;
    let line = format!("\ndrain      p/s1: {left} of 20 connections left, ");
    assert!(screen.out.contains(&line), "{screen:?}");
    assert!(
        screen.out.contains(&format!(" a second, waits: {why}\n")),
        "{screen:?}"
    );
    let listed = world.ask("show drains").await;
    assert!(
        listed.contains(&format!("\np s1 waiting {left} ")),
        "{listed}"
    );
    assert!(listed.contains(&format!(" {why}\n")), "{listed}");
    assert_eq!(world.ask("enable server p/s2").await, "\n");
    let goes_on = |status: &serde_json::Value| status["drains"][0]["stage"] == "draining";
    let status = world.status_until("it goes on", goes_on).await;
    let waited = status["drains"][0]["waited_ms"].as_u64().unwrap();
    assert!(waited >= 800, "{waited}");

    assert_eq!(world.ask("disable server p/s2").await, "\n");
    let forced = world.run("drain s1 --over 0 --force").await;
    assert_eq!(forced.code, Some(0), "{forced:?}");
    let logged = async || {
        let log = world.log();
        let words = [
            "drain waits pool=p server=s1 why=\"no other server is usable\"",
            "drain goes on pool=p server=s1",
            "command=\"drain server p/s1 over 0s force\"",
        ];
        words.iter().all(|words| log.contains(words)).then_some(())
    };
    crate::wait::until("it is logged", SOON, logged).await;
}

/// Gives a server of the file another address.
fn at(file: &str, name: &str, address: &str) -> String {
    let lines = file.lines().map(|line| match line.split_once(" = ") {
        Some((key, _)) if key == name => format!("{name} = \"{address}\""),
        Some(_) | None => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn what_a_reload_left_at_another_address_is_not_drained() {
    let world = World::start("", "").await;
    let crowd = world.crowd(30).await;
    let other = world.address(0);
    let (waiting, ()) = tokio::join!(world.run("drain s3 --over 1h"), async {
        let closed = |status: &serde_json::Value| status["drains"][0]["closed"] == 1;
        world.status_until("it has begun", closed).await;
        crowd.connected_are(30).await;
        world.reload(|file| at(file, "s3", &other)).await;
    });
    assert_eq!(waiting.code, Some(1), "{waiting:?}");
    let last = format!(
        "p/s3 has another address: a reload has ended the drain; its 9 connections at {} stay \
         until they end, and it gets no new ones until `warren ready p/s3`.\n",
        world.address(2),
    );
    assert!(waiting.out.ends_with(&last), "{waiting:?}");
    let events = world.ask("show events changes").await;
    let line = "drain of p/s3 ended: a reload has given it another address\n";
    assert!(events.contains(line), "{events}");

    assert_eq!(world.run("ready s3").await.code, Some(0));
    let up = |status: &serde_json::Value| status["pools"][0]["servers"][2]["state"] == "up";
    world.status_until("it is up", up).await;
    let _more = world.crowd(9).await;
    assert_eq!(world.open().await[2], 9, "the emptiest one gets them");
    let ran = world.run("drain s3 --over 0").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let last = "p/s3 has no connections, but at the same address p/s1 has ";
    assert!(ran.out.contains(last), "{ran:?}");
    assert_eq!(world.accounts("drained").len(), 1 + 9);
    let status = world.status().await;
    assert_eq!(status["removed"][0]["open"], 9, "{}", status["removed"]);

    // One that comes back under the same name has not been drained.
    let without = |file: &str| {
        let lines = file.lines().filter(|line| !line.starts_with("s3 = "));
        lines.collect::<Vec<_>>().join("\n")
    };
    world.reload(without).await;
    world
        .reload(|file| file.replace("\ns2 = ", &format!("\ns3 = \"{other}\"\ns2 = ")))
        .await;
    assert_eq!(world.ask("set server p/s3 state drain").await, "\n");
    let status = world.status().await;
    assert_eq!(status["drains"].as_array().unwrap().len(), 0, "{status}");
}

#[tokio::test]
async fn a_pool_that_comes_back_is_drained_of_what_it_had() {
    let world = World::start("", "").await;
    let crowd = world.crowd(30).await;
    let named = |file: &str, from, to| {
        let file = file.replace(&format!("[pool.{from}"), &format!("[pool.{to}"));
        file.replace(&format!("pool = \"{from}\""), &format!("pool = \"{to}\""))
    };
    world.reload(|file| named(file, "p", "other")).await;
    assert_eq!(world.open().await, [0; 3]);
    world.reload(|file| named(file, "other", "p")).await;
    assert_eq!(world.open().await, [10; 3]);
    let ran = world.run("drain s1 --over 0").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(world.accounts("drained").len(), 10);
    crowd.connected_are(30).await;
    assert_eq!(world.open().await, [0, 15, 15]);
}

#[tokio::test]
async fn a_broker_is_not_safe_to_stop_while_it_has_connections_under_another_name() {
    let world = World::start("", "").await;
    let crowd = world.crowd(30).await;
    world
        .reload(|file| file.replace("\ns1 = ", "\nnew = "))
        .await;
    let ran = world.run("drain new --over 0").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let last = "p/new has no connections, but at the same address p/s1 (removed) has 10: it is \
                not yet safe to stop the broker.\n";
    assert!(ran.out.ends_with(last), "{ran:?}");
    assert_eq!(world.ask("shutdown sessions server p/s1").await, "\n");
    crowd.connected_are(30).await;
    let alone = |status: &serde_json::Value| status["removed"] == serde_json::json!([]);
    world.status_until("they have ended", alone).await;
    let ran = world.run("drain new --over 0").await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
}

#[tokio::test]
async fn a_reload_goes_around_a_drain_and_ends_that_of_a_server_it_removes() {
    let world = World::start("", "").await;
    let crowd = world.crowd(30).await;
    let (waiting, ()) = tokio::join!(world.run("drain s2 --over 1h"), async {
        let closed = |status: &serde_json::Value| status["drains"][0]["closed"] == 1;
        world.status_until("it has begun", closed).await;
        world
            .reload(|file| file.replace("[pool.p]", "[pool.p]\nretries = 5"))
            .await;
        let status = world.status().await;
        assert_eq!(status["drains"][0]["stage"], "draining");
        assert_eq!(status["pools"][0]["servers"][1]["state"], "drain");
        let without = |file: &str| {
            let lines = file.lines().filter(|line| !line.starts_with("s2 = "));
            lines.collect::<Vec<_>>().join("\n")
        };
        world.reload(without).await;
    });
    assert_eq!(waiting.code, Some(1), "{waiting:?}");
    let last = "p/s2 is gone: a reload has removed it; `shutdown sessions server p/s2` over the \
                stats socket ends its 9 connections.\n";
    assert!(waiting.out.ends_with(last), "{waiting:?}");
    let log = async || {
        let log = world.log();
        log.contains("drain ended: a reload has removed the server")
            .then_some(())
    };
    crate::wait::until("the drain has ended", SOON, log).await;
    assert_eq!(world.status().await["drains"].as_array().unwrap().len(), 0);
    // Its connections stay, as a reload has it.
    crowd.connected_are(30).await;
    assert_eq!(world.accounts("drained").len(), 1);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_in_words() {
    let other = format!(
        "[listen.other]\nbind = \"127.0.0.1:{}\"\npool = \"q\"\n\
         [pool.q]\nbalance = \"source\"\ncheck = {{ type = \"none\" }}\n\
         [pool.q.servers]\ns1 = \"127.0.0.1:9\"\nlone = \"127.0.0.1:9\"\n",
        free_port(),
    );
    let mut world = World::start("", &other).await;
    for (command, code, words) in [
        (
            "drain s4",
            64,
            "SERVER: there is no server `s4`; did you mean `s1`? There are: p/s1, p/s2, p/s3, \
             q/s1, q/lone\n",
        ),
        (
            "drain s1",
            64,
            "SERVER: `s1` is the name of 2 servers: say p/s1 or q/s1\n",
        ),
        ("ready q/s2", 64, "SERVER: there is no server `q/s2`"),
        ("maint q/s2", 64, "SERVER: there is no server `q/s2`"),
        (
            "drain s2 --over 5",
            64,
            "'--over <TIME>': `5` has no unit; did you mean `5s`? (a time is a whole number and \
             ms, s, m, h or d, ",
        ),
        (
            "rebalance",
            64,
            "POOL: there are several, say which: p, q\n",
        ),
        (
            "rebalance x",
            64,
            "POOL: there is no pool `x`; there are: p, q\n",
        ),
        (
            "rebalance q",
            1,
            "pool q has balance = \"source\": the address of a client",
        ),
        ("rebalance p --rate 0", 64, "0 is not in 1..=1000"),
    ] {
        let ran = world.run(command).await;
        assert_eq!(ran.code, Some(code), "{command}: {ran:?}");
        assert!(ran.err.contains(words), "{command}: {ran:?}");
    }
    assert_eq!(world.run("drain q/s1 --over 0").await.code, Some(0));
    let last = world.run("drain lone --over 0").await;
    assert_eq!(last.code, Some(1), "{last:?}");
    for words in [
        "q/lone is the last usable server of its pool",
        "say `--force` if that is what you want",
    ] {
        assert!(last.err.contains(words), "{last:?}");
    }
    assert_eq!(world.run("drain lone --over 0 --force").await.code, Some(0));
    assert_eq!(world.run("ready lone").await.code, Some(0));

    world.stop_server(1);
    let down = |status: &serde_json::Value| status["pools"][0]["servers"][1]["state"] == "down";
    world.status_until("s2 is down", down).await;
    let ran = world.run("rebalance p").await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("server s2 is down: "), "{ran:?}");
}
