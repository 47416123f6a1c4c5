//! From a request to an answer: its head and what follows.

use std::fmt::Write as _;
use std::rc::Rc;

use super::live::Live;
use super::request::{Refusal, Request, is_local_name};
use super::route::{PATHS, Route, route};
use super::{Side, page};
use crate::stats::collect::node_name;
use crate::stats::csv;
use crate::stats::form::Form;
use crate::stats::metrics::{CONTENT_TYPE, Pieces};
use crate::stats::readiness;
use crate::stats::snapshot::Snapshot;

/// What is answered.
pub(super) struct Answer {
    status: &'static str,
    kind: &'static str,
    more: String,
    pub(super) body: Body,
}

/// What follows the head.
pub(super) enum Body {
    Text(String),
    /// Written as it is made.
    Pieces(Box<dyn Iterator<Item = String>>),
}

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

impl Answer {
    fn text(status: &'static str, text: impl Into<String>) -> Self {
        Self {
            status,
            kind: TEXT,
            more: String::new(),
            body: Body::Text(text.into()),
        }
    }

    fn pieces(kind: &'static str, pieces: impl Iterator<Item = String> + 'static) -> Self {
        Self {
            status: "200 OK",
            kind,
            more: String::new(),
            body: Body::Pieces(Box::new(pieces)),
        }
    }

    /// The head, to its empty line. `chunked`: the body comes in chunks.
    ///
    /// Nothing here is for pages of others: no CORS, no frames, no sniffing; what is true now is
    /// not kept.
    pub(super) fn head(&self, chunked: bool) -> String {
        let mut head = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n\
             Referrer-Policy: no-referrer\r\nConnection: close\r\n{}",
            self.status, self.kind, self.more
        );
        match &self.body {
            // Writing to a String cannot fail.
            Body::Text(text) => _ = write!(head, "Content-Length: {}\r\n", text.len()),
            Body::Pieces(_) if chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
            // HTTP/1.0: it ends when the connection does.
            Body::Pieces(_) => {}
        }
        head.push_str("\r\n");
        head
    }
}

/// The answer to what cannot be understood.
pub(super) fn refused(refusal: Refusal) -> Answer {
    match refusal {
        Refusal::Malformed(why) => Answer::text("400 Bad Request", format!("{why}\n")),
        Refusal::Method => Answer {
            more: "Allow: GET, HEAD\r\n".to_owned(),
            ..Answer::text("405 Method Not Allowed", "nothing can be changed here\n")
        },
        Refusal::TooLong => Answer::text(
            "431 Request Header Fields Too Large",
            "the head of the request is too long\n",
        ),
        Refusal::Version => Answer::text("505 HTTP Version Not Supported", "HTTP/1.1, please\n"),
    }
}

/// The answer to a request. `local`: it came to a loopback address.
pub(super) fn answer(request: &Request, local: bool, side: &Side) -> Answer {
    let route = match route(&request.target) {
        Ok(route) => route,
        Err(None) => return Answer::text("404 Not Found", PATHS),
        Err(Some(why)) => return Answer::text("400 Bad Request", why),
    };
    if local && !is_local_name(&request.host, &node_name()) {
        let why = "this address answers to localhost, addresses and the name of this node only\n";
        return Answer::text("421 Misdirected Request", why);
    }
    match route {
        Route::Page => Answer {
            kind: "text/html; charset=utf-8",
            more: page::POLICY.to_owned(),
            ..Answer::text("200 OK", page::render(&side.snapshot()))
        },
        Route::Health => match side.stuck() {
            None => Answer::text("200 OK", "ok\n"),
            Some(what) => Answer::text("503 Service Unavailable", format!("{what}\n")),
        },
        Route::Ready => ready(&side.snapshot()),
        Route::Metrics(wanted) => {
            let snapshot = Rc::new(side.snapshot());
            Answer::pieces(CONTENT_TYPE, Pieces::new(snapshot, &wanted))
        }
        Route::Live => {
            let (events, charts) = (side.events(), side.charts());
            match Live::new(side.snapshot(), &events, charts) {
                Ok(live) => Answer::pieces(JSON, live),
                Err(error) => Answer::text("500 Internal Server Error", format!("{error}\n")),
            }
        }
        Route::Stat(filter, style) => {
            let kind = match style.form {
                Form::Json => JSON,
                Form::Plain | Form::Typed => TEXT,
            };
            let snapshot = Rc::new(side.snapshot());
            Answer::pieces(kind, csv::Pieces::new(snapshot, filter, style))
        }
    }
}

fn ready(snapshot: &Snapshot) -> Answer {
    let obstacles = readiness::obstacles(snapshot);
    match obstacles.is_empty() {
        true => Answer::text("200 OK", "ready\n"),
        false => Answer::text("503 Service Unavailable", obstacles.join("\n") + "\n"),
    }
}
