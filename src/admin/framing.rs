//! *pure* From a line to commands to words, as HAProxy cuts them.

/// A command: its words.
pub type Words = Vec<String>;

/// Cuts a line (without its end) into commands at `;` and each command into words at blanks. A
/// backslash takes the next character as it is. There is always at least one command, which may
/// have no words; so has what follows a trailing `;`. HAProxy answers both with its usage.
#[must_use]
pub fn commands(line: &[u8]) -> Vec<Words> {
    let text = String::from_utf8_lossy(line);
    let text = text.strip_suffix('\r').unwrap_or(&text);
    let mut commands = vec![Words::new()];
    let mut word = String::new();
    let mut escaped = false;
    for character in text.chars() {
        match character {
            _ if escaped => {
                word.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            ';' => {
                end_word(&mut commands, &mut word);
                commands.push(Words::new());
            }
            ' ' | '\t' => end_word(&mut commands, &mut word),
            _ => word.push(character),
        }
    }
    end_word(&mut commands, &mut word);
    commands
}

fn end_word(commands: &mut [Words], word: &mut String) {
    if let (false, Some(command)) = (word.is_empty(), commands.last_mut()) {
        command.push(std::mem::take(word));
    }
}

#[cfg(test)]
mod tests {
    use super::commands;

    fn check(line: &str, expected: &[&[&str]]) {
        assert_eq!(commands(line.as_bytes()), expected, "{line:?}");
    }

    #[test]
    fn a_line_is_cut_as_haproxy_cuts_it() {
        check("show stat", &[&["show", "stat"]]);
        check("  show\t  stat ", &[&["show", "stat"]]);
        check(
            "show info;show stat",
            &[&["show", "info"], &["show", "stat"]],
        );
        check("show info ; ", &[&["show", "info"], &[]]);
        check("", &[&[]]);
        check(";", &[&[], &[]]);
        check("show info\r", &[&["show", "info"]]);
        check(r"show\ info", &[&["show info"]]);
        check(r"show a\;b;c", &[&["show", "a;b"], &["c"]]);
        check(r"a\\b\", &[&[r"a\b"]]);
    }

    #[test]
    fn bytes_that_are_no_text_are_only_an_unknown_word() {
        assert_eq!(commands(b"\x00\xff\xfe").len(), 1);
    }
}
