//! The program that was started only watches another one of itself, which does the work: when it is
//! told to end, that one is killed, what that one started dies with it, and no file stays behind.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::process::Command;
use tokio::runtime::Builder;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// Set for the one that does the work.
const WATCHED: &str = "WARREN_COMPARE_WATCHED";
/// Those that were killed write to their files for a moment longer.
const PATIENCE: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) fn is_watched() -> bool {
    std::env::var_os(WATCHED).is_some()
}

/// Lets another one do the work, with all its files in one place.
pub(crate) fn watch() -> Result<ExitCode, Failure> {
    let doing = || Failure::io("watch the benchmark");
    let home = tempfile::tempdir().map_err(doing())?;
    let mut work = Command::new(std::env::current_exe().map_err(doing())?);
    work.args(std::env::args_os().skip(1))
        .env(WATCHED, "yes")
        .env("TMPDIR", home.path())
        .kill_on_drop(true);
    let runtime = Builder::new_current_thread().enable_all().build();
    let code = runtime.map_err(doing())?.block_on(until_over(&mut work));
    for _ in 0..PATIENCE {
        if std::fs::remove_dir_all(home.path()).is_ok() {
            break;
        }
        std::thread::sleep(PAUSE);
    }
    code.map_err(doing())
}

async fn until_over(work: &mut Command) -> io::Result<ExitCode> {
    let [mut hup, mut int, mut term] = [
        signal(SignalKind::hangup())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    ];
    let mut work = work.spawn()?;
    let told = async |signal: &mut Signal| signal.recv().await;
    tokio::select! {
        status = work.wait() => {
            let code = status?.code().and_then(|code| u8::try_from(code).ok());
            return Ok(code.map_or(ExitCode::FAILURE, ExitCode::from));
        }
        _ = told(&mut hup) => {}
        _ = told(&mut int) => {}
        _ = told(&mut term) => {}
    }
    work.kill().await?;
    eprintln!("compare: interrupted; nothing is left");
    Ok(ExitCode::FAILURE)
}
