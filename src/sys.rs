//! System calls that no library offers. The only file with `unsafe`.
#![allow(unsafe_code, reason = "each block says why it is sound")]
