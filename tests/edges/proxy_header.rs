//! PROXY headers: whole, in pieces, wrong, absent, and from those who may not send one.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::warren::{Setup, Warren};
use crate::wire::{
    Server, address_of, connect, connect_from, expect_end, expect_reset, expect_silence, ping,
};

const EXPECTING: &str = "proxy_protocol = true\ntrusted = [\"127.0.0.1/32\"]";
const V1: &[u8] = b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 5672\r\n";

/// The same in version 2: signature, PROXY over TCP/IPv4, twelve bytes of addresses.
fn v2() -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([203, 0, 113, 7, 198, 51, 100, 1]);
    header.extend([4711_u16.to_be_bytes(), 5672_u16.to_be_bytes()].concat());
    header
}

fn start(server: &Server, send_proxy: &str) -> Warren {
    let servers = format!(
        "a = {{ address = \"{}\", send_proxy = \"{send_proxy}\" }}",
        server.address
    );
    Warren::start(&Setup {
        listen: EXPECTING,
        servers,
        ..Setup::default()
    })
}

/// Each byte in a segment of its own; the last one has the payload right behind it.
fn trickle(client: &mut TcpStream, header: &[u8], payload: &[u8]) {
    let (last, first) = header.split_last().unwrap();
    for byte in first {
        client.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(2));
    }
    client.write_all(&[&[*last], payload].concat()).unwrap();
}

fn expect_bytes(server: &mut TcpStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    server.read_exact(&mut came).unwrap();
    assert!(came == bytes, "{:?}", String::from_utf8_lossy(&came));
}

/// A good client of these listeners has a header, so the usual one does not do.
fn finish(mut warren: Warren, server: &Server) {
    let mut client = connect(&warren);
    client.write_all(b"PROXY UNKNOWN\r\n").unwrap();
    warren.served(&mut client, &[server]);
    drop(client);
    warren.settle();
}

#[test]
fn headers_in_pieces_keep_the_payload_whole() {
    let server = Server::start();
    let mut warren = start(&server, "off");
    let payload: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
    for header in [V1.to_vec(), v2()] {
        let mut client = connect(&warren);
        trickle(&mut client, &header, &payload[..3000]);
        let mut at_server = server.accept();
        expect_bytes(&mut at_server, &payload[..3000]);
        let rest = payload[3000..].to_vec();
        let sending = std::thread::spawn(move || {
            client.write_all(&rest).unwrap();
            client
        });
        expect_bytes(&mut at_server, &payload[3000..]);
        let mut client = sending.join().unwrap();
        ping(&mut client, &mut at_server, b"and back");
        drop(client);
        expect_end(&mut at_server);
    }
    let accounts = warren.until("two accounts", |warren| {
        Some(warren.accounts()).filter(|accounts| accounts.len() == 2)
    });
    for account in accounts {
        assert_eq!(account["client"], "203.0.113.7:4711");
        assert_eq!(account["bytes_to_server"], payload.len() as u64 + 8);
    }
    finish(warren, &server);
}

#[test]
fn a_server_is_told_the_original_source_and_destination() {
    let server = Server::start();
    for version in ["v1", "v2"] {
        let warren = start(&server, version);
        let mut client = connect(&warren);
        trickle(&mut client, &v2(), b"payload");
        let mut at_server = server.accept();
        if version == "v1" {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                let mut byte = [0];
                at_server.read_exact(&mut byte).unwrap();
                line.extend(byte);
            }
            assert_eq!(line, b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 5672\r\n");
        } else {
            let mut header = [0; 28];
            at_server.read_exact(&mut header).unwrap();
            assert_eq!(header[..], v2()[..], "the header that came goes on");
        }
        expect_bytes(&mut at_server, b"payload");
        drop((client, at_server));
        drop(warren);
    }
}

#[test]
fn a_server_is_told_the_source_of_a_client_without_header() {
    let server = Server::start();
    let servers = format!(
        "a = {{ address = \"{}\", send_proxy = \"v1\" }}",
        server.address
    );
    let mut warren = Warren::start(&Setup {
        servers,
        ..Setup::default()
    });
    let mut client = connect(&warren);
    client.write_all(b"payload").unwrap();
    let mut at_server = server.accept();
    let expected = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\npayload",
        address_of(&client).port(),
        warren.address.port()
    );
    expect_bytes(&mut at_server, expected.as_bytes());
    let address = address_of(&client);
    drop((client, at_server));
    assert_eq!(
        warren.account(address)["bytes_to_server"],
        7,
        "the client's own bytes"
    );
    warren.settle();
}

#[test]
fn half_a_header_and_silence_time_out() {
    let server = Server::start();
    let mut warren = start(&server, "off");
    let mut client = connect(&warren);
    let since = Instant::now();
    client.write_all(&V1[..20]).unwrap();
    expect_silence(&mut client, Duration::from_secs(3));
    expect_reset(&mut client);
    let took = since.elapsed();
    assert!(
        took > Duration::from_secs(4) && took < Duration::from_secs(9),
        "{took:?}"
    );
    let account = warren.account(address_of(&client));
    assert_eq!(account["ending"], "proxy-header-timeout");
    assert_eq!(account["during"], "admitting");
    assert_eq!(account["code"], "cR");
    finish(warren, &server);
}

#[test]
fn a_drop_of_bytes_does_not_put_off_the_time_limit() {
    let server = Server::start();
    let mut warren = start(&server, "off");
    let mut client = connect(&warren);
    let since = Instant::now();
    let mut sent = 0;
    while sent < V1.len() - 1 && client.write_all(&V1[sent..=sent]).is_ok() {
        sent += 1;
        std::thread::sleep(Duration::from_millis(250));
    }
    assert!(since.elapsed() < Duration::from_secs(9));
    assert_eq!(warren.ending(address_of(&client)), "proxy-header-timeout");
    finish(warren, &server);
}

#[test]
fn wrong_headers_are_refused_at_once() {
    let server = Server::start();
    let mut warren = start(&server, "off");
    let mut long = b"PROXY TCP4 ".to_vec();
    long.resize(120, b'1');
    let mut too_large = v2();
    too_large[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    let mut too_short = v2();
    too_short[15] = 4;
    let wrong: [&[u8]; 8] = [
        b"AMQP\0\0\x09\x01",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01",
        b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 99999\r\n",
        b"PROXY TCP9 ",
        &long,
        &too_large,
        &too_short,
    ];
    for bytes in wrong {
        let mut client = connect(&warren);
        client.write_all(bytes).unwrap();
        expect_reset(&mut client);
        let account = warren.account(address_of(&client));
        assert_eq!(account["ending"], "bad-proxy-header", "{bytes:?}");
        assert_eq!(account["bytes_to_server"], 0);
        assert_eq!(account["code"], "PR");
    }
    assert!(server.accept_now().is_none(), "nothing may reach a server");
    finish(warren, &server);
}

/// As a balancer in front checks whether somebody listens.
#[test]
fn who_closes_without_a_word_has_sent_no_broken_header() {
    let server = Server::start();
    let mut warren = start(&server, "off");
    for (said, ending, by, code) in [
        (&b""[..], "client-closed", "client", "CC"),
        (&V1[..20], "bad-proxy-header", "us", "PR"),
    ] {
        let mut client = connect(&warren);
        let address = address_of(&client);
        client.write_all(said).unwrap();
        drop(client);
        let account = warren.account(address);
        assert_eq!(account["ending"], ending);
        assert_eq!(account["by"], by);
        assert_eq!(account["during"], "admitting");
        assert_eq!(account["code"], code);
    }
    assert!(server.accept_now().is_none());
    finish(warren, &server);
}

#[test]
fn a_header_from_an_untrusted_source_is_not_believed() {
    let server = Server::start();
    let mut warren = start(&server, "off");
    let mut client = connect_from(warren.address, [127, 0, 0, 2]);
    // The RST may be there before the header is sent; who writes is told of it once.
    match client.write_all(V1) {
        Ok(()) => expect_reset(&mut client),
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
    }
    let account = warren.account(address_of(&client));
    assert_eq!(account["ending"], "untrusted-proxy");
    assert!(server.accept_now().is_none());
    finish(warren, &server);
}

#[test]
fn the_lists_ask_for_the_address_in_the_header() {
    let server = Server::start();
    let listen = format!("{EXPECTING}\ndeny = [\"203.0.113.0/24\"]");
    let mut warren = Warren::start(&Setup {
        listen: &listen,
        ..Setup::of(&[&server])
    });
    let mut client = connect(&warren);
    client.write_all(V1).unwrap();
    expect_reset(&mut client);
    let accounts = warren.until("an account", |warren| {
        Some(warren.accounts()).filter(|accounts| !accounts.is_empty())
    });
    assert_eq!(accounts[0]["client"], "203.0.113.7:4711");
    assert_eq!(accounts[0]["ending"], "denied");
    finish(warren, &server);
}
