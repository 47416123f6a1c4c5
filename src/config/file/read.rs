//! From a TOML value to a Rust value, or to a problem that says what is accepted.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::config::error::{Problem, Problems, UNKNOWN_KEY};
use crate::config::units::{self, ValueError};

/// What the file says about one key.
#[derive(Debug, Default)]
pub enum Key<T> {
    /// Nothing.
    #[default]
    Absent,
    /// Something that was not understood; the problem has been noted.
    Wrong,
    /// A value.
    Given(Given<T>),
}

/// A value and its place.
#[derive(Debug)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// The key with the tables around it: `pool.rabbit.retries`.
    pub path: String,
    /// Where the key stands.
    pub key: Range<usize>,
    /// Where the value stands.
    pub at: Range<usize>,
}

impl<T> Key<T> {
    /// The value and its place, if there is one.
    #[must_use]
    pub fn given(&self) -> Option<&Given<T>> {
        match self {
            Self::Given(given) => Some(given),
            Self::Absent | Self::Wrong => None,
        }
    }

    /// The value, if there is one.
    #[must_use]
    pub fn value(&self) -> Option<&T> {
        self.given().map(|given| &given.value)
    }

    /// Whether the file says nothing, not even something wrong.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }
}

impl<T: Read> Key<T> {
    /// What `value` is as a `T`.
    pub(super) fn of(value: &Value<'_>, problems: &mut Problems) -> Self {
        match T::read(value, problems) {
            None => Self::Wrong,
            Some(read) => Self::Given(Given {
                value: read,
                path: value.path.clone(),
                key: value.key.clone(),
                at: value.at.clone(),
            }),
        }
    }
}

/// A table whose keys are names, in the order of the file.
pub type Names<T> = Vec<Named<T>>;

/// One entry of [`Names`].
#[derive(Debug)]
pub struct Named<T> {
    /// The key.
    pub name: String,
    /// Where it stands.
    pub at: Range<usize>,
    /// What it names.
    pub value: T,
}

/// One value or an array of them, each with its place.
pub type List<T> = Vec<(T, Range<usize>)>;

/// What can stand behind a key.
pub trait Read: Sized {
    /// Reads `value`; `None` when a problem was noted instead.
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self>;
}

/// A TOML value and where it stands.
pub struct Value<'a> {
    pub(super) toml: &'a DeValue<'a>,
    path: String,
    key: Range<usize>,
    at: Range<usize>,
}

impl<'a> Value<'a> {
    /// The table that this value is, or a problem that says what was `expected`.
    pub(super) fn table(&self, expected: &str, problems: &mut Problems) -> Option<Table<'a>> {
        let DeValue::Table(entries) = self.toml else {
            return self.wrong_type(expected, problems);
        };
        Some(Table {
            entries,
            path: self.path.clone(),
        })
    }

    /// The key with the tables around it.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether this is a string.
    pub(super) fn is_string(&self) -> bool {
        self.toml.is_str()
    }

    /// The value that the string stands for.
    pub(super) fn word<T: Copy>(&self, words: &[(&str, T)], problems: &mut Problems) -> Option<T> {
        let names = || words.iter().map(|(name, _)| *name);
        let accepted = one_of(names());
        let DeValue::String(given) = self.toml else {
            return self.wrong_type(&accepted, problems);
        };
        if let Some((_, value)) = words.iter().find(|(name, _)| name == given) {
            return Some(*value);
        }
        let what = format!("`{}` does not know `{given}`", self.path);
        problems.push(
            Problem::error("E0105", what)
                .at(self.at.clone(), "unknown word")
                .did_you_mean(given, names())
                .help(format!("accepted: {accepted}")),
        );
        None
    }

    /// The value that the string says in a form of its own.
    pub(super) fn form<T>(
        &self,
        form: &str,
        parse: impl Fn(&str) -> Result<T, ValueError>,
        problems: &mut Problems,
    ) -> Option<T> {
        let DeValue::String(text) = self.toml else {
            return self.wrong_type(form, problems);
        };
        match parse(text) {
            Ok(value) => Some(value),
            Err(error) => {
                let what = format!("`{}` cannot be `{text}`", self.path);
                problems.push(
                    Problem::error("E0105", what)
                        .at(self.at.clone(), error.to_string())
                        .help(format!("accepted: {form}")),
                );
                None
            }
        }
    }

    /// Notes that the value is not what was `expected`.
    pub(super) fn wrong_type<T>(&self, expected: &str, problems: &mut Problems) -> Option<T> {
        let what = format!("`{}` has the wrong type", self.path);
        let label = format!("this is {}", type_of(self.toml));
        problems.push(
            Problem::error("E0104", what)
                .at(self.at.clone(), label)
                .help(format!("accepted: {expected}")),
        );
        None
    }
}

fn type_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

fn one_of<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.map(|word| format!("\"{word}\"")).collect();
    quoted.join(", ")
}

/// A TOML table and the path that leads to it; the file itself has an empty path.
pub(super) struct Table<'a> {
    entries: &'a DeTable<'a>,
    path: String,
}

impl<'a> Table<'a> {
    /// The whole file.
    pub(super) fn root(entries: &'a DeTable<'a>) -> Self {
        Self {
            entries,
            path: String::new(),
        }
    }

    fn value(&self, key: &Spanned<impl AsRef<str>>, toml: &'a Spanned<DeValue<'a>>) -> Value<'a> {
        let name = key.get_ref().as_ref();
        Value {
            toml: toml.get_ref(),
            path: if self.path.is_empty() {
                name.to_owned()
            } else {
                format!("{}.{name}", self.path)
            },
            key: key.span(),
            at: toml.span(),
        }
    }

    /// What the table says about `name`.
    pub(super) fn key<T: Read>(&self, name: &str, problems: &mut Problems) -> Key<T> {
        match self.entries.get_key_value(name) {
            Some((key, toml)) => Key::of(&self.value(key, toml), problems),
            None => Key::Absent,
        }
    }

    /// Notes a problem for each key that is not `known`.
    pub(super) fn refuse_other_keys(&self, known: &[&str], problems: &mut Problems) {
        let accepted = || known.iter().copied();
        for key in self.entries.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let label = if self.path.is_empty() {
                "not a table of this file".to_owned()
            } else {
                format!("not a key of [{}]", self.path)
            };
            let mut problem = Problem::error(UNKNOWN_KEY, format!("unknown key `{name}`"))
                .at(key.span(), label)
                .did_you_mean(name, accepted());
            for (table, keys) in super::HOMES {
                if keys.contains(&name) {
                    problem = problem.help(format!("[{table}] has `{name}`"));
                }
            }
            problems.push(problem.help(format!(
                "accepted: {}",
                accepted().collect::<Vec<_>>().join(", ")
            )));
        }
    }
}

impl<T: Read> Read for Names<T> {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        let expected = format!("tables with a name, such as [{}.NAME]", value.path);
        let table = value.table(&expected, problems)?;
        let mut entries: Vec<_> = table.entries.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let mut names = Self::new();
        for (key, toml) in entries {
            if let Err(error) = units::check_name(key.get_ref()) {
                problems.push(
                    Problem::error("E0107", format!("`{}` cannot be a name", key.get_ref()))
                        .at(key.span(), error.to_string())
                        .help(format!(
                            "accepted: letters, digits, `_`, `-` and `.`, at most {}",
                            units::LONGEST_NAME
                        )),
                );
            }
            if let Some(value) = T::read(&table.value(key, toml), problems) {
                names.push(Named {
                    name: key.get_ref().to_string(),
                    at: key.span(),
                    value,
                });
            }
        }
        Some(names)
    }
}

impl<T: Read> Read for List<T> {
    fn read(value: &Value<'_>, problems: &mut Problems) -> Option<Self> {
        let DeValue::Array(items) = value.toml else {
            return Some(vec![(T::read(value, problems)?, value.at.clone())]);
        };
        let mut list = Self::new();
        let mut all_read = true;
        for item in items.iter() {
            let one = Value {
                toml: item.get_ref(),
                path: value.path.clone(),
                key: value.key.clone(),
                at: item.span(),
            };
            match T::read(&one, problems) {
                Some(read) => list.push((read, item.span())),
                None => all_read = false,
            }
        }
        all_read.then_some(list)
    }
}
