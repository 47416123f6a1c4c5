//! *pure* Who is master: the state machine.
