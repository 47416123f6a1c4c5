//! VRRP: who owns the virtual addresses (RFC 9568, RFC 5798, RFC 3768).

pub mod driver;
pub mod inputs;
pub mod packet;
pub mod receive;
pub mod router;
mod socket;
pub mod status;
pub mod timing;
