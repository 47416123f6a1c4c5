//! `warren explain server`: servers in many circumstances at once.

use std::net::TcpListener;

use crate::{Warren, pool, refusing, serve, server};

#[test]
fn each_circumstance_is_explained() {
    let live = server();
    let (_refusing, dead) = refusing();
    let warren = Warren::start(&pool(&format!(
        "used = \"{live}\"\n\
         dead = \"{dead}\"\n\
         lost = \"no-such-host.invalid:5672\"\n\
         light = {{ address = \"{live}\", weight = 0 }}\n\
         small = {{ address = \"{live}\", max_connections = 1 }}\n\
         kept = \"{live}\"\n\
         left = \"{live}\"\n\
         spare = {{ address = \"{live}\", backup = true }}\n"
    )));
    let text = warren.explains("used", "gets new connections: it has been up for");
    assert!(
        text.starts_with(&format!("rabbit/used ({live}) gets new")),
        "{text}"
    );
    assert!(
        text.contains("Its last check passed: L4OK after "),
        "{text}"
    );
    let text = warren.explains("dead", "gets no new connections: it has been down for");
    assert!(
        text.contains("Its last check failed: L4CON after "),
        "{text}"
    );
    assert!(text.contains(" ago: connection refused."), "{text}");
    warren.explains("lost", "its name no-such-host.invalid does not resolve.");
    warren.explains("light", "its weight is 0 in the configuration.");
    warren.explains("spare", "as a backup server it is not needed while");

    warren.order("set server rabbit/kept state maint");
    warren.order("set server rabbit/left state drain");
    warren.order("set weight rabbit/used 7");
    let uid = nix::unistd::getuid();
    warren.explains(
        "kept",
        &format!("an operator (user {uid}) put it into maintenance"),
    );
    warren.explains(
        "left",
        &format!("an operator (user {uid}) has been draining it for"),
    );
    warren.explains(
        "used",
        "An operator has set its weight to 7; the configuration has 100.",
    );
    let page = warren.says(&["explain", "server", "rabbit/kept"]);
    let lately = page.split("\nlately:\n").nth(1).unwrap();
    assert!(
        lately.contains("server rabbit/kept up -> maint: by an operator\n"),
        "{page}"
    );
    let command = format!("user {uid}: set server rabbit/kept state maint\n");
    assert!(lately.contains(&command), "{page}");

    // `small` has the largest share now, and gets one of the next connections.
    let _clients: Vec<_> = (0..4).map(|_| warren.connect()).collect();
    warren.explains("small", "and has 1 connections, as many as it may.");

    for server in ["used", "small"] {
        warren.order(&format!("set server rabbit/{server} state maint"));
    }
    warren.explains("spare", "as a backup server it is needed");

    let output = warren.run(&["explain", "server", "sparee"]);
    assert_eq!(output.status.code(), Some(64));
    let told = String::from_utf8(output.stderr).unwrap();
    let words = "warren: SERVER: there is no server `sparee`; did you mean `spare`? There are: \
                 rabbit/used, rabbit/dead, ";
    assert!(told.starts_with(words), "{told}");
}

#[test]
fn what_an_operator_closed_is_said() {
    let warren = Warren::start(&pool(&format!("s = \"{}\"\n", server())));
    warren.explains("s", "It is the only one that leastconn chooses from.");
    warren.order("disable frontend amqp");
    warren.explains("s", "No open listener sends clients to pool rabbit");
    let output = warren.run(&["status"]);
    assert_eq!(output.status.code(), Some(2));
    let screen = String::from_utf8(output.stdout).unwrap();
    assert!(
        screen.contains("\n! listener amqp is disabled\n"),
        "{screen}"
    );
    warren.order("disable health rabbit/s");
    warren.order("set server rabbit/s health down");
    let uid = nix::unistd::getuid();
    let words = format!(": an operator (user {uid}) put it down.");
    warren.explains("s", &words);
}

#[test]
fn one_that_came_back_is_in_slow_start() {
    let (socket, address) = refusing();
    let warren = Warren::start(&format!(
        "{}s = \"{address}\"\n",
        pool("").replace("[pool.rabbit]\n", "[pool.rabbit]\nslow_start = \"1h\"\n")
    ));
    warren.explains("s", "it has been down for");
    socket.listen(16).unwrap();
    serve(TcpListener::from(socket));
    let text = warren.explains("s", "% of its share");
    assert!(
        text.contains("slow_start lets it reach the full one after 1h 00m."),
        "{text}"
    );
}

#[test]
fn a_first_check_that_has_not_ended_is_waited_for() {
    // It accepts, and never says the first word.
    let mute = server();
    let warren = Warren::start(&format!(
        "[pool.rabbit]\ncheck = {{ type = \"amqp\", timeout = \"1h\" }}\n\
         servers = {{ s = \"{mute}\" }}\n"
    ));
    warren.explains("s", "no check of it has ended in the");
    let none = warren.run(&["explain", "vrrp"]);
    assert_eq!(none.status.code(), Some(64));
}
