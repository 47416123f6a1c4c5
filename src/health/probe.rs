//! tcp and http probes: one connection, one question, one result.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::dial::{self, Limit};
use super::http;
use super::verdict::{CheckCode, CheckResult};
use crate::config::{Credentials, SendProxy};

/// Connects and ends the stream before a byte was sent, which RabbitMQ does not log above debug,
/// whether or not it expects a PROXY header.
///
/// The end is a FIN. After a reset a probe may be gone before the broker has looked at it, and
/// RabbitMQ 3.10 then logs an error (`enotconn`).
pub async fn tcp(address: SocketAddr, timeout: Duration) -> CheckResult {
    let started = Instant::now();
    let limit = Limit::starting_now(timeout);
    let result = match dial::connect(address, SendProxy::Off, limit).await {
        Ok(_stream) => CheckResult::new(CheckCode::L4Ok, "connected"),
        Err(result) => result,
    };
    result.after(started.elapsed())
}

/// What an http probe asks.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The server as the configuration names it, for the Host line.
    pub host: &'a str,
    /// Request path.
    pub path: &'a str,
    /// For basic authentication.
    pub credentials: Option<&'a Credentials>,
    /// PROXY header to send first.
    pub send_proxy: SendProxy,
}

/// Sends a GET and expects 200.
pub async fn http(address: SocketAddr, question: Question<'_>, timeout: Duration) -> CheckResult {
    let started = Instant::now();
    let limit = Limit::starting_now(timeout);
    let result = match ask(address, question, limit).await {
        Ok(result) | Err(result) => result,
    };
    result.after(started.elapsed())
}

async fn ask(
    address: SocketAddr,
    question: Question<'_>,
    limit: Limit,
) -> Result<CheckResult, CheckResult> {
    let mut stream = dial::connect(address, question.send_proxy, limit).await?;
    let request = http::request(question.host, question.path, question.credentials);
    dial::send(&stream, request.as_bytes())?;
    let mut answer = Vec::new();
    loop {
        let ended = read(&mut stream, &mut answer, limit).await?;
        if let Some(result) = http::judge(&answer, ended) {
            return Ok(result);
        }
    }
}

/// Reads once; true when nothing more will come, or nothing more will be read.
async fn read(
    stream: &mut TcpStream,
    answer: &mut Vec<u8>,
    limit: Limit,
) -> Result<bool, CheckResult> {
    let mut buffer = [0; 1024];
    match timeout_at(limit.deadline, stream.read(&mut buffer)).await {
        Ok(Ok(read)) => {
            answer.extend_from_slice(&buffer[..read]);
            Ok(read == 0 || answer.len() >= http::LONGEST_ANSWER)
        }
        Ok(Err(error)) => Err(dial::broken(&error)),
        // What came of an answer may still say more than that it did not end.
        Err(_elapsed) if answer.contains(&b'\n') => Ok(true),
        Err(_elapsed) => {
            let detail = format!("connected, but no answer within {:?}", limit.timeout);
            Err(CheckResult::new(CheckCode::L7Timeout, detail))
        }
    }
}
