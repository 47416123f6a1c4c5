//! *pure* The head of an HTTP request, and which requests are not answered.
//!
//! Source: RFC 9112 (HTTP/1.1 messages), RFC 9110 (their meaning).

use std::net::{Ipv4Addr, Ipv6Addr};

/// A longer head is refused, in bytes.
pub const LONGEST_HEAD: usize = 8 * 1024;

/// What is understood of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The head of the answer is all that is wanted.
    pub head_only: bool,
    /// Path and query, as sent.
    pub target: String,
    /// What the client calls us, with its port if it named one.
    pub host: String,
    /// It is of HTTP/1.0, which knows no chunks.
    pub old: bool,
}

/// Why a request is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not HTTP.
    Malformed(&'static str),
    /// Neither GET nor HEAD: nothing can be changed here.
    Method,
    /// Its head is longer than [`LONGEST_HEAD`].
    TooLong,
    /// It is of another version than HTTP/1.
    Version,
}

/// Reads the head at the beginning of `bytes`; `None`: it is not complete, read on.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Result<Request, Refusal>> {
    let Some(end) = end_of_head(bytes) else {
        return (bytes.len() >= LONGEST_HEAD).then_some(Err(Refusal::TooLong));
    };
    if end > LONGEST_HEAD {
        return Some(Err(Refusal::TooLong));
    }
    Some(understand(&bytes[..end]))
}

/// Where the empty line begins.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    let mut breaks = (0..bytes.len()).filter(|&at| bytes[at] == b'\n');
    breaks.find(|&at| matches!(bytes[at + 1..], [b'\n', ..] | [b'\r', b'\n', ..]))
}

fn understand(head: &[u8]) -> Result<Request, Refusal> {
    let head = std::str::from_utf8(head).map_err(|_| Refusal::Malformed("not text"))?;
    let mut lines = head.split('\n').map(|line| line.trim_end_matches('\r'));
    let mut words = lines.next().unwrap_or_default().split(' ');
    let (method, target, version) = (words.next(), words.next(), words.next());
    let (Some(method), Some(target), Some(version), None) = (method, target, version, words.next())
    else {
        return Err(Refusal::Malformed("no request line"));
    };
    let graphic = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if !graphic(method) || !graphic(target) {
        return Err(Refusal::Malformed("a request line with odd characters"));
    }
    let old = match version {
        "HTTP/1.1" => false,
        "HTTP/1.0" => true,
        other if other.starts_with("HTTP/") => return Err(Refusal::Version),
        _ => return Err(Refusal::Malformed("no version of HTTP")),
    };
    let host = host(lines)?;
    let head_only = match method {
        "GET" => false,
        "HEAD" => true,
        _ => return Err(Refusal::Method),
    };
    // A proxy is asked with the whole address.
    let (target, host) = match target.strip_prefix("http://") {
        Some(rest) => {
            let (host, _) = rest.split_once('/').unwrap_or((rest, ""));
            (&rest[host.len()..], Some(host.to_owned()))
        }
        None => (target, host),
    };
    let host = match (host, old) {
        (Some(host), _) => host,
        (None, true) => String::new(),
        (None, false) => return Err(Refusal::Malformed("no Host")),
    };
    let target = if target.is_empty() { "/" } else { target };
    Ok(Request {
        head_only,
        target: target.to_owned(),
        host,
        old,
    })
}

/// The one `Host` among the other lines of the head.
fn host<'a>(lines: impl Iterator<Item = &'a str>) -> Result<Option<String>, Refusal> {
    let mut found = None;
    for line in lines {
        let field = line.split_once(':');
        let Some((name, value)) = field.filter(|(name, _)| is_token(name)) else {
            return Err(Refusal::Malformed("a header field without a name"));
        };
        if !name.eq_ignore_ascii_case("host") {
            continue;
        }
        if found.is_some() {
            return Err(Refusal::Malformed("two Host"));
        }
        found = Some(value.trim_matches([' ', '\t']).to_owned());
    }
    Ok(found)
}

fn is_token(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    !name.is_empty() && name.bytes().all(allowed)
}

/// Whether a name is one that a client on this node may use for us: an address, localhost, or the
/// node's own name. A page from elsewhere whose name was made to lead here (DNS rebinding) comes
/// with that name, and must not get what other hosts cannot see.
#[must_use]
pub fn is_local_name(host: &str, node: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => {
            let inner = rest.split(']').next().unwrap_or_default();
            return inner.parse::<Ipv6Addr>().is_ok();
        }
        None => host.split(':').next().unwrap_or_default(),
    };
    let bare = bare.trim_end_matches('.').to_ascii_lowercase();
    let node = node.to_ascii_lowercase();
    let own = [node.as_str(), node.split('.').next().unwrap_or_default()];
    bare.is_empty()
        || bare.parse::<Ipv4Addr>().is_ok()
        || bare == "localhost"
        || bare.ends_with(".localhost")
        || own.contains(&bare.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(head: &str) -> Request {
        parse(head.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn a_request_is_understood() {
        let request = good("GET /metrics?a=b HTTP/1.1\r\nhOsT:  lb-1:8404 \r\nAccept: */*\r\n\r\n");
        assert_eq!(request.target, "/metrics?a=b");
        assert_eq!(request.host, "lb-1:8404");
        assert!(!request.head_only && !request.old);
        let request = good("HEAD / HTTP/1.0\n\n");
        assert!(request.head_only && request.old);
        assert_eq!(request.host, "");
        let request = good("GET http://localhost:8404/healthz HTTP/1.1\r\nHost: other\r\n\r\n");
        let (host, target) = (request.host.as_str(), request.target.as_str());
        assert_eq!((host, target), ("localhost:8404", "/healthz"));
        assert_eq!(good("GET http://a HTTP/1.1\r\nHost: a\r\n\r\n").target, "/");
    }

    #[test]
    fn half_a_head_is_waited_for_and_a_long_one_refused() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody";
        for end in 0..head.len() - 4 {
            assert_eq!(parse(&head[..end]), None, "{end}");
        }
        assert!(parse(head).unwrap().is_ok());
        let long = vec![b'a'; LONGEST_HEAD];
        assert_eq!(parse(&long[1..]), None);
        assert_eq!(parse(&long), Some(Err(Refusal::TooLong)));
        let mut late = long;
        late.extend_from_slice(b"\r\n\r\n");
        assert_eq!(parse(&late), Some(Err(Refusal::TooLong)));
    }

    #[test]
    fn what_is_not_a_request_is_refused() {
        use Refusal::{Malformed, Method, Version};
        for (head, refusal) in [
            ("GET /\r\n\r\n", Malformed("no request line")),
            ("GET  / HTTP/1.1\r\n\r\n", Malformed("no request line")),
            ("\r\n\r\n", Malformed("no request line")),
            (
                "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
                Malformed("a request line with odd characters"),
            ),
            ("GET / HTTP/2.0\r\n\r\n", Version),
            ("GET / SIP/2.0\r\n\r\n", Malformed("no version of HTTP")),
            ("GET / HTTP/1.1\r\n\r\n", Malformed("no Host")),
            (
                "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                Malformed("two Host"),
            ),
            (
                "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
                Malformed("a header field without a name"),
            ),
            ("POST / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
        ] {
            assert_eq!(parse(head.as_bytes()), Some(Err(refusal)), "{head:?}");
        }
        let head = b"GET / HTTP/1.1\r\nHost: \xff\r\n\r\n";
        assert_eq!(parse(head), Some(Err(Malformed("not text"))));
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for ours in [
            "127.0.0.1:8404",
            "[::1]:8404",
            "[::1]",
            "localhost",
            "LOCALHOST:8404",
            "localhost.",
            "warren.localhost:8404",
            "lb-1",
            "LB-1.example:8404",
            "192.0.2.1",
            "",
        ] {
            assert!(is_local_name(ours, "lb-1.example"), "{ours}");
        }
        for foreign in [
            "evil.example",
            "127.0.0.1.evil.example:8404",
            "localhost.evil.example",
            "[evil]",
            "lb-2",
        ] {
            assert!(!is_local_name(foreign, "lb-1.example"), "{foreign}");
        }
    }
}
