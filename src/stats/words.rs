//! *pure* HAProxy's numbers and descriptions of check results (`check-t.h` and `check.c` of 2.6).

/// One check result as HAProxy names it.
pub struct CheckWord {
    /// Abbreviation, as in `check_status`.
    pub name: &'static str,
    /// Its number in `show servers state`.
    pub number: u8,
    /// The text of `check_desc`.
    pub description: &'static str,
    /// Whether an answer with a code of its own came in (`check_code` is shown).
    pub has_code: bool,
}

const fn word(
    name: &'static str,
    number: u8,
    description: &'static str,
    has_code: bool,
) -> CheckWord {
    CheckWord {
        name,
        number,
        description,
        has_code,
    }
}

const INITIALIZING: CheckWord = word("INI", 1, "Initializing", false);

const WORDS: [CheckWord; 8] = [
    word("SOCKERR", 5, "Socket error", false),
    word("L4OK", 6, "Layer4 check passed", false),
    word("L4TOUT", 7, "Layer4 timeout", false),
    word("L4CON", 8, "Layer4 connection problem", false),
    word("L7TOUT", 12, "Layer7 timeout", false),
    word("L7RSP", 13, "Layer7 invalid response", false),
    word("L7OK", 15, "Layer7 check passed", true),
    word("L7STS", 17, "Layer7 wrong status", true),
];

/// The entry of an abbreviation; what is not known counts as not checked yet.
#[must_use]
pub fn check_word(name: &str) -> &'static CheckWord {
    WORDS
        .iter()
        .find(|word| word.name == name)
        .unwrap_or(&INITIALIZING)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::verdict::CheckCode;

    #[test]
    fn every_check_code_has_its_own_entry() {
        for code in [
            CheckCode::Init,
            CheckCode::SocketError,
            CheckCode::L4Ok,
            CheckCode::L4Timeout,
            CheckCode::L4Connection,
            CheckCode::L7Ok,
            CheckCode::L7Timeout,
            CheckCode::L7Invalid,
            CheckCode::L7Status,
        ] {
            assert_eq!(check_word(code.name()).name, code.name());
        }
    }
}
