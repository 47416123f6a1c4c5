//! The balancing algorithms.
