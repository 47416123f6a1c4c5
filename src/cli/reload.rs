//! `warren reload` and `warren diff`: another configuration for a running daemon, and what it would
//! change.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::output::{complain, print};
use super::{ask, exit};

/// New servers are checked before their answer comes, as long as their checks may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// Options of `warren reload` and `warren diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file is the one that the daemon was started with. One that is wrong changes nothing.

Exit code: 0 applied, or could be; 1 the daemon cannot be reached, or stops, or another reload came
before new servers were checked; 69 an address could not be had; 77 a capability is missing; 78 the
configuration is wrong.")]
pub struct Options {
    /// The daemon's admin socket
    #[arg(long, value_name = "PATH", default_value = super::DEFAULT_SOCKET)]
    pub socket: PathBuf,
}

/// Runs the subcommand, which is a command of the stats socket, and returns the exit code.
#[must_use]
pub fn main(options: &Options, command: &str) -> u8 {
    let answer = match ask::words(&options.socket, command, PATIENCE) {
        Ok(answer) => answer,
        Err(words) => return complain(words),
    };
    let Some((code, text)) = understand(&answer) else {
        return complain(format_args!("the daemon says: {}", answer.trim_end()));
    };
    if code == exit::GOOD {
        return print(text, code);
    }
    // As with every complaint, nothing is left to do if that stream is gone.
    let _ = std::io::stderr().write_all(text.as_bytes());
    code
}

/// The exit code and the text of an [`crate::admin::reload::Outcome`].
fn understand(answer: &str) -> Option<(u8, &str)> {
    let (head, text) = answer.split_once("\n--\n")?;
    let (success, code) = head.split_once("\nCode=")?;
    success.strip_prefix("Success=")?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Some((code.parse().ok()?, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::reload::Outcome;

    #[test]
    fn understands_what_the_daemon_answers() {
        let outcome = Outcome {
            code: 78,
            text: "error[E0103]: unknown key\n\n  --> file\n".to_owned(),
        };
        // The protocol ends it with an empty line.
        let answer = format!("{}\n", outcome.answer());
        assert_eq!(
            understand(&answer),
            Some((78, "error[E0103]: unknown key\n  --> file\n"))
        );
        assert_eq!(understand("Permission denied\n\n"), None);
    }
}
