//! The state machine, pair by pair.
