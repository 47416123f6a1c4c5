//! *pure* The status page: one file without a framework, which asks for `/status.json` again and
//! again.

use crate::stats::info;
use crate::stats::snapshot::{Identity, Snapshot};

/// The page. Its style and script have no place to put text of others into; the script sets texts
/// and never markup.
const FILE: &str = include_str!("page.html");

/// Where programs that read HAProxy's page find what they look for.
const PLACE: &str = "<!-- for programs -->";

/// What a browser may do with it: its own style and script, by their hashes, and questions to us.
/// The test of this module says what to write after a change.
pub(super) const POLICY: &str = concat!(
    "Content-Security-Policy: default-src 'none'; ",
    "style-src 'sha256-pntWa/UfigN5A4zbmhbAuUVxMVSsRtkXNxenQIs4Tz4='; ",
    "script-src 'sha256-uV8nym6R8DaNlk4eZ+qxBr7GcgSdL06FX3CPk+nanNs='; ",
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; ",
    "frame-ancestors 'none'\r\n"
);

/// The page as of now. Its numbers come later.
#[must_use]
pub(super) fn render(snapshot: &Snapshot) -> String {
    match snapshot.identity {
        Identity::Haproxy => {
            let comment = format!("<!-- {} -->", info::headline(snapshot));
            FILE.replacen(PLACE, &comment, 1)
        }
        Identity::Warren => FILE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::stats::example::snapshot;

    /// `'sha256-...'` of what stands between two marks, by another program than ours.
    fn hash(from: &str, to: &str) -> String {
        let (_, rest) = FILE.split_once(from).unwrap();
        let (content, _) = rest.split_once(to).unwrap();
        let script = "sha256sum | cut -d' ' -f1 | sed 's/../\\\\x&/g' | xargs -0 printf | \
                      head -c 32 | base64";
        let mut shell = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = shell.stdin.take().unwrap();
        input.write_all(content.as_bytes()).unwrap();
        drop(input);
        let output = shell.wait_with_output().unwrap();
        let digest = String::from_utf8(output.stdout).unwrap();
        format!("'sha256-{}'", digest.trim_end())
    }

    #[test]
    fn the_policy_lets_in_the_style_and_the_script_and_nothing_else() {
        let style = hash("<style>", "</style>");
        assert!(POLICY.contains(&format!("style-src {style}; ")), "{style}");
        let script = hash("<script>", "</script>");
        assert!(
            POLICY.contains(&format!("script-src {script}; ")),
            "{script}"
        );
        for word in [
            "innerHTML",
            "insertAdjacent",
            "document.write",
            "eval(",
            "style=",
            "http:",
        ] {
            let xmlns = word == "http:" && FILE.matches(word).count() == 1;
            assert!(xmlns || !FILE.contains(word), "{word}");
        }
    }

    #[test]
    fn programs_find_haproxys_words() {
        let mut snapshot = snapshot();
        let page = render(&snapshot);
        let words = "<!-- HAProxy version 2.6.0-warren-0.1.0, released 2026/11/25, pid = 4711, \
                     uptime = 3d 4h05m04s, idle = 97 % -->";
        assert!(page.contains(words), "{page}");
        snapshot.identity = Identity::Warren;
        assert!(!render(&snapshot).contains("HAProxy"));
    }
}
