//! Problems of a configuration file: where, what is wrong, what is accepted.

/// All problems of one file, errors and warnings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {}

impl std::fmt::Display for Problems {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!("config helper")
    }
}

impl std::error::Error for Problems {}
