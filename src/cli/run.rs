//! `warren run`: the daemon in the foreground.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::{exit, with_causes};
use crate::daemon::{self, StartError};
use crate::{config, logging};

/// Loads the configuration, runs the daemon until it is told to stop, and returns the exit code.
#[must_use]
pub fn main(path: &Path) -> u8 {
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
    match daemon::run(Arc::new(config), logging.dropped()) {
        Ok(()) => exit::GOOD,
        Err(error) => {
            tracing::error!("{}", describe(&error));
            exit_code(&error)
        }
    }
}

/// The error with its causes and, where it helps, what is missing.
fn describe(error: &StartError) -> String {
    let mut line = with_causes(error);
    if matches!(error, StartError::Bind { .. }) && exit_code(error) == exit::NO_PERMISSION {
        line.push_str(" (ports below 1024 need CAP_NET_BIND_SERVICE)");
    }
    line
}

fn exit_code(error: &StartError) -> u8 {
    match error {
        StartError::Bind {
            source, address, ..
        } if source.kind() == ErrorKind::PermissionDenied && address.port() < 1024 => {
            exit::NO_PERMISSION
        }
        StartError::Capability(_) => exit::NO_PERMISSION,
        StartError::Bind { .. } | StartError::Admin { .. } => exit::UNAVAILABLE,
        StartError::Descriptors { .. } => exit::CONFIG,
        StartError::Thread(_) => exit::FAILED,
    }
}
