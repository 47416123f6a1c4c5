//! Process exit codes (sysexits.h where it has a fitting one).

/// Everything went well.
pub const GOOD: u8 = 0;
/// Something failed at run time.
pub const FAILED: u8 = 1;
/// The command line is wrong, or names what the daemon does not know (EX_USAGE).
pub const USAGE: u8 = 64;
/// An address or port could not be had (EX_UNAVAILABLE).
pub const UNAVAILABLE: u8 = 69;
/// A capability is missing (EX_NOPERM).
pub const NO_PERMISSION: u8 = 77;
/// The configuration is wrong (EX_CONFIG).
pub const CONFIG: u8 = 78;
