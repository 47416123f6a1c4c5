//! How reading the configuration again has gone.

use std::time::SystemTime;

/// Of the running process.
#[derive(Debug, Clone)]
pub struct Reloads {
    /// Reloads that were applied.
    pub applied: u64,
    /// Reloads that were refused.
    pub refused: u64,
    /// When the configuration in force was read.
    pub applied_at: SystemTime,
    /// Why the last one was refused; `None` when it was applied.
    pub error: Option<String>,
}

impl Reloads {
    /// Of a process that read its configuration now.
    #[must_use]
    pub const fn new(now: SystemTime) -> Self {
        Self {
            applied: 0,
            refused: 0,
            applied_at: now,
            error: None,
        }
    }

    /// One was applied.
    pub fn succeeded(&mut self, now: SystemTime) {
        self.applied += 1;
        self.applied_at = now;
        self.error = None;
    }

    /// One was refused.
    pub fn failed(&mut self, why: String) {
        self.refused += 1;
        self.error = Some(why);
    }
}
