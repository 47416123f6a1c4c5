//! *pure* What can be wanted of whoever reads the configuration again.

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// To read the configuration again and apply it.
    Apply,
    /// To be told what that would change.
    Show,
}
