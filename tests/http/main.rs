//! The HTTP side against the real things: Debian's haproxy with its exporter, promtool and
//! prometheus, and Chromium, each in a network of its own. Skipped, with a word, where one of them
//! is missing, or without root.
#![expect(clippy::unwrap_used, reason = "a test stops where it fails")]

#[path = "../support/skip.rs"]
mod skip;

mod browser;
mod exporter;
mod network;
mod node;
mod page;
mod probes;
mod prometheus;
