//! Reads Rust source just well enough for the rules: code without comments and literals, the
//! modules that it names, and its functions with their lengths.

use std::fs;
use std::path::{Path, PathBuf};

/// One file of the repository.
pub(crate) struct Source {
    /// Relative to the repository, with `/`.
    pub(crate) path: String,
    /// As it is.
    pub(crate) text: String,
    /// Of a Rust file: comments and the inside of literals as spaces, lines kept.
    pub(crate) code: String,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = if Path::new(path).extension().is_some_and(|end| end == "rs") {
            code_of(text)
        } else {
            String::new()
        };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            code,
        }
    }

    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|end| end == "rs")
    }

    /// `src/pool/choose.rs` is `pool/choose.rs`; a file outside `src` is nothing.
    pub(crate) fn in_src(&self) -> Option<&str> {
        self.path.strip_prefix("src/").filter(|_| self.is_rust())
    }

    /// A file of nothing but tests.
    pub(crate) fn is_test(&self) -> bool {
        let path = Path::new(&self.path);
        !self.path.starts_with("src/")
            || path
                .iter()
                .any(|part| part == "tests" || part == "tests.rs")
    }

    /// The code without the test module at its end.
    pub(crate) fn production(&self) -> &str {
        let end = self.code.match_indices("#[cfg(test)]").find(|(at, mark)| {
            let next = self.code[at + mark.len()..].trim_start();
            let body = next.find(['{', ';']).map(|at| &next[at..]);
            next.starts_with("mod ") && body.is_some_and(|body| body.starts_with('{'))
        });
        &self.code[..end.map_or(self.code.len(), |(at, _)| at)]
    }
}

/// Every file of the repository that is not built and not git's own; what a link leads to is found
/// where it is, or is none of ours.
pub(crate) fn repository() -> Vec<Source> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the repository can be read") {
            let path = entry.expect("the repository can be read").path();
            let relative = path.strip_prefix(&root).expect("it lies below the root");
            let name = relative.to_string_lossy().into_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | ".git") {
                    folders.push(path);
                }
            } else if name != ".git" && !path.is_symlink() {
                let bytes = fs::read(&path).expect("a file of the repository can be read");
                sources.push(Source::new(&name, &String::from_utf8_lossy(&bytes)));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(
        sources.len() > 20,
        "the walk found only {} files",
        sources.len()
    );
    sources
}

/// Replaces comments and the inside of literals by spaces, so that lines and columns stay.
fn code_of(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after_word = out.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let (length, kept) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), 0)
        } else if rest.starts_with("/*") {
            (block_comment(rest), 0)
        } else if let Some(length) = raw_string(rest).filter(|_| !after_word) {
            (length, 1)
        } else if c == '"' {
            (quoted(rest, '"'), 1)
        } else if let Some(length) = character(rest) {
            (length, 1)
        } else {
            (c.len_utf8(), c.len_utf8())
        };
        let (gone, remaining) = rest.split_at(length);
        out.push_str(&gone[..kept]);
        out.extend(
            gone[kept..]
                .chars()
                .map(|c| if c == '\n' { '\n' } else { ' ' }),
        );
        rest = remaining;
    }
    out
}

fn block_comment(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// The length of `r"…"`, `r#"…"#`, also with `b` or `c` in front.
fn raw_string(text: &str) -> Option<usize> {
    let body = text
        .strip_prefix(['b', 'c'])
        .unwrap_or(text)
        .strip_prefix('r')?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inside = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = inside.find(&end).map_or(inside.len(), |at| at + end.len());
    Some(text.len() - inside.len() + length)
}

fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    text.len()
}

/// The length of a character literal; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let inside = text.strip_prefix('\'')?;
    let mut chars = inside.chars();
    match (chars.next()?, chars.next()?) {
        ('\\', _) => Some(quoted(text, '\'')),
        (c, '\'') => Some(c.len_utf8() + 2),
        _ => None,
    }
}

/// Every path in `code` that begins with `crate` or `super`, from the root of the crate, where
/// `code` is that of `file` (relative to `src`). `use` groups are taken apart.
pub(crate) fn crate_paths(file: &str, code: &str) -> Vec<Vec<String>> {
    let module: Vec<String> = match file.trim_end_matches(".rs") {
        "lib" | "main" => Vec::new(),
        file => file.split('/').map(str::to_owned).collect(),
    };
    let mut paths = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        collect(&code[at + "crate::".len()..], &[], &mut paths);
    }
    let mut from = 0;
    while let Some(at) = code[from..].find("super::") {
        let mut rest = &code[from + at..];
        let mut base = module.as_slice();
        while let Some(up) = rest.strip_prefix("super::") {
            base = &base[..base.len().saturating_sub(1)];
            rest = up;
        }
        collect(rest, base, &mut paths);
        from = code.len() - rest.len();
    }
    paths
}

/// Reads `a::b` or `a::{b, c::d}` at the start of `text`; returns how much that was.
fn collect(text: &str, base: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    let mut at = 0;
    loop {
        let word: String = text[at..]
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        at += word.len();
        if !word.is_empty() {
            path.push(word);
        } else if text[at..].starts_with('{') {
            at += 1;
            while !text[at..].starts_with('}') && at < text.len() {
                let skipped =
                    text[at..].len() - text[at..].trim_start_matches([',', ' ', '\n']).len();
                at += skipped;
                let read = collect(&text[at..], &path, paths);
                at += read.max(usize::from(skipped == 0));
            }
            return at + 1;
        }
        match text[at..].strip_prefix("::") {
            Some(_) => at += 2,
            None => break,
        }
    }
    if path.len() > base.len() || at == 0 {
        paths.push(path);
    }
    at
}

/// Name and number of lines with code in the body of every function.
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let starts = code
        .match_indices("fn ")
        .filter(|(at, _)| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    starts
        .filter_map(|(at, mark)| {
            let rest = &code[at + mark.len()..];
            let name: String = rest
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let body = &rest[end_of_signature(rest)?..];
            let end = closing(body)?;
            let lines = body[..end]
                .lines()
                .skip(1)
                .filter(|line| !line.trim().is_empty());
            Some((name, lines.count()))
        })
        .filter(|(name, _)| !name.is_empty())
        .collect()
}

/// Where the body begins, or the semicolon of a function without one: neither is in brackets.
fn end_of_signature(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '{' | ';' if depth == 0 => return Some(at),
            _ => {}
        }
    }
    None
}

/// Where the brace at the start of `body` is closed; nothing if there is no brace.
fn closing(body: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, c) in body.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(at),
            '}' => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
    }
    None
}
