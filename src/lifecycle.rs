//! Signals, readiness and watchdog to systemd, the drain.
