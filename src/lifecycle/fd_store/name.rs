//! *pure* What a listening socket is called in the service manager's store: its address, so that it
//! can be given up by it. The sockets of one address, one for each worker, share the name; nothing
//! depends on which worker has which.

use std::net::SocketAddr;

/// What every name begins with.
const START: &str = "listen-";

/// The name of the sockets of an address: `listen-0.0.0.0+5672`. A colon cannot be in it, because
/// it parts the names in `LISTEN_FDNAMES`.
pub(super) fn of(address: SocketAddr) -> String {
    format!("{START}{address}").replace(':', "+")
}

/// The address behind a name.
pub(super) fn address(name: &str) -> Option<SocketAddr> {
    let address = name.strip_prefix(START)?;
    // Only what `of` writes, so that the name finds its sockets again.
    let address = address.replace('+', ":").parse().ok()?;
    (of(address) == name).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_its_address_are_the_same() {
        for (text, name) in [
            ("0.0.0.0:5672", "listen-0.0.0.0+5672"),
            ("[::]:5672", "listen-[++]+5672"),
            ("[2001:db8::1]:65535", "listen-[2001+db8++1]+65535"),
            ("[fe80::1%3]:5672", "listen-[fe80++1%3]+5672"),
        ] {
            let parsed = text.parse().unwrap();
            assert_eq!(of(parsed), name);
            assert_eq!(address(name), Some(parsed));
            // What systemd accepts (fdname_is_valid).
            let fits = |c: char| c.is_ascii_graphic() && c != ':';
            assert!(name.len() < 256 && name.chars().all(fits), "{name}");
        }
    }

    #[test]
    fn other_names_are_not_ours() {
        for name in [
            "",
            "stored",
            "listen-",
            "listen-5672",
            "listen-rabbit+5672",
            "listen-0.0.0.0:5672",
            "listen-[0+0+0+0+0+0+0+0]+5672",
            "0.0.0.0+5672",
        ] {
            assert_eq!(address(name), None, "{name}");
        }
    }
}
