//! Logs as text, JSON lines or native journal.
