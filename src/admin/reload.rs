//! A reload, and what else changes what is served, as it is asked for and answered.

use tokio::sync::oneshot;

pub use super::wish::Wish;

/// Requests that may wait: one is enough to have the file read again after the one that is going
/// on, the others wait for their answer.
pub const REQUESTS: usize = 16;

/// Asks the daemon to change its configuration, or what is served of it.
pub struct Request {
    /// What is wanted.
    pub wish: Wish,
    /// Who waits for the answer.
    pub reply: Option<oneshot::Sender<Outcome>>,
}

impl Request {
    /// That of a signal, which has no answer but the log.
    #[must_use]
    pub const fn by_signal() -> Self {
        Self {
            wish: Wish::Apply,
            reply: None,
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// A process exit code: 0 when it succeeded.
    pub code: u8,
    /// What has changed, or what is wrong.
    pub text: String,
}

impl Outcome {
    /// As the stats socket answers: `Success=1` or `Success=0`, the exit code, a line of two
    /// dashes, and the text without empty lines, since one ends the answer.
    #[must_use]
    pub fn answer(&self) -> String {
        let success = u8::from(self.code == 0);
        let mut answer = format!("Success={success}\nCode={}\n--\n", self.code);
        for line in self.text.lines().filter(|line| !line.trim().is_empty()) {
            answer.push_str(line);
            answer.push('\n');
        }
        answer
    }
}
