//! The monitor of a server that is asked over one long-lived AMQP connection.
//!
//! A broken connection is a bad check, confirmed or refuted by connecting again at once: a broker
//! that is gone is down within a fraction of a second, one that only dropped this connection
//! stays up. Silence is bad checks one pause after the other; the connection is kept for a while,
//! since a broker that hung and goes on answers on it as if nothing had been, and logs nothing.
//! After that it is told goodbye, which a broker that goes on later still can answer. A broker that
//! says it closes all connections and then does not take a new one is down without further
//! confirmation.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Monitor;
use crate::config::Credentials;
use crate::health::amqp::{Heard, Login};
use crate::health::pace;
use crate::health::session::Session;
use crate::health::verdict::{CheckCode, CheckResult};
use crate::pool::server::Health;

/// Reply code of a close that is not our fault: maintenance, shutdown, or an operator who closed
/// just this connection (AMQP 0-9-1, section 1.2, connection-forced).
const CONNECTION_FORCED: u16 = 320;

/// The shortest heartbeat that we announce, in seconds.
const HEARTBEAT: u64 = 10;

/// How long a silent session is kept. A peer that forgot it, which resets it when it is heard
/// again, ends it sooner; a firewall that forgot it would swallow our heartbeats for ever.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a session ended.
enum End {
    /// The server moved, or went into maintenance, or we end.
    Left,
    /// It was silent for longer than [`PATIENCE`] and is down.
    Silent(Session),
    /// The connection broke.
    Broken(CheckResult),
}

impl Monitor {
    pub(super) async fn converse_until_ended(&mut self, credentials: Credentials, vhost: String) {
        let login = Login {
            credentials,
            vhost,
            connection_name: format!("warren check of {}", self.label),
            heartbeat: heartbeat(self.between_questions()),
        };
        // Sessions in a row that broke soon: they must not be renewed at once without end.
        let mut short_lived = 0;
        let mut forced = None;
        // Logins in a row that the broker refused.
        let mut refusals = 0;
        // The last silent session, as long as its goodbye has no answer.
        let mut parting = JoinSet::new();
        while !self.has_to_end() {
            if !self.is_watched() {
                self.pause(self.check.interval).await;
                continue;
            }
            self.asked = Instant::now();
            let logged_in = tokio::select! {
                logged_in = self.log_in(&login) => logged_in,
                () = self.told_to_end() => return,
            };
            let session = match logged_in {
                Ok(session) => session,
                Err(result) => {
                    let refused = result.code == CheckCode::L7Status;
                    refusals = if refused { refusals + 1 } else { 0 };
                    match forced.take_if(|_| result.code != CheckCode::Shortage) {
                        Some(forced) => self.let_go(forced),
                        None => self.observe(result),
                    }
                    let pause = match self.verdict.doubts() {
                        0 if refusals > 0 => pace::refused(self.check.interval, refusals),
                        _ => self.after_check(),
                    };
                    self.pause(pause).await;
                    continue;
                }
            };
            refusals = 0;
            forced = None;
            let began = Instant::now();
            match self.attend(session).await {
                End::Left => {}
                End::Silent(session) => {
                    // Never more than one: the one before is dropped, answered or not.
                    parting.shutdown().await;
                    parting.spawn_local(session.part());
                    self.pause(self.check.interval).await;
                }
                End::Broken(result) => {
                    let closed_all = result.reply_code == Some(CONNECTION_FORCED);
                    forced = closed_all.then(|| result.clone());
                    self.observe(result);
                    if began.elapsed() < self.check.interval {
                        short_lived += 1;
                        let pause = pace::confirmation(self.check.interval, short_lived);
                        self.pause(pause).await;
                    } else {
                        short_lived = 0;
                    }
                }
            }
        }
    }

    /// Logging in alone is not a good check: the first answer is.
    async fn log_in(&self, login: &Login) -> Result<Session, CheckResult> {
        let address = self.address()?;
        let (send_proxy, timeout) = (self.server.send_proxy, self.check.timeout);
        let opened = Session::open(address, send_proxy, login.clone(), timeout).await;
        opened.map_err(|result| result.after(self.asked.elapsed()))
    }

    /// Asks again and again until the session ends.
    async fn attend(&mut self, mut session: Session) -> End {
        let mut publishers = None;
        let mut answered = true;
        loop {
            if answered {
                self.asked = Instant::now();
            }
            answered = match self.ask_once(&mut session, &mut publishers).await {
                Ok(answered) => answered,
                Err(result) => return End::Broken(result.after(self.asked.elapsed())),
            };
            if !answered {
                let silence = self.asked.elapsed();
                let detail = format!("no answer for {} ms", silence.as_millis());
                self.observe(CheckResult::new(CheckCode::L7Timeout, detail).after(silence));
                if self.verdict.health() == Health::Down && silence > PATIENCE {
                    return End::Silent(session);
                }
            }
            let moved = self.subject.address() != Some(session.address());
            if moved || !self.is_watched() || self.has_to_end() {
                session.leave().await;
                return End::Left;
            }
        }
    }

    /// Asks, unless an answer is still awaited, and listens for one pause. `publishers` holds why
    /// the broker blocks them, if it does. True when the answer came.
    async fn ask_once(
        &mut self,
        session: &mut Session,
        publishers: &mut Option<String>,
    ) -> Result<bool, CheckResult> {
        session.ask()?;
        // Not jittered: sessions begin at moments of their own, and silence has a limit to keep.
        let until = Instant::now() + self.between_questions();
        let mut answered = false;
        loop {
            let heard = tokio::select! {
                heard = session.next() => heard?,
                () = sleep_until(until) => return Ok(answered),
                () = self.suspected(), if answered => return Ok(answered),
                () = self.told_to_end() => return Ok(answered),
            };
            for news in heard {
                match news {
                    Heard::Ready => {}
                    Heard::Blocked(reason) => *publishers = Some(reason),
                    Heard::Unblocked => *publishers = None,
                    Heard::Answer => {
                        answered = true;
                        self.observe(passed(publishers.as_deref(), self.asked.elapsed()));
                    }
                }
            }
        }
    }

    fn between_questions(&self) -> Duration {
        pace::question(self.check.timeout, self.check.fall)
    }
}

fn passed(publishers: Option<&str>, took: Duration) -> CheckResult {
    let detail = match publishers {
        Some(reason) => format!("answered; blocks publishers: {reason}"),
        None => "answered".to_owned(),
    };
    CheckResult::new(CheckCode::L7Ok, detail).after(took)
}

/// Something is sent after every pause; the broker gives up after two heartbeats without anything.
fn heartbeat(pause: Duration) -> u16 {
    let seconds = (2 * pause.as_secs() + 1).max(HEARTBEAT);
    u16::try_from(seconds).unwrap_or(u16::MAX)
}
