//! What a shell completes when somebody presses TAB: subcommands, options, and names of servers,
//! pools and virtual routers.
//!
//! `warren completions SHELL` prints a few lines for the shell, which ask this program with the
//! words that were typed, and `answer` tells what fits. An argument that takes a name says so in
//! its `#[arg]`:
//!
//! ```text
//! #[arg(value_name = "SERVER", add = super::complete::servers())]
//! server: String,
//! ```
//!
//! The names come from the running daemon, or from the configuration file when none answers.

use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{Bash, CompleteEnv, EnvCompleter, Fish, Shells, Zsh};

use super::output::{complain, print};
use super::{DEFAULT_CONFIG, DEFAULT_SOCKET, ask, exit};

/// Set by the shells when they ask.
const VARIABLE: &str = "WARREN_COMPLETE";

/// Whoever presses TAB does not wait longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// The largest configuration file that names are taken from.
const LARGEST_FILE: u64 = 16 << 20;

const SHELLS: Shells<'static> = Shells(&[&Bash, &Zsh, &Fish]);

/// As a file of a folder in $fpath the script is the body of a function that is called for the
/// first TAB; without this it would only prepare for the second one.
const ZSH_AUTOLOAD: &[u8] = b"[[ $funcstack[1] != _warren ]] || _clap_dynamic_completer_warren\n";

/// Options of `warren completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Where the script belongs:
  bash  /usr/share/bash-completion/completions/warren, or: source <(warren completions bash)
  zsh   /usr/share/zsh/vendor-completions/_warren, or a folder of your own in $fpath
  fish  /usr/share/fish/vendor_completions.d/warren.fish")]
pub struct Options {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// A shell that can be taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Runs the subcommand and returns the exit code.
#[must_use]
pub fn main(options: &Options) -> u8 {
    let shell: &dyn EnvCompleter = match options.shell {
        Shell::Bash => &Bash,
        Shell::Zsh => &Zsh,
        Shell::Fish => &Fish,
    };
    let mut script = Vec::new();
    let written = shell.write_registration(VARIABLE, "warren", "warren", "warren", &mut script);
    if options.shell == Shell::Zsh {
        script.extend_from_slice(ZSH_AUTOLOAD);
    }
    match written {
        Ok(()) => print(String::from_utf8_lossy(&script).trim_start(), exit::GOOD),
        Err(error) => complain(error),
    }
}

/// Answers a shell that asks for candidates; does nothing when none does.
///
/// # Errors
///
/// When the shell is unknown, or the answer cannot be written.
pub(super) fn answer() -> Result<bool, clap::Error> {
    let environment = CompleteEnv::with_factory(super::command);
    let environment = environment.var(VARIABLE).shells(SHELLS);
    environment.try_complete(std::env::args_os(), std::env::current_dir().ok().as_deref())
}

/// For an argument that takes a server: `POOL/SERVER`, or `SERVER` where only one pool has it.
pub(super) fn servers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| candidates(typed, |names, typed| names.servers(typed)))
}

/// For an argument that takes a pool.
pub(super) fn pools() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, |names, _| {
            names.pools.iter().map(|(pool, _)| pool.clone()).collect()
        })
    })
}

/// For an argument that takes a virtual router.
pub(super) fn virtual_routers() -> ArgValueCompleter {
    ArgValueCompleter::new(|typed: &OsStr| {
        candidates(typed, |names, _| names.virtual_routers.clone())
    })
}

fn candidates(
    typed: &OsStr,
    pick: impl Fn(&Names, &str) -> Vec<String>,
) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let words: Vec<String> = std::env::args().collect();
    let picked = Names::find(&words).map(|names| pick(&names, typed));
    let picked = picked.unwrap_or_default().into_iter();
    let fitting = picked.filter(|name| name.starts_with(typed));
    fitting.map(CompletionCandidate::new).collect()
}

/// What has a name.
#[derive(Debug, Default, PartialEq, Eq)]
struct Names {
    /// Each with its servers.
    pools: Vec<(String, Vec<String>)>,
    virtual_routers: Vec<String>,
}

impl Names {
    /// Those of the daemon, or of the file; `words` may say where they are.
    fn find(words: &[String]) -> Option<Self> {
        let path = |options: &[&str], default: &str| {
            PathBuf::from(option(words, options).unwrap_or(default))
        };
        let running = Self::of_daemon(path(&["--socket"], DEFAULT_SOCKET));
        running.or_else(|| Self::of_file(path(&["--config", "-c"], DEFAULT_CONFIG)))
    }

    fn of_daemon(socket: PathBuf) -> Option<Self> {
        use crate::stats::snapshot::Snapshot;
        let snapshot: Snapshot = ask::ask(&socket, "warren status", PATIENCE).ok()?;
        let pools = snapshot.pools.into_iter().map(|pool| {
            let servers = pool.servers.into_iter().map(|server| server.name);
            (pool.name, servers.collect())
        });
        let routers = snapshot.virtual_routers.into_iter();
        Some(Self {
            pools: pools.collect(),
            virtual_routers: routers.map(|router| router.name).collect(),
        })
    }

    /// From a file that need not be good: somebody may be about to ask what is wrong with it.
    fn of_file(path: PathBuf) -> Option<Self> {
        let mut text = String::new();
        let file = std::fs::File::open(path).ok()?;
        file.take(LARGEST_FILE).read_to_string(&mut text).ok()?;
        Some(Self::of_text(&text))
    }

    fn of_text(text: &str) -> Self {
        let table: toml::Table = toml::from_str(text).unwrap_or_default();
        let keys = |table: Option<&toml::Value>| -> Vec<String> {
            let table = table.and_then(toml::Value::as_table);
            table.map_or_else(Vec::new, |table| table.keys().cloned().collect())
        };
        let pools = keys(table.get("pool")).into_iter().map(|pool| {
            let servers = keys(table["pool"][&pool].get("servers"));
            (pool, servers)
        });
        Self {
            pools: pools.collect(),
            virtual_routers: keys(table.get("vrrp")),
        }
    }

    /// Servers as one would type them: the pool is needed where several have a server of that
    /// name, or somebody has begun with it.
    fn servers(&self, typed: &str) -> Vec<String> {
        let all = self.pools.iter().flat_map(|(_, servers)| servers);
        let is_unique = |name: &String| all.clone().filter(|other| *other == name).count() == 1;
        let mut names = Vec::new();
        for (pool, servers) in &self.pools {
            for server in servers {
                names.push(match is_unique(server) && !typed.contains('/') {
                    true => server.clone(),
                    false => format!("{pool}/{server}"),
                });
            }
        }
        names
    }
}

/// The value of an option among the words that were typed.
fn option<'a>(words: &'a [String], names: &[&str]) -> Option<&'a str> {
    let place = words.iter().position(|word| names.contains(&word.as_str()));
    if let Some(place) = place {
        return words.get(place + 1).map(String::as_str);
    }
    words.iter().find_map(|word| {
        let (name, value) = word.split_once('=')?;
        names.contains(&name).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        [pool.rabbit.servers]\nr1 = '192.0.2.1:1'\nr2 = { address = 'no address' }\n\
        [pool.other.servers]\nr2 = '192.0.2.3:1'\n[pool.empty]\n[vrrp.v]\nnonsense = 1\n";

    #[test]
    fn servers_are_named_as_one_would_type_them() {
        let names = Names::of_text(TEXT);
        assert_eq!(names.servers("r"), ["other/r2", "r1", "rabbit/r2"]);
        assert_eq!(
            names.servers("rabbit/"),
            ["other/r2", "rabbit/r1", "rabbit/r2"]
        );
        assert_eq!(names.virtual_routers, ["v"]);
        assert_eq!(Names::of_text("no TOML"), Names::default());
        assert_eq!(Names::of_text("pool = 3\nvrrp = []"), Names::default());
    }

    #[test]
    fn the_words_may_say_where_the_daemon_is() {
        let words = |text: &str| -> Vec<String> { text.split(' ').map(str::to_owned).collect() };
        let cases = [
            ("warren explain server --socket /a ra", Some("/a")),
            ("warren explain server --socket=/b=c ra", Some("/b=c")),
            ("warren explain server ra", None),
            ("warren explain server --socket", None),
        ];
        for (typed, path) in cases {
            assert_eq!(option(&words(typed), &["--socket"]), path, "{typed}");
        }
    }
}
