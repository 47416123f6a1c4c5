//! Why a comparison could not be made.

use std::io;
use std::path::PathBuf;

/// Every way in which the benchmark can fail; each ends it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A program that is compared, or that compares, is not there.
    #[error("{program} cannot be run: {source} ({hint})")]
    Missing {
        program: PathBuf,
        hint: &'static str,
        source: io::Error,
    },
    /// RLIMIT_NOFILE is too small for the rows that were asked for.
    #[error(
        "the descriptor limit is {limit}, the chosen rows need {needed}: \
         raise it (ulimit -n) or choose smaller rows with --only"
    )]
    Descriptors { limit: u64, needed: u64 },
    /// `--threads` asks for more than the machine has.
    #[error(
        "{threads} threads of a balancer and a load generator need {} CPUs, there are {cpus}",
        threads + 1
    )]
    Cpus { threads: usize, cpus: usize },
    /// `--only` names a row that does not exist.
    #[error("no row is called {name:?}; there are: {known} (rows named calls-* need --strace)")]
    NoSuchRow { name: String, known: String },
    /// A balancer ended, or did not listen within its time.
    #[error("{name} did not start; it said:\n{output}")]
    NotListening { name: &'static str, output: String },
    /// A client or server process ended or spoke out of turn; it says why itself, on stderr.
    #[error("{role} stopped early")]
    Early { role: String },
    /// A client or server could not do its work.
    #[error("load generator: {0}")]
    Load(#[source] io::Error),
    /// The scene of three namespaces cannot be built here.
    #[error("{doing}: {said} (--loopback does without namespaces, and without root)")]
    Namespaces { doing: String, said: String },
    /// strace could not attach or wrote something unknown.
    #[error("strace: {0}")]
    Strace(String),
    /// A file under /proc does not say what it should.
    #[error("{path}: no {wanted} in it")]
    Proc { path: PathBuf, wanted: &'static str },
    /// The system refused something else.
    #[error("{doing}: {source}")]
    Io { doing: String, source: io::Error },
}

impl Failure {
    /// For `map_err`: keeps the cause and says what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            doing: doing.into(),
            source,
        }
    }
}
