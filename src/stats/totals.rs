//! *pure* The counters of all workers, added up into plain numbers.

use serde::{Deserialize, Serialize};

use super::{ListenerCounters, PoolCounters, ServerCounters};

/// Defines the totals of some counters: how to add one worker's share, the totals of others, and
/// how far they have come since some earlier moment.
macro_rules! totals {
    ($(#[$about:meta])* $totals:ident of $counters:ident { $($field:ident),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the same names are explained at the counters")]
        pub struct $totals {
            $(pub $field: u64,)+
        }

        impl $totals {
            /// Adds one worker's share.
            pub fn add(&mut self, counters: &$counters) {
                $(self.$field += counters.$field.get();)+
            }

            /// What was counted after `earlier`; without one, all of it.
            #[must_use]
            pub fn since(self, earlier: Option<&Self>) -> Self {
                let Some(earlier) = earlier else { return self };
                Self {
                    $($field: self.$field.saturating_sub(earlier.$field),)+
                }
            }
        }

        impl std::iter::Sum<Self> for $totals {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::default(), |sum, one| Self {
                    $($field: sum.$field + one.$field,)+
                })
            }
        }
    };
}

totals! {
    /// [`ListenerCounters`] of all workers together; the fields are explained there.
    ListenerTotals of ListenerCounters {
        accepted,
        denied,
        sessions,
        bytes_in,
        bytes_out,
        accept_aborted,
        accept_limited,
        accept_broken,
        paused_full,
        paused_rate,
    }
}

totals! {
    /// [`ServerCounters`] of all workers together; the fields are explained there.
    ServerTotals of ServerCounters {
        sessions,
        attempts,
        failed_attempts,
        connect_errors,
        server_aborts,
        client_aborts,
        retries,
        redispatches,
        bytes_in,
        bytes_out,
    }
}

totals! {
    /// [`PoolCounters`] of all workers together; the fields are explained there.
    PoolTotals of PoolCounters {
        sessions,
        no_server,
        queue_full,
        queue_timeout,
        client_aborts,
    }
}
