//! tcp and http probes.
