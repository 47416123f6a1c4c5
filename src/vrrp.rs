//! VRRP: who owns the virtual addresses (RFC 9568, RFC 5798, RFC 3768).
//!
//! The master says every interval that it is there ([`packet`]). Who hears nothing for three
//! intervals and a part of one ([`timing`]) takes its place ([`router`]). What arrives is checked
//! before it counts ([`receive`]). [`driver`] is the thread that waits, sends, and claims addresses
//! with the help of [`crate::vip`]; [`dispute`] notices another master that does not give way;
//! [`difference`] says what a new configuration changes; [`inputs`] is what the thread and the
//! others tell each other, and [`status`] what it publishes.

pub mod difference;
pub mod dispute;
pub mod driver;
pub mod inputs;
pub mod packet;
pub mod receive;
pub mod router;
mod socket;
pub mod status;
pub mod timing;
