//! What "having the address" means.
