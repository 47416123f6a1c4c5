//! choose() -> Lease; dropping the Lease gives the slot back.
