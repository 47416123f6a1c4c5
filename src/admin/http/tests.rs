//! The HTTP side over real sockets, with a registry that has no pools.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::*;
use crate::admin::guests::MAX_CLIENTS;
use crate::admin::tests::hands;

/// Runs `test` against a served address, on a paused clock: it jumps when everything waits.
fn with_http<F: Future<Output = ()>>(test: impl FnOnce(SocketAddr, Rc<Side>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        // Free until it is bound again, a moment later.
        let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = probe.local_addr().unwrap();
        drop(probe);
        let side = Side::new(&hands());
        let serving = tokio::task::spawn_local(serve(address, Rc::clone(&side)));
        test(address, side).await;
        serving.abort();
    });
}

async fn connect(address: SocketAddr) -> TcpStream {
    for _ in 0..1_000 {
        if let Ok(stream) = TcpStream::connect(address).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("nobody serves {address}");
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = connect(address).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

async fn get(address: SocketAddr, target: &str) -> String {
    ask(
        address,
        &format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
    .await
}

#[test]
fn every_path_is_answered() {
    with_http(|address, _| async move {
        for (target, status, kind) in [
            ("/", "200 OK", "text/html; charset=utf-8"),
            ("/status.json", "200 OK", "application/json"),
            (
                "/metrics",
                "200 OK",
                "text/plain; version=0.0.4; charset=utf-8",
            ),
            (
                "/metrics?scope=nosuch",
                "400 Bad Request",
                "text/plain; charset=utf-8",
            ),
            ("/healthz", "200 OK", "text/plain; charset=utf-8"),
            (
                "/readyz",
                "503 Service Unavailable",
                "text/plain; charset=utf-8",
            ),
            ("/;csv", "200 OK", "text/plain; charset=utf-8"),
            ("/;json", "200 OK", "application/json"),
            ("/nosuch", "404 Not Found", "text/plain; charset=utf-8"),
        ] {
            let answer = get(address, target).await;
            let head = format!("HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n");
            assert!(answer.starts_with(&head), "{target}: {answer}");
            assert!(!answer.contains("Access-Control"), "{target}");
        }
        assert!(get(address, "/healthz").await.ends_with("\r\n\r\nok\n"));
    });
}

#[test]
fn nothing_can_be_changed_and_nonsense_is_refused() {
    with_http(|address, _| async move {
        for (request, status) in [
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\na=b",
                "405",
            ),
            ("PUT /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
            ("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", "405"),
            ("GET / HTTP/1.1\r\n\r\n", "400"),
            ("GET / HTTP/2.0\r\nHost: localhost\r\n\r\n", "505"),
            ("nonsense\r\n\r\n", "400"),
        ] {
            let answer = ask(address, request).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{answer}"
            );
            assert_eq!(answer.contains("Allow: GET, HEAD\r\n"), status == "405");
        }
        let long = format!("GET /{} HTTP/1.1\r\n", "a".repeat(request::LONGEST_HEAD));
        let answer = ask(address, &long).await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    });
}

#[test]
fn a_name_that_was_made_to_lead_here_gets_nothing() {
    with_http(|address, _| async move {
        let answer = ask(address, "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 421 "), "{answer}");
        let request = format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n");
        assert!(ask(address, &request).await.starts_with("HTTP/1.1 200 "));
    });
}

#[test]
fn old_clients_get_no_chunks_and_head_gets_no_body() {
    with_http(|address, _| async move {
        let answer = ask(address, "GET /metrics HTTP/1.0\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(!head.contains("Transfer-Encoding"), "{head}");
        assert!(body.starts_with("# HELP ") && body.ends_with('\n'));
        let chunked = get(address, "/metrics").await;
        let (head, rest) = chunked.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with("\r\nTransfer-Encoding: chunked"));
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
        for target in ["/", "/metrics"] {
            let request = format!("HEAD {target} HTTP/1.1\r\nHost: a.localhost\r\n\r\n");
            let answer = ask(address, &request).await;
            assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"));
            assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        }
    });
}

#[test]
fn a_thread_that_hangs_makes_the_process_unhealthy() {
    with_http(|address, side| async move {
        for _ in 0..4 {
            side.hands.registry.progress.look([7].into_iter(), None);
        }
        let answer = get(address, "/healthz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nworker 0 makes no progress\n"));
        let answer = get(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\nworker 0 makes no progress\n"));
    });
}

#[test]
fn slow_silent_and_many_clients_harm_nobody() {
    with_http(|address, _| async move {
        // A byte now and then does not put off the end.
        let started = tokio::time::Instant::now();
        let mut slow = connect(address).await;
        let mut byte = [0];
        while slow.write_all(b"G").await.is_ok() {
            let pause = tokio::time::sleep(Duration::from_secs(1));
            tokio::select! {
                _ = slow.read(&mut byte) => break,
                () = pause => {}
            }
        }
        assert!(started.elapsed() < Duration::from_secs(12));

        let mut silent = Vec::new();
        for _ in 0..MAX_CLIENTS {
            silent.push(connect(address).await);
        }
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        // The first one made room.
        assert_eq!(silent[0].read(&mut byte).await.unwrap(), 0);
    });
}

#[test]
fn an_address_that_is_taken_is_tried_again() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let side = Side::new(&hands());
        let serving = tokio::task::spawn_local(serve(address, side));
        tokio::time::sleep(AGAIN * 3).await;
        drop(taken);
        tokio::time::sleep(AGAIN * 2).await;
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200 "));
        serving.abort();
    });
}
