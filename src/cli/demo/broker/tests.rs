//! Brokers and clients against each other over real sockets, with nothing between them.

use std::cell::RefCell;
use std::future::Future;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use super::Broker;
use crate::amqp::content::{Message, Received};
use crate::amqp::method::{Method, reply};
use crate::amqp::{Frame, PROTOCOL_HEADER};
use crate::cli::demo::client::{Client, ClientError, Event};
use crate::cli::demo::cluster::Cluster;
use crate::cli::demo::load::Load;

/// Runs a test inside a runtime like the demo's, for at most 20 seconds.
fn run<F: Future<Output = ()>>(test: impl FnOnce(Vec<Broker>) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    LocalSet::new().block_on(&runtime, async {
        let cluster = Rc::new(RefCell::new(Cluster::new()));
        let mut brokers: Vec<Broker> = ["one", "two"]
            .map(|name| Broker::new(name, Ipv4Addr::LOCALHOST, Rc::clone(&cluster)).unwrap())
            .into();
        for broker in &mut brokers {
            broker.start().unwrap();
        }
        timeout(Duration::from_secs(20), test(brokers))
            .await
            .unwrap();
    });
}

async fn delivery(client: &mut Client) -> (u64, bool, Vec<u8>) {
    loop {
        if let Event::Delivery {
            tag,
            redelivered,
            message,
        } = client.next().await.unwrap()
        {
            return (tag, redelivered, message.body);
        }
    }
}

#[test]
fn unacknowledged_messages_of_a_killed_broker_go_to_the_other_one() {
    run(|mut brokers| async move {
        let mut publisher = Client::connect(brokers[0].address, "p").await.unwrap();
        publisher.declare("q").await.unwrap();
        publisher.confirm_select().await.unwrap();
        for body in 1..=3 {
            let message = Message::plain(vec![body]);
            publisher.publish("q", &message).await.unwrap();
            let confirm = publisher.next().await.unwrap();
            assert!(matches!(
                confirm,
                Event::Method(Method::BasicAck { tag, .. }) if tag == u64::from(body)
            ));
        }
        let mut first = Client::connect(brokers[0].address, "c").await.unwrap();
        first.consume("q", 2).await.unwrap();
        let (tag, redelivered, body) = delivery(&mut first).await;
        assert_eq!((tag, redelivered, body), (1, false, vec![1]));
        first.ack_up_to(tag).await.unwrap();
        for expected in [2, 3] {
            assert_eq!(delivery(&mut first).await.2, [expected]);
        }
        let mut second = Client::connect(brokers[1].address, "c").await.unwrap();
        second.consume("q", 0).await.unwrap();
        let nothing = timeout(Duration::from_millis(100), second.next()).await;
        assert!(nothing.is_err(), "the others are on their way to the first");
        brokers[0].kill();
        for (tag, body) in [(1, 2), (2, 3)] {
            assert_eq!(delivery(&mut second).await, (tag, true, vec![body]));
        }
        let ClientError::Io(error) = first.next().await.unwrap_err() else {
            panic!("not an error of the socket");
        };
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn a_killed_broker_refuses_until_it_is_back_on_the_same_port() {
    run(|mut brokers| async move {
        for _ in 0..3 {
            brokers[0].kill();
            sleep(Duration::from_millis(10)).await;
            let refused = TcpStream::connect(brokers[0].address).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            brokers[0].start().unwrap();
            let client = Client::connect(brokers[0].address, "c").await.unwrap();
            client.close().await.unwrap();
        }
    });
}

#[test]
fn nothing_is_lost_when_the_broker_of_everybody_is_killed() {
    run(|mut brokers| async move {
        let mut load = Load::start(brokers[0].address, 2);
        let shared = Rc::clone(&load.shared);
        for _ in 0..2 {
            sleep(Duration::from_millis(300)).await;
            assert!(load.is_complete());
            brokers[0].kill();
            sleep(Duration::from_millis(200)).await;
            assert_eq!(shared.connected.get(), 0);
            brokers[0].start().unwrap();
        }
        load.add_quiet(1);
        sleep(Duration::from_millis(500)).await;
        load.drain();
        while !load.is_drained() {
            sleep(Duration::from_millis(10)).await;
        }
        assert!(load.is_complete());
        load.leave().await;
        let totals = shared.ledger.borrow().totals();
        assert!(totals.confirmed > 500, "{totals:?}");
        assert_eq!(totals.confirmed, totals.published);
        assert_eq!(totals.confirmed, totals.consumed);
        assert_eq!(totals.unexpected, 0);
        assert_eq!(shared.cut.get(), 20);
    });
}

/// Sends bytes to a fresh connection and returns the methods that come back until it ends.
async fn answers(broker: &Broker, bytes: &[u8]) -> Vec<Method> {
    let mut stream = TcpStream::connect(broker.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await.unwrap();
    let mut methods = Vec::new();
    let mut rest = read.as_slice();
    while let Ok(Some((frame, used))) = Frame::decode(rest, 4096) {
        if let Received::Method(method) = Received::decode(&frame).unwrap() {
            methods.push(method);
        }
        rest = &rest[used..];
    }
    methods
}

#[test]
fn garbage_is_answered_and_harms_nobody() {
    run(|brokers| async move {
        let mut witness = Client::connect(brokers[0].address, "w").await.unwrap();
        assert_eq!(answers(&brokers[0], b"GET / HTTP/1.1\r\n\r\n").await, []);
        let refusal = |methods: &[Method]| match methods {
            [
                Method::ConnectionStart { .. },
                Method::ConnectionClose { code, .. },
            ] => *code,
            other => panic!("{other:?}"),
        };
        let after_header = |more: &[u8]| [&PROTOCOL_HEADER[..], more].concat();
        for (garbage, code) in [
            (&b"GARBAGE"[..], reply::FRAME_ERROR),
            // A body of 4 GiB is announced.
            (b"\x01\0\0\xff\xff\xff\xff", reply::FRAME_ERROR),
            // A method of class 90.
            (
                b"\x01\0\0\0\0\0\x04\0\x5a\0\x0a\xce",
                reply::NOT_IMPLEMENTED,
            ),
            // start-ok without arguments.
            (b"\x01\0\0\0\0\0\x04\0\x0a\0\x0b\xce", reply::SYNTAX_ERROR),
            // channel.open before the login.
            (
                b"\x01\0\x01\0\0\0\x05\0\x14\0\x0a\0\xce",
                reply::UNEXPECTED_FRAME,
            ),
        ] {
            let methods = answers(&brokers[0], &after_header(garbage)).await;
            assert_eq!(refusal(&methods), code, "{garbage:?}");
        }
        witness.declare("q").await.unwrap();
    });
}

#[test]
fn a_queue_that_does_not_exist_is_refused_with_its_code() {
    run(|brokers| async move {
        let mut client = Client::connect(brokers[0].address, "c").await.unwrap();
        let error = client.consume("nowhere", 1).await.unwrap_err();
        assert_eq!(error.to_string(), "broker closed: 404 no queue 'nowhere'");
    });
}
