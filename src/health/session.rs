//! The long-lived AMQP check connection: a socket and a [`Conversation`].

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{timeout, timeout_at};

use super::amqp::{Conversation, Failure, Heard, Login};
use super::dial::{self, Limit};
use super::verdict::{CheckCode, CheckResult};
use crate::amqp::DecodeError;
use crate::config::SendProxy;

const LONGEST_GOODBYE: Duration = Duration::from_millis(200);
/// For the answer to the last question of a broker that hangs.
const LAST_ANSWER: Duration = Duration::from_secs(10);

/// A logged-in check connection.
#[derive(Debug)]
pub struct Session {
    address: SocketAddr,
    stream: TcpStream,
    conversation: Conversation,
}

impl Session {
    /// Connects and logs in, within `timeout` in all.
    ///
    /// # Errors
    ///
    /// What the check found instead.
    pub async fn open(
        address: SocketAddr,
        send_proxy: SendProxy,
        login: Login,
        timeout: Duration,
    ) -> Result<Self, CheckResult> {
        let limit = Limit::starting_now(timeout);
        let mut session = Self {
            address,
            stream: dial::connect(address, send_proxy, limit).await?,
            conversation: Conversation::new(login),
        };
        let logged_in = session.log_in(limit).await;
        if logged_in.is_err() {
            dial::reset_on_drop(&session.stream);
        }
        logged_in.map(|()| session)
    }

    /// Where it leads.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks for a sign of life; while one is awaited, sends a heartbeat.
    ///
    /// # Errors
    ///
    /// As for [`Session::next`].
    pub fn ask(&mut self) -> Result<(), CheckResult> {
        self.conversation.ask();
        self.flush()
    }

    /// What the broker tells next; may be nothing. May be dropped while waiting: nothing is lost.
    ///
    /// # Errors
    ///
    /// The session is over, for this reason.
    pub async fn next(&mut self) -> Result<Vec<Heard>, CheckResult> {
        loop {
            let ready = self.stream.readable().await;
            // Not held while waiting: there is one session per server.
            let mut buffer = [0; 4096];
            match ready.and_then(|()| self.stream.try_read(&mut buffer)) {
                Ok(0) => return Err(self.closed_without_a_word()),
                Ok(read) => return self.receive(&buffer[..read]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(dial::broken(&error)),
            }
        }
    }

    /// What the conversation makes of received bytes; its last word goes out also when it is over.
    fn receive(&mut self, bytes: &[u8]) -> Result<Vec<Heard>, CheckResult> {
        let heard = self.conversation.receive(bytes);
        let flushed = self.flush();
        let heard = heard.map_err(|failure| result(&failure))?;
        flushed.map(|()| heard)
    }

    /// Says goodbye and waits a moment for the answer, so that the broker logs an orderly end. A
    /// session that is dropped instead costs a warning in its log.
    pub async fn leave(mut self) {
        if timeout(LONGEST_GOODBYE, self.say_goodbye()).await.is_err() {
            // It will read that after our question, if it goes on.
            self.conversation.leave();
            // Whatever comes or does not come: it is over.
            let _ = self.flush();
        }
    }

    /// Says goodbye to a broker that hangs, and waits for the answer however long that takes.
    ///
    /// It will read our last question first and answer that, too. RabbitMQ logs a crash report if
    /// it cannot, after a reset no less than after a FIN: what arrived before it is still read.
    pub async fn part(mut self) {
        if timeout(LAST_ANSWER, self.say_goodbye()).await.is_err() {
            // It may never answer that question.
            self.say_goodbye().await;
        }
    }

    async fn say_goodbye(&mut self) {
        self.conversation.leave();
        if self.flush().is_ok() {
            while self.next().await.is_ok() {}
        }
    }

    async fn log_in(&mut self, limit: Limit) -> Result<(), CheckResult> {
        self.flush()?;
        loop {
            match timeout_at(limit.deadline, self.next()).await {
                Ok(heard) => {
                    if heard?.contains(&Heard::Ready) {
                        return Ok(());
                    }
                }
                Err(_elapsed) => {
                    let awaited = self.conversation.awaited().unwrap_or("answer");
                    let detail = format!("connected, but no {awaited} within {:?}", limit.timeout);
                    return Err(CheckResult::new(CheckCode::L7Timeout, detail));
                }
            }
        }
    }

    fn flush(&mut self) -> Result<(), CheckResult> {
        dial::send(&self.stream, &self.conversation.take_output())
    }

    fn closed_without_a_word(&self) -> CheckResult {
        if !self.conversation.is_recognized() {
            let detail = "closed the connection before a word \
                          (not AMQP, or a PROXY header too many or too few)";
            return CheckResult::new(CheckCode::L7Invalid, detail);
        }
        let detail = match self.conversation.awaited() {
            Some(answer) => format!("closed the connection while {answer} was awaited"),
            None => "closed the connection".to_owned(),
        };
        CheckResult::new(CheckCode::L4Connection, detail)
    }
}

fn result(failure: &Failure) -> CheckResult {
    match failure {
        Failure::Closed { code, text } => {
            let result = CheckResult::new(CheckCode::L7Status, text);
            result.replied(*code)
        }
        Failure::Nonsense(DecodeError::OtherVersion(..) | DecodeError::Echo)
        | Failure::NoPlain(_) => CheckResult::new(CheckCode::L7Invalid, failure.to_string()),
        Failure::Nonsense(_) | Failure::Unexpected { .. } | Failure::Left => {
            let detail = format!("not an AMQP 0-9-1 answer: {failure}");
            CheckResult::new(CheckCode::L7Invalid, detail)
        }
    }
}
