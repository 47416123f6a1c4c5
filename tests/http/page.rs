//! The status page in a browser.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::browser::Browser;
use crate::network::{enter, until};
use crate::node::{POOLS, ROUTER, Warren, serve};

const URL: &str = "http://127.0.0.1:8404/";

/// An expression that is true when the page shows this server in this state.
fn shows(server: &str, state: &str) -> String {
    format!("document.querySelector('[data-server={server}]')?.dataset.state === '{state}'")
}

/// An expression that is true when these words are to be read.
fn says(words: &str) -> String {
    format!("document.body.innerText.includes({words:?})")
}

#[test]
fn the_page_follows_fits_a_phone_and_says_when_nobody_answers() {
    if !enter() {
        return;
    }
    serve(5682);
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let warren = Warren::ready(&format!("{POOLS}{ROUTER}"));
    browser.open(URL, 390, 844);
    browser.until(&shows("r2", "up"));
    browser.until(&shows("r1", "down"));
    // Who is master and why, the check in its own words, what is wrong.
    for words in [
        "no master was heard",
        "priority 150",
        "connection refused",
        "server rabbit/r1 is down",
        "virtual router amqp backup -> master",
    ] {
        browser.until(&says(words));
    }
    assert_eq!(
        browser.value("document.getElementById('role').innerText"),
        "master ready"
    );

    // It follows by itself.
    let _clients = [5672, 5672].map(|port| TcpStream::connect(("127.0.0.1", port)).unwrap());
    let r2 = "document.querySelector('[data-server=r2]').innerText";
    browser.until(&format!("{r2}.includes('2 open')"));
    let _ = warren.tell("set server rabbit/r2 state drain");
    browser.until(&shows("r2", "drain"));
    browser.until(&says("server rabbit/r2 up -> drain: by an operator"));
    browser.until(&says("not ready"));
    // Two samples are five seconds apart.
    browser.until("document.querySelector('[data-server=r2] polyline') !== null");

    let wide = "document.documentElement.scrollWidth";
    assert_eq!(browser.value(wide), 390, "a phone does not scroll sideways");
    assert_eq!(browser.complaints, [""; 0], "policy and script are good");
    drop(warren);
    browser.until(&says("What stands below is old"));
}

/// An http check whose answer has markup in it.
fn talk(port: u16, words: &'static str) {
    let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().flatten() {
            let mut request = [0; 1024];
            let _ = connection.read(&mut request);
            let answer = format!("HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n{words}\n");
            let _ = connection.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn words_of_a_broker_stay_words() {
    if !enter() {
        return;
    }
    const WORDS: &str = "<img id=evil src=x onerror=\"document.title='evil'\">";
    talk(5682, WORDS);
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let tables = POOLS.replace(
        "interval = \"200ms\"",
        "interval = \"200ms\"\ntype = \"http\"",
    );
    let _warren = Warren::start(&tables);
    browser.open(URL, 1200, 900);
    browser.until(&shows("r2", "down"));
    let said = browser.value("document.body.innerText");
    assert!(said.as_str().unwrap().contains("<img id=evil"), "{said}");
    assert_eq!(
        browser.value("document.getElementById('evil') === null"),
        true
    );
    assert_ne!(browser.value("document.title"), "evil");
}

/// `cargo test --test http -- --ignored picture` makes docs/status-page.png: a master, one of whose
/// three brokers is down, after a few minutes.
#[test]
#[ignore = "makes docs/status-page.png, in two minutes"]
fn picture_for_the_readme() {
    if !enter() {
        return;
    }
    for port in [5681, 5682] {
        serve(port);
    }
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let tables = format!(
        "[listen.amqp]\nbind = \"0.0.0.0:5672\"\npool = \"rabbit\"\n\
         [pool.rabbit.servers]\nrabbit-1 = \"127.0.0.1:5681\"\nrabbit-2 = \"127.0.0.1:5682\"\n\
         rabbit-3 = \"127.0.0.1:5683\"\n{ROUTER}"
    );
    let warren = Warren::start(&tables);
    let mut clients = Vec::new();
    let mut dice: u32 = 7;
    for second in 0..120 {
        dice = dice.wrapping_mul(1_103_515_245).wrapping_add(12_345);
        for _ in 0..dice >> 29 {
            clients.push(TcpStream::connect(("127.0.0.1", 5672)).unwrap());
        }
        if clients.len() > 40 || second % 17 == 0 {
            clients.drain(..clients.len() / 2);
        }
        for client in &mut clients {
            let _ = client.write_all(&[0; 2_000]);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
    let _ = warren.tell("set server rabbit/rabbit-2 state drain");
    let _ = warren.tell("set server rabbit/rabbit-2 state ready");
    browser.open(URL, 1000, 760);
    browser.until(&says("rabbit-3 is down"));
    browser.until("document.querySelector('polyline') !== null");
    let picture = browser.picture();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status-page.png");
    let mut decoder = Command::new("base64")
        .arg("--decode")
        .stdin(Stdio::piped())
        .stdout(std::fs::File::create(file).unwrap())
        .spawn()
        .unwrap();
    let mut input = decoder.stdin.take().unwrap();
    input.write_all(picture.as_bytes()).unwrap();
    drop(input);
    assert!(decoder.wait().unwrap().success());
    let size = std::fs::metadata(file).unwrap().len();
    assert!(size < 200_000, "{size} bytes");
    until("the file", || std::fs::metadata(file).ok());
}
