//! The only file that knows everything: builds, connects, spawns, watches.
