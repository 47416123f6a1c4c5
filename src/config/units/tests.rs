//! Each form, what it means, and what is wrong with what is not of that form.

use super::*;
use proptest::prelude::*;

#[test]
fn durations() {
    for (text, milliseconds) in [
        ("0s", 0),
        ("250ms", 250),
        ("5s", 5_000),
        ("5 s", 5_000),
        ("10m", 600_000),
        ("1h", 3_600_000),
        ("365d", 31_536_000_000),
    ] {
        assert_eq!(
            duration(text),
            Ok(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
    for (text, error) in [
        ("30", ValueError::NoUnit("30".to_owned())),
        ("30y", ValueError::Unit("y".to_owned())),
        ("5S", ValueError::Unit("S".to_owned())),
        ("", ValueError::NotADuration),
        ("s", ValueError::NotADuration),
        ("-1s", ValueError::NotADuration),
        ("1.5s", ValueError::NotADuration),
        ("366d", ValueError::TooLong),
        ("99999999999999999999s", ValueError::TooLong),
        ("18446744073709551615d", ValueError::TooLong),
    ] {
        assert_eq!(duration(text), Err(error), "{text}");
    }
}

#[test]
fn addresses() {
    let ip = |host: &str, port| {
        Ok(Address {
            host: Host::Ip(host.parse().unwrap()),
            port,
        })
    };
    assert_eq!(address("192.0.2.21:5672"), ip("192.0.2.21", 5672));
    assert_eq!(address("[2001:db8::1]:5672"), ip("2001:db8::1", 5672));
    assert_eq!(
        address("rabbit_1.example.org:5672").unwrap().to_string(),
        "rabbit_1.example.org:5672"
    );
    for (text, error) in [
        ("192.0.2.21", ValueError::NoPort),
        ("[::1]", ValueError::NoPort),
        ("[::1", ValueError::Brackets),
        ("::1", ValueError::Brackets),
        ("2001:db8:0:0:0:0:0:1:5672", ValueError::Brackets),
        (":5672", ValueError::NoHost),
        ("*:5672", ValueError::NoHost),
        ("amqp://a:5672", ValueError::Url),
        ("a:0", ValueError::Port("0".to_owned())),
        ("a:+1", ValueError::Port("+1".to_owned())),
        ("a:65536", ValueError::Port("65536".to_owned())),
        ("300.0.2.21:1", ValueError::Host("300.0.2.21".to_owned())),
        ("a b:1", ValueError::Host("a b".to_owned())),
        ("a..b:1", ValueError::Host("a..b".to_owned())),
        ("-a:1", ValueError::Host("-a".to_owned())),
    ] {
        assert_eq!(address(text), Err(error), "{text}");
    }
}

#[test]
fn bind_addresses() {
    for text in ["0.0.0.0:5672", "[::]:5672", "[fe80::1%2]:5672"] {
        assert_eq!(bind_address(text).unwrap(), text.parse().unwrap());
    }
    for (text, error) in [
        ("localhost:1", ValueError::NotAnIp("localhost".to_owned())),
        ("127.0.0.1:0", ValueError::Port("0".to_owned())),
        ("*:5672", ValueError::NoHost),
        (
            "[::ffff:192.0.2.1]:1",
            ValueError::MappedIpv4("192.0.2.1:1".to_owned()),
        ),
    ] {
        assert_eq!(bind_address(text), Err(error), "{text}");
    }
}

#[test]
fn networks() {
    assert_eq!(network("10.0.0.0/8").unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(network("10.0.0.1").unwrap().to_string(), "10.0.0.1/32");
    assert_eq!(network("::1").unwrap().to_string(), "::1/128");
    assert_eq!(network("10.0.0.0/33"), Err(ValueError::Network));
    assert_eq!(network("localnet"), Err(ValueError::Network));
    assert_eq!(
        network("10.1.2.3/8"),
        Err(ValueError::HostBits("10.0.0.0/8".parse().unwrap()))
    );
}

/// Our IPv6 sockets take IPv6 only: no client has such an address, so a list of them says nothing.
#[test]
fn ipv4_in_ipv6_form_is_refused_everywhere() {
    fn refused<T: std::fmt::Debug>(read: Result<T, ValueError>) -> String {
        match read {
            Err(ValueError::MappedIpv4(write)) => write,
            other => panic!("{other:?}"),
        }
    }
    for (text, write) in [
        ("::ffff:127.0.0.0/104", "127.0.0.0/8"),
        ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
        ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:0:0/96", "0.0.0.0/0"),
        ("::ffff:10.0.0.0/90", "0.0.0.0/0"),
    ] {
        assert_eq!(refused(network(text)), write, "{text}");
    }
    for text in ["::/0", "::/96", "::1/128", "2001:db8::/32", "64:ff9b::/96"] {
        assert!(network(text).is_ok(), "{text}");
    }
    let on_interface = interface_address("::ffff:10.1.2.3/120");
    assert_eq!(refused(on_interface), "10.1.2.3/24");
    assert_eq!(refused(ip("::ffff:10.1.2.3")), "10.1.2.3");
    assert_eq!(refused(address("[::ffff:10.1.2.3]:1")), "10.1.2.3:1");
}

#[test]
fn modes() {
    assert_eq!(socket_mode("0660"), Ok(0o660));
    assert_eq!(socket_mode("600"), Ok(0o600));
    for text in ["", "0", "0888", "06600", "rw-", "+60"] {
        assert_eq!(socket_mode(text), Err(ValueError::Mode), "{text}");
    }
}

#[test]
fn names() {
    for name in ["rabbit-1", "a.b_c", &"x".repeat(LONGEST_NAME)] {
        assert_eq!(check_name(name), Ok(()));
    }
    assert_eq!(check_name(""), Err(ValueError::Empty));
    assert_eq!(check_name("a,b"), Err(ValueError::NameCharacter(',')));
    assert_eq!(check_name("é"), Err(ValueError::NameCharacter('é')));
    assert_eq!(
        check_name(&"x".repeat(LONGEST_NAME + 1)),
        Err(ValueError::Longer(LONGEST_NAME))
    );
}

proptest! {
    #[test]
    fn a_printed_duration_reads_back(milliseconds in 0u64..=31_536_000_000) {
        let given = Duration::from_millis(milliseconds);
        prop_assert_eq!(duration(&duration_text(given)), Ok(given));
    }

    #[test]
    fn nothing_panics(text in ".*") {
        let _ = duration(&text);
        let _ = address(&text);
        let _ = bind_address(&text);
        let _ = network(&text);
        let _ = socket_mode(&text);
        let _ = check_name(&text);
    }
}
