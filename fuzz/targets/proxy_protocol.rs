//! What a trusted proxy sends first. The first byte says where it is cut.
#![no_main]

use std::net::SocketAddr;

use libfuzzer_sys::fuzz_target;
use warren::config::SendProxy;
use warren::proxy::proxy_protocol::{Header, decode, encode};

fuzz_target!(|bytes: &[u8]| {
    let Some((&cut, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = decode(bytes);
    // A header that is complete, or wrong, does not become something else by what comes behind it,
    // and is not called complete before.
    let part = &bytes[..bytes.len().min(usize::from(cut))];
    match decode(part) {
        Ok(Some(decoded)) => assert_eq!(whole, Ok(Some(decoded))),
        // Of two things that are wrong, the one that is found depends on where it ends.
        Err(_) => assert!(whole.is_err()),
        Ok(None) => {}
    }
    let Ok(Some((header, length))) = whole else {
        return;
    };
    assert!(length <= bytes.len());
    if let Header::Proxied {
        source,
        destination,
    } = header
    {
        for version in [SendProxy::V1, SendProxy::V2] {
            let again = encode(version, source, destination);
            let Ok(Some((
                Header::Proxied {
                    source: from,
                    destination: to,
                },
                length,
            ))) = decode(&again)
            else {
                panic!("{source} and {destination} became {again:?}");
            };
            assert_eq!(length, again.len());
            assert_eq!([from, to].map(plain), [source, destination].map(plain));
        }
    }
});

/// An IPv4 address is one, also in IPv6 clothes.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
