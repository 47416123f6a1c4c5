//! `warren run`: the daemon in the foreground.

use std::path::Path;

/// Loads the configuration, runs the daemon until it is told to stop, and returns the exit code.
#[must_use]
pub fn main(_config: &Path) -> u8 {
    todo!("lifecycle")
}
