//! Problems of a configuration file: where, what is wrong, what is accepted.
//!
//! Every problem has a code that stays the same between releases, so that it can be searched for:
//!
//! | code | meaning |
//! |---|---|
//! | E0101 | the file cannot be read |
//! | E0102 | not TOML |
//! | E0103 | unknown key |
//! | E0104 | a value of the wrong type |
//! | E0105 | a value that is not accepted: out of range, malformed, an unknown word |
//! | E0106 | something that is needed is missing |
//! | E0107 | a name that is not accepted |
//! | E0108 | a pool that does not exist |
//! | E0109 | an address bound twice, or virtual twice |
//! | E0110 | a key that means nothing beside the others |
//! | E0111 | a password file that cannot be used |
//! | E0112 | more connections than the descriptor limit allows |
//! | E0114 | a virtual address that cannot be one |
//! | E0115 | a router id that is used twice on an interface |
//! | E0116 | virtual routers of one group that differ |
//! | W0201 | a pool that nobody uses |
//! | W0202 | two servers of a pool with the same address |
//! | W0203 | an idle timeout that ends healthy AMQP connections |
//! | W0204 | a key that has no effect |
//! | W0205 | a pool without a server for ordinary times |
//! | W0206 | an admin socket that everybody can use |
//! | W0207 | a dead server that is noticed late |
//! | W0208 | what would be E0112 if the daemon ran here, in a shell |
//! | W0209 | a server that is one of warren's own listeners |
//! | W0210 | a virtual address in no network of its interface |
//! | W0211 | an interface that does not exist yet |
//! | W0212 | a group of one virtual router |
//! | W0213 | the owner of an address that the interface does not have |
//! | W0214 | a virtual address that the host needs itself |
//! | W0215 | a source that the interface does not have yet |
//! | W0216 | a status page for more than this node |

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// The code of what is not TOML: it decides what else can be said about the file.
pub const SYNTAX: &str = "E0102";
/// The code of a key that its table does not have.
pub const UNKNOWN_KEY: &str = "E0103";
/// How many problems of one file are kept. A file that has more is another kind of file.
const MOST_PROBLEMS: usize = 100;
/// Columns at which the renderer trims a source line.
const WIDTH: usize = 120;

/// Whether a problem keeps the configuration from being used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but probably does not do what was meant.
    Warning,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether it keeps the configuration from being used.
    pub severity: Severity,
    /// `E0103`; the table is at the top of this module.
    pub code: &'static str,
    /// What is wrong, in one line.
    pub what: String,
    /// Bytes of the file that the carets point at; `None`: the file as a whole.
    pub span: Option<Range<usize>>,
    label: String,
    also: Option<(Range<usize>, String)>,
    help: Vec<String>,
}

impl Problem {
    /// A problem that keeps the configuration from being used.
    #[must_use]
    pub fn error(code: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            what: what.into(),
            span: None,
            label: String::new(),
            also: None,
            help: Vec::new(),
        }
    }

    /// A problem that does not.
    #[must_use]
    pub fn warning(code: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, what)
        }
    }

    /// Whether it keeps the configuration from being used.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Points at `span`, with a few words behind the carets.
    #[must_use]
    pub fn at(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.span = Some(span);
        self.label = label.into();
        self
    }

    /// Points at a second place that has to do with it.
    #[must_use]
    pub fn also(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.also = Some((span, label.into()));
        self
    }

    /// Adds a line that says what is accepted or what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Adds "did you mean" if one of `candidates` looks like `word`.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        word: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match most_alike(word, candidates) {
            Some(candidate) => self.help(format!("did you mean `{candidate}`?")),
            None => self,
        }
    }
}

/// How alike a suggestion must be, from 0 to 1 (Jaro-Winkler): a wrong guess is worse than none.
const ALIKE: f64 = 0.8;

/// The candidate that is most like `word`, whatever the case and with either of `-` and `_`.
fn most_alike<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace('-', "_");
    let word = plain(word);
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&word, &plain(candidate)), candidate))
        .filter(|&(alike, _)| alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

/// All problems of one file, errors and warnings, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    origin: String,
    text: String,
    /// The first ones, up to [`MOST_PROBLEMS`].
    list: Vec<Problem>,
    errors: usize,
    warnings: usize,
}

impl Problems {
    /// No problems yet in `text`, which came from `origin` (a path, for people).
    #[must_use]
    pub fn new(text: &str, origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// Adds one. Beyond a limit it is only counted.
    ///
    /// A line that is not TOML gets no second problem: what was understood of it is a guess. Nor do
    /// the keys below the header of a table that is not TOML: they seem to belong to the one above.
    pub fn push(&mut self, problem: Problem) {
        if self.follows_from_syntax(&problem) {
            return;
        }
        match problem.severity {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        if self.list.len() < MOST_PROBLEMS {
            self.list.push(problem);
        }
    }

    /// Whether the text is not TOML, so that something may only seem to be missing.
    #[must_use]
    pub fn has_syntax_errors(&self) -> bool {
        self.list.iter().any(|problem| problem.code == SYNTAX)
    }

    fn follows_from_syntax(&self, problem: &Problem) -> bool {
        let Some(span) = &problem.span else {
            return false;
        };
        let line = self.line_of(span.start);
        let broken = |line| {
            self.list
                .iter()
                .filter(|other| other.code == SYNTAX)
                .filter_map(|other| other.span.as_ref())
                .any(|other| self.line_of(other.start) == line)
        };
        broken(line) || problem.code == UNKNOWN_KEY && self.header_of(line).is_some_and(broken)
    }

    /// Start of the last line before `line` that opens a table.
    fn header_of(&self, mut line: usize) -> Option<usize> {
        while line > 0 {
            line = self.line_of(line - 1);
            if self.text[line..].trim_start().starts_with('[') {
                return Some(line);
            }
        }
        None
    }

    /// Start of the line that holds byte `position`.
    fn line_of(&self, position: usize) -> usize {
        let before = &self.text.as_bytes()[..position.min(self.text.len())];
        before
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |newline| newline + 1)
    }

    /// Puts them in the order of the file; what has no place comes first.
    pub fn sort(&mut self) {
        self.list
            .sort_by_key(|problem| problem.span.as_ref().map(|span| span.start));
    }

    /// Whether one of them keeps the configuration from being used.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.errors() > 0
    }

    /// How many keep the configuration from being used.
    #[must_use]
    pub fn errors(&self) -> usize {
        self.errors
    }

    /// How many do not.
    #[must_use]
    pub fn warnings(&self) -> usize {
        self.warnings
    }

    /// How many there are, also those beyond the limit.
    #[must_use]
    pub fn len(&self) -> usize {
        self.errors + self.warnings
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// One after the other, up to the limit.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// The problems as a person reads them: file, line, carets, help. `colour` adds the escape
    /// sequences of a terminal.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.term_width(WIDTH);
        let mut out = String::new();
        for problem in &self.list {
            out.push_str(&renderer.render(&[self.group(problem)]));
            out.push_str("\n\n");
        }
        let left_out = self.len() - self.list.len();
        if left_out > 0 {
            out.push_str(&format!("... and {left_out} more\n\n"));
        }
        out
    }

    fn group<'a>(&'a self, problem: &'a Problem) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.what.as_str()).id(problem.code);
        let mut group = match &problem.span {
            Some(span) => title.element(self.snippet(problem, span)),
            None => Group::with_title(title),
        };
        for help in &problem.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        group
    }

    fn snippet<'a>(
        &'a self,
        problem: &'a Problem,
        span: &Range<usize>,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let primary = AnnotationKind::Primary
            .span(self.within(span))
            .label(problem.label.as_str());
        let also = problem.also.as_ref().map(|(span, label)| {
            AnnotationKind::Context
                .span(self.within(span))
                .label(label.as_str())
        });
        Snippet::source(self.text.as_str())
            .path(self.origin.as_str())
            .annotation(primary)
            .annotations(also)
    }

    /// The span, moved to where the renderer accepts it: inside the text, between characters, and
    /// on one line.
    fn within(&self, span: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(span.start);
        let end = self.text.ceil_char_boundary(span.end.max(start));
        let line = self.text[start..end].lines().next().map_or(0, str::len);
        start..start + line
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Problems {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_looks_alike_and_nothing_else() {
        let keys = ["retries", "on_down", "idle_timeout"];
        assert_eq!(most_alike("retry", keys), Some("retries"));
        assert_eq!(most_alike("on-down", keys), Some("on_down"));
        assert_eq!(most_alike("Idle_Timeuot", keys), Some("idle_timeout"));
        assert_eq!(most_alike("frontend", keys), None);
        assert_eq!(most_alike("", keys), None);
    }

    #[test]
    fn renders_any_span_of_any_text() {
        for text in ["", "\n", "é", "a = \"é\"\r\n", "a\nb", "\t\u{1b}[31m"] {
            for start in 0..=text.len() + 2 {
                for end in start..=text.len() + 2 {
                    let mut problems = Problems::new(text, "f");
                    problems.push(Problem::error("E0105", "wrong").at(start..end, "here"));
                    assert!(!problems.render(true).is_empty());
                    // What the file contains must not reach the terminal as a command.
                    assert!(!problems.render(false).contains('\u{1b}'));
                }
            }
        }
    }

    #[test]
    fn a_flood_is_counted() {
        let mut problems = Problems::new("", "f");
        for _ in 0..MOST_PROBLEMS + 6 {
            problems.push(Problem::warning("W0204", "odd"));
        }
        assert!(!problems.has_errors());
        problems.push(Problem::error("E0105", "wrong"));
        assert!(problems.has_errors(), "an error beyond the limit counts");
        assert_eq!(problems.len(), MOST_PROBLEMS + 7);
        assert_eq!(problems.iter().count(), MOST_PROBLEMS);
        assert!(problems.to_string().ends_with("... and 7 more"));
    }

    #[test]
    fn a_line_that_is_not_toml_gets_no_second_problem() {
        let mut problems = Problems::new("a = = 1\nb = 2\n", "f");
        problems.push(Problem::error(SYNTAX, "not TOML").at(4..5, ""));
        problems.push(Problem::error("E0103", "unknown").at(0..1, ""));
        problems.push(Problem::error("E0103", "unknown").at(8..9, ""));
        assert_eq!(problems.len(), 2);
    }
}
