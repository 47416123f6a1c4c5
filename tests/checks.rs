//! Every way in which a server can disappoint a health check: a scripted server for each, the
//! result that the check must give, and no descriptor left behind. One test, so that nobody else
//! opens descriptors in this process meanwhile.
#![expect(clippy::unwrap_used, reason = "what cannot be set up cannot be tested")]

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use warren::config::{Credentials, SendProxy};
use warren::health::amqp::Login;
use warren::health::probe::{self, Question};
use warren::health::session::Session;
use warren::health::verdict::{CheckCode, CheckResult};

const TIMEOUT: Duration = Duration::from_millis(300);

const START: &[u8] =
    b"\x01\0\0\0\0\0\x1C\0\x0A\0\x0A\0\x09\0\0\0\0\0\0\0\x05PLAIN\0\0\0\x05en_US\xCE";
const TUNE: &[u8] = b"\x01\0\0\0\0\0\x0C\0\x0A\0\x1E\x07\xFF\0\x02\0\0\0\x3C\xCE";
const OPEN_OK: &[u8] = b"\x01\0\0\0\0\0\x05\0\x0A\0\x29\0\xCE";
const CHANNEL_OPEN_OK: &[u8] = b"\x01\0\x01\0\0\0\x08\0\x14\0\x0B\0\0\0\0\xCE";
const LOGIN: &[&[u8]] = &[START, TUNE, OPEN_OK, CHANNEL_OPEN_OK];
const REFUSED: &[u8] = b"\x01\0\0\0\0\0\x19\0\x0A\0\x32\x01\x93\x0EACCESS_REFUSED\0\0\0\0\xCE";
const NO_VHOST: &[u8] = b"\x01\0\0\0\0\0\x16\0\x0A\0\x32\x02\x12\x0BNOT_ALLOWED\0\0\0\0\xCE";

/// What a scripted server does after it accepted.
#[derive(Clone, Copy)]
enum Then {
    /// Closes, after reading what came.
    Close,
    /// Closes with a reset.
    Reset,
    /// Says and reads nothing.
    Hang,
    /// Sends one answer to each thing that comes, then hangs.
    Answer(&'static [&'static [u8]]),
    /// Sends one answer to each thing that comes, then closes.
    AnswerAndClose(&'static [&'static [u8]]),
}

use Then::{Answer, AnswerAndClose, Close, Hang, Reset};

/// A server, and the result that the check of it must give.
type Case = (Then, CheckCode, Option<u16>, &'static str);

#[tokio::test]
async fn every_disappointment_has_a_result_and_leaves_nothing() {
    let before = descriptors();
    handshakes().await;
    for case in HTTP_CASES {
        let (address, serving) = server(case.0).await;
        expect(&http(address).await, case);
        stop(serving).await;
    }
    for case in AMQP_CASES {
        let (address, serving) = server(case.0).await;
        expect(&amqp(address).await, case);
        stop(serving).await;
    }
    assert_eq!(descriptors(), before, "descriptors leaked");
}

const HTTP_CASES: &[Case] = &[
    (
        Answer(&[b"HTTP/1.1 200 OK\r\n\r\n"]),
        CheckCode::L7Ok,
        Some(200),
        "answered 200",
    ),
    (
        Answer(&[b"HTTP/1.1 503 Service Unavailable\r\n\r\n{\"reason\":\"alarm\"}"]),
        CheckCode::L7Status,
        Some(503),
        "answered 503 Service Unavailable: {\"reason\":\"alarm\"}",
    ),
    (
        Answer(&[b"HTTP/1.1 ", &[b'x'; 1 << 16]]),
        CheckCode::L7Invalid,
        None,
        "status line without an end: HTTP/1.1 xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ),
    (
        Hang,
        CheckCode::L7Timeout,
        None,
        "connected, but no answer within 300ms",
    ),
    (
        Close,
        CheckCode::L7Invalid,
        None,
        "closed the connection without an answer",
    ),
    (
        Reset,
        CheckCode::L4Connection,
        None,
        "connection reset by peer",
    ),
];

const AMQP_CASES: &[Case] = &[
    (
        Hang,
        CheckCode::L7Timeout,
        None,
        "connected, but no connection.start within 300ms",
    ),
    (
        Close,
        CheckCode::L7Invalid,
        None,
        "closed the connection before a word (not AMQP, or a PROXY header too many or too few)",
    ),
    (
        Reset,
        CheckCode::L4Connection,
        None,
        "connection reset by peer",
    ),
    (
        Answer(&[b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
        CheckCode::L7Invalid,
        None,
        "not an AMQP 0-9-1 answer: not an AMQP frame (type 0x48)",
    ),
    (
        Answer(&[b"\x01\0\0\x7F\xFF\xFF\xFF\0\x0A"]),
        CheckCode::L7Invalid,
        None,
        "not an AMQP 0-9-1 answer: frame of 2147483647 bytes is larger than the limit",
    ),
    (
        AnswerAndClose(&[b"AMQP\x03\x01\0\0"]),
        CheckCode::L7Invalid,
        None,
        "speaks another AMQP version (1.0.0)",
    ),
    (
        AnswerAndClose(&[b"AMQP\0\0\x09\x01"]),
        CheckCode::L7Invalid,
        None,
        "sends our AMQP header back (an echo, or a PROXY header that it does not expect)",
    ),
    (
        Answer(&[START, REFUSED]),
        CheckCode::L7Status,
        Some(403),
        "ACCESS_REFUSED",
    ),
    (
        Answer(&[START, TUNE, NO_VHOST]),
        CheckCode::L7Status,
        Some(530),
        "NOT_ALLOWED",
    ),
    (
        AnswerAndClose(&[START]),
        CheckCode::L4Connection,
        None,
        "closed the connection while connection.tune was awaited",
    ),
    (
        Answer(&[START, TUNE]),
        CheckCode::L7Timeout,
        None,
        "connected, but no connection.open-ok within 300ms",
    ),
    (
        AnswerAndClose(LOGIN),
        CheckCode::L4Connection,
        None,
        "closed the connection while basic.qos-ok was awaited",
    ),
    (Answer(LOGIN), CheckCode::L7Timeout, None, "silent"),
];

/// Nobody listens; and somebody listens whose queue is full, so that handshakes do not end.
async fn handshakes() {
    let (address, serving) = server(Hang).await;
    let connected = (Hang, CheckCode::L4Ok, None, "connected");
    expect(&probe::tcp(address, TIMEOUT).await, &connected);
    stop(serving).await;
    let refused = (Hang, CheckCode::L4Connection, None, "connection refused");
    every_kind(address, &refused).await;

    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    full.bind(&loopback.into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let _queued = TcpStream::connect(address).await.unwrap();
    let late = (
        Hang,
        CheckCode::L4Timeout,
        None,
        "no connection within 300ms",
    );
    every_kind(address, &late).await;
}

async fn every_kind(address: SocketAddr, case: &Case) {
    expect(&probe::tcp(address, TIMEOUT).await, case);
    expect(&http(address).await, case);
    expect(&amqp(address).await, case);
}

#[track_caller]
fn expect(result: &CheckResult, case: &Case) {
    let got = (result.code, result.reply_code, result.detail.as_str());
    assert_eq!(got, (case.1, case.2, case.3));
}

async fn http(address: SocketAddr) -> CheckResult {
    let question = Question {
        host: "rabbit-1",
        path: "/api/health/checks/local-alarms",
        credentials: None,
        send_proxy: SendProxy::Off,
    };
    probe::http(address, question, TIMEOUT).await
}

/// Logs in and asks once.
async fn amqp(address: SocketAddr) -> CheckResult {
    let login = Login {
        credentials: Credentials {
            username: "guest".to_owned(),
            password: "guest".to_owned(),
        },
        vhost: "/".to_owned(),
        connection_name: "warren check of rabbit/one".to_owned(),
        heartbeat: 10,
    };
    let opened = Session::open(address, SendProxy::Off, login, TIMEOUT).await;
    let mut session = match opened {
        Ok(session) => session,
        Err(result) => return result,
    };
    session.ask().unwrap();
    match tokio::time::timeout(TIMEOUT, session.next()).await {
        Ok(Ok(heard)) => CheckResult::new(CheckCode::L7Ok, format!("{heard:?}")),
        Ok(Err(result)) => result,
        Err(_elapsed) => CheckResult::new(CheckCode::L7Timeout, "silent"),
    }
}

async fn server(then: Then) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (address, tokio::spawn(serve(listener, then)))
}

async fn stop(serving: JoinHandle<()>) {
    serving.abort();
    assert!(serving.await.unwrap_err().is_cancelled(), "server failed");
}

async fn serve(listener: TcpListener, then: Then) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        match then {
            Close => hear(&mut stream).await,
            Reset => {
                hear(&mut stream).await;
                stream.set_zero_linger().unwrap();
            }
            Hang => std::future::pending().await,
            Answer(answers) => {
                answer(&mut stream, answers).await;
                std::future::pending().await
            }
            AnswerAndClose(answers) => {
                answer(&mut stream, answers).await;
                hear(&mut stream).await;
            }
        }
    }
}

async fn answer(stream: &mut TcpStream, answers: &[&[u8]]) {
    for (index, bytes) in answers.iter().enumerate() {
        // A check asks until it has an answer, and an http check asks once.
        if index == 0 || bytes.len() < 1 << 16 {
            hear(stream).await;
        }
        // The check may have gone before the end of a long answer.
        let _ = stream.write_all(bytes).await;
    }
}

async fn hear(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0; 1024]).await;
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
