//! `warren status` on a terminal.

use crate::terminal::Terminal;
use crate::{Warren, pool, server};

const HOME: &str = "\x1b[H";
const SECOND_SCREEN: &str = "\x1b[?1049h";
const FIRST_SCREEN: &str = "\x1b[?1049l";

/// The lines of the last screen that is complete.
fn last_screen(text: &str) -> Vec<String> {
    let mut frames: Vec<&str> = text.split(HOME).skip(1).collect();
    if !text.ends_with("\x1b[J") {
        frames.pop();
    }
    let frame = frames.pop().unwrap_or_default().replace("\x1b[K", "");
    let frame = frame.split("\x1b[J").next().unwrap_or_default();
    frame.split("\r\n").map(str::to_owned).collect()
}

fn fits(screen: &[String], lines: usize, columns: usize) -> bool {
    screen.len() <= lines && screen.iter().all(|line| line.chars().count() <= columns)
}

/// Forty servers, of which the last two refuse.
fn many() -> String {
    let live = server();
    let mut servers = String::new();
    for number in 1..=38 {
        servers.push_str(&format!("s{number} = \"{live}\"\n"));
    }
    servers.push_str("dead1 = \"127.0.0.1:1\"\ndead2 = \"127.0.0.1:2\"\n");
    pool(&servers)
}

#[test]
fn the_watch_fits_follows_the_size_outlives_the_daemon_and_gives_the_terminal_back() {
    let mut warren = Warren::start(&many());
    let socket = warren.socket().display().to_string();
    let words = ["status", "--watch", "--socket", &socket];
    let mut terminal = Terminal::start(env!("CARGO_BIN_EXE_warren"), &words, 24, 80);
    let plain = |text: &str| text.replace("\x1b[0m", "").replace("\x1b[1m", "");
    let screen = |text: &str| -> Vec<String> {
        let mut text = plain(text);
        for colour in ["\x1b[31m", "\x1b[32m", "\x1b[33m"] {
            text = text.replace(colour, "");
        }
        last_screen(&text)
    };
    let holds = |text: &str, words: &str| screen(text).iter().any(|line| line.contains(words));
    let text = terminal.until("all servers are checked", |text| {
        holds(text, "38 of 40 servers usable")
    });
    assert!(text.starts_with(SECOND_SCREEN), "{text:?}");
    assert!(text.contains("\x1b[32mup\x1b[0m"), "in colour: {text:?}");
    let shown = screen(&text);
    assert!(fits(&shown, 24, 80), "{shown:#?}");
    assert_eq!(shown[1], "! server rabbit/dead1 is down");
    let at = shown.iter().position(|line| line.starts_with("SERVER"));
    let at = at.unwrap();
    assert!(shown[at + 1].starts_with("dead1   down "), "{shown:#?}");
    assert!(
        shown
            .iter()
            .any(|line| line.starts_with("and 29") && line.contains(" more: "))
    );

    terminal.resize(60, 120);
    let text = terminal.until("it follows the size", |text| holds(text, "s38 "));
    let shown = screen(&text);
    assert!(fits(&shown, 60, 120), "{shown:#?}");
    assert!(
        shown.iter().any(|line| line.contains("  ADDRESS  ")),
        "{shown:#?}"
    );

    warren.kill();
    let gone = "no warren is running here";
    let text = terminal.until("it says that the daemon is gone", |text| holds(text, gone));
    let shown = screen(&text);
    assert!(fits(&shown, 60, 120), "{shown:#?}");
    assert!(
        shown.iter().any(|line| line.contains("POOL rabbit")),
        "{shown:#?}"
    );
    warren.restart();
    let back = "38 of 40 servers usable";
    terminal.until("it goes on", |text| !holds(text, gone) && holds(text, back));

    terminal.press("\x03");
    // 2: something is wrong, as the last screen said.
    assert_eq!(terminal.wait().code(), Some(2));
    let text = terminal.until("the terminal is given back", |text| {
        text.ends_with(FIRST_SCREEN)
    });
    assert!(text.contains("\x1b[?25h"), "with its cursor");
}

#[test]
fn one_screen_fits_into_the_terminal_and_everything_goes_through_a_pipe() {
    let warren = Warren::start(&many());
    warren.until("all servers are checked", || {
        let output = warren.run(&["status"]);
        String::from_utf8_lossy(&output.stdout).contains("38 of 40 servers usable")
    });
    let socket = warren.socket().display().to_string();
    let run = |more: &[&str]| {
        let words = [
            &[
                "NO_COLOR=1",
                env!("CARGO_BIN_EXE_warren"),
                "status",
                "--socket",
            ],
            &[&*socket][..],
            more,
        ];
        let mut terminal = Terminal::start("env", &words.concat(), 30, 80);
        assert_eq!(terminal.wait().code(), Some(2));
        let text = terminal.until("it is printed", |text| text.contains("POOL rabbit"));
        assert!(!text.contains('\x1b'), "no colours: {text:?}");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let shown = run(&[]);
    assert!(fits(&shown, 29, 80), "{shown:#?}");
    let all = run(&["--all"]);
    assert!(all.len() > 40 && fits(&all, 100, 80), "{all:#?}");
    let piped = String::from_utf8(warren.run(&["status"]).stdout).unwrap();
    assert!(
        piped.contains("\ns38 ") && piped.contains("  ADDRESS  "),
        "{piped}"
    );
}
