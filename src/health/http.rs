//! The http check, as bytes: one GET, and what its answer means.
//!
//! Source: RFC 9112 (HTTP/1.1 messages), RFC 7617 (basic authentication).

use super::amqp::one_line;
use super::verdict::{CheckCode, CheckResult};
use crate::config::Credentials;

/// How much of an answer is read, in bytes.
pub const LONGEST_ANSWER: usize = 8192;

/// The request. `host` is the server as the configuration names it.
#[must_use]
pub fn request(host: &str, path: &str, credentials: Option<&Credentials>) -> String {
    let authorization = credentials.map_or_else(String::new, |c| {
        let pair = format!("{}:{}", c.username, c.password);
        format!("Authorization: Basic {}\r\n", base64(pair.as_bytes()))
    });
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: warren/{}\r\n{authorization}\
         Connection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// What the beginning of an answer means. `ended`: nothing more will come. `None`: read on.
///
/// A good answer needs only its status line; of a bad one the first line of the body is worth
/// waiting for, since it holds the reason.
#[must_use]
pub fn judge(answer: &[u8], ended: bool) -> Option<CheckResult> {
    let nonsense = |detail: String| Some(CheckResult::new(CheckCode::L7Invalid, detail));
    if answer.is_empty() {
        return ended
            .then(|| nonsense("closed the connection without an answer".to_owned()))
            .flatten();
    }
    let start = b"HTTP/1.";
    let length = start.len().min(answer.len());
    if answer[..length] != start[..length] {
        return nonsense(format!("not an HTTP answer: {}", excerpt(answer)));
    }
    let Some(end) = answer.iter().position(|b| *b == b'\n') else {
        return ended
            .then(|| nonsense(format!("status line without an end: {}", excerpt(answer))))
            .flatten();
    };
    let line = one_line(&answer[..end]);
    let Some(status) = status(&line) else {
        return nonsense(format!("not an HTTP status line: {line}"));
    };
    if status == 200 {
        return Some(CheckResult::new(CheckCode::L7Ok, "answered 200").replied(200));
    }
    ended.then(|| {
        let said = line.split_once(' ').map_or("", |(_version, said)| said);
        let detail = match first_line_of_body(answer) {
            Some(reason) => format!("answered {said}: {reason}"),
            None => format!("answered {said}"),
        };
        CheckResult::new(CheckCode::L7Status, detail).replied(status)
    })
}

/// `HTTP/1.1 503 Service Unavailable` -> 503
fn status(line: &str) -> Option<u16> {
    let digits = line.split(' ').nth(1)?;
    let status: u16 = digits.parse().ok()?;
    (digits.len() == 3 && (100..600).contains(&status)).then_some(status)
}

fn first_line_of_body(answer: &[u8]) -> Option<String> {
    let blank = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let body = answer[blank + 4..].trim_ascii_start();
    let line = one_line(body.split(|b| *b == b'\n').next().unwrap_or_default());
    (!line.is_empty()).then_some(line)
}

fn excerpt(answer: &[u8]) -> String {
    one_line(&answer[..answer.len().min(40)])
}

/// RFC 4648, section 4: three bytes become four letters, what is missing at the end becomes `=`.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let index = (bits >> (18 - 6 * position)) & 63;
            let letter = LETTERS[index as usize];
            let present = position <= chunk.len();
            text.push(if present { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{CheckCode, Credentials, base64, judge, request};

    #[test]
    fn base64_is_that_of_rfc_4648_section_10() {
        let vectors = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            ("\u{3ff}?>~", "z78/Pn4="),
        ];
        for (bytes, text) in vectors {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn asks_with_and_without_a_password() {
        let plain = request("rabbit-1:15672", "/api/x", None);
        assert!(plain.starts_with("GET /api/x HTTP/1.1\r\nHost: rabbit-1:15672\r\n"));
        assert!(plain.ends_with("Connection: close\r\n\r\n"));
        assert!(!plain.contains("Authorization"));
        let credentials = Credentials {
            username: "Aladdin".to_owned(),
            password: "open sesame".to_owned(),
        };
        let line = "\r\nAuthorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";
        assert!(request("h", "/", Some(&credentials)).contains(line));
    }

    /// An answer, whether it ended, and what must come out of it.
    fn verdict(answer: &[u8], ended: bool) -> Option<(CheckCode, Option<u16>, String)> {
        judge(answer, ended).map(|r| (r.code, r.reply_code, r.detail))
    }

    #[test]
    fn a_200_needs_only_its_status_line() {
        let expected = (CheckCode::L7Ok, Some(200), "answered 200".to_owned());
        assert_eq!(verdict(b"HTTP/1.1 200 OK\r", false), None);
        assert_eq!(
            verdict(b"HTTP/1.1 200 OK\r\n", false),
            Some(expected.clone())
        );
        assert_eq!(verdict(b"HTTP/1.0 200\n", false), Some(expected));
    }

    #[test]
    fn another_status_is_told_with_the_reason_in_the_body() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 9\r\n\r\n\
            {\"reason\":\"alarm\"}\nx";
        assert_eq!(verdict(answer, false), None);
        let detail = "answered 503 Service Unavailable: {\"reason\":\"alarm\"}".to_owned();
        let expected = (CheckCode::L7Status, Some(503), detail);
        assert_eq!(verdict(answer, true), Some(expected));
        let bare = (CheckCode::L7Status, Some(404), "answered 404".to_owned());
        assert_eq!(verdict(b"HTTP/1.1 404\r\n\r\n", true), Some(bare));
    }

    #[test]
    fn other_answers_are_nonsense_in_words() {
        let invalid = |answer: &[u8], ended: bool, detail: &str| {
            let expected = (CheckCode::L7Invalid, None, detail.to_owned());
            assert_eq!(verdict(answer, ended), Some(expected));
        };
        invalid(b"", true, "closed the connection without an answer");
        invalid(b"AMQP\0\0\x09\x01", false, "not an HTTP answer: AMQP");
        invalid(
            b"HTTP/1.1 2",
            true,
            "status line without an end: HTTP/1.1 2",
        );
        invalid(
            b"HTTP/1.1 2000\n",
            false,
            "not an HTTP status line: HTTP/1.1 2000",
        );
        invalid(
            b"HTTP/1.1 +20\n",
            false,
            "not an HTTP status line: HTTP/1.1 +20",
        );
        assert_eq!(verdict(b"", false), None);
        assert_eq!(verdict(b"HTT", false), None);
    }
}
