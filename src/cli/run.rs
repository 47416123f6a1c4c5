//! `warren run`: the daemon in the foreground.

use std::path::Path;
use std::sync::Arc;

use super::{exit, with_causes};
use crate::{config, daemon, lifecycle, logging};

/// Loads the configuration, runs the daemon until it is told to stop, and returns the exit code.
#[must_use]
pub fn main(path: &Path) -> u8 {
    if let Err(error) = lifecycle::hold_requests() {
        eprintln!("warren: {}", with_causes(&error));
        return exit::FAILED;
    }
    let (config, warnings) = match config::load(path, true) {
        Ok(loaded) => loaded,
        Err(problems) => {
            eprintln!("{problems}");
            return exit::CONFIG;
        }
    };
    // Dropped last: what is still to be written is written.
    let logging = match logging::init(&config.log) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("warren: {}", with_causes(&error));
            return exit::FAILED;
        }
    };
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %path.display(), "starting");
    // In the shape of the log; `warren check` shows where in the file.
    for warning in warnings.iter() {
        tracing::warn!(code = warning.code, "configuration: {}", warning.what);
    }
    match daemon::run(Arc::new(config), path.to_owned(), logging.dropped()) {
        Ok(()) => exit::GOOD,
        Err(error) => {
            tracing::error!("{}", error.in_words());
            error.exit_code()
        }
    }
}
