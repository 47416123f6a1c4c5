//! Host names of servers: resolved at start and every 30 s, the last good answer kept.
