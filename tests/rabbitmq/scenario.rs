//! A scenario is something that people do with AMQP, written once and run twice: straight to a
//! node and through warren. Both runs must show the same, and what it says here.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::client::Stage;
use crate::rabbit::Node;
use crate::runner::Running;

/// What a client saw, in words that are the same in every run.
pub(crate) type Transcript = Vec<String>;

/// One scenario with its expected transcript.
pub(crate) struct Scenario {
    /// What the client does and notes down.
    pub(crate) run: for<'a> fn(&'a Stage<'a>) -> Running<'a, Transcript>,
    /// What it has to see.
    pub(crate) expected: &'static [&'static str],
}

/// Builds a [`Scenario`] from an async function and its expected transcript.
macro_rules! scenario {
    ($run:expr, $expected:expr) => {
        $crate::scenario::Scenario {
            run: |stage| Box::pin($run(stage)),
            expected: $expected,
        }
    };
}
pub(crate) use scenario;

impl Scenario {
    /// Runs it both ways, one after the other, and compares.
    pub(crate) async fn compare(&self, node: &Node, warren_port: u16) {
        let straight = self.once(node, node.port).await;
        let through = self.once(node, warren_port).await;
        assert_eq!(straight, self.expected, "straight to {}", node.name);
        assert_eq!(through, straight, "through warren, compared with straight");
    }

    async fn once(&self, node: &Node, port: u16) -> Transcript {
        static RUNS: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("run-{:03}", RUNS.fetch_add(1, Ordering::Relaxed));
        let stage = Stage { port, prefix, node };
        (self.run)(&stage).await
    }
}
