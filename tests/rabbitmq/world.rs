//! What tests share, started by the first one that needs it.

use tokio::sync::OnceCell;

use crate::rabbit::{Node, Rabbits, Together};
use crate::warren_process::Warren;

/// Keys of a pool that is watched closely.
pub(crate) const CHECK: &str =
    "check = { type = \"amqp\", interval = \"500ms\", timeout = \"1s\", rise = 2, fall = 2 }\n";

/// The shared brokers and the shared warren.
#[derive(Default)]
pub(crate) struct World {
    // Dropped first, before its servers.
    warren: OnceCell<Warren>,
    cluster: OnceCell<Rabbits>,
    pair: OnceCell<Rabbits>,
}

impl World {
    /// A cluster of three: r1, r2 and r3. Nodes that a failed test left dead are started again.
    pub(crate) async fn cluster(&self) -> &Rabbits {
        let start = || Rabbits::start(&["r1", "r2", "r3"], Together::Clustered, "");
        let cluster = self.cluster.get_or_init(start).await;
        for node in cluster.nodes.iter().filter(|node| node.is_stopped()) {
            node.start();
            node.serving().await;
        }
        cluster
    }

    /// Two brokers that know nothing of each other, with federation: lone1 and lone2.
    pub(crate) async fn pair(&self) -> &Rabbits {
        let start = || Rabbits::start(&["lone1", "lone2"], Together::Apart, "rabbitmq_federation");
        self.pair.get_or_init(start).await
    }

    /// warren with defaults in front of the cluster.
    pub(crate) async fn warren(&self) -> &Warren {
        let cluster = self.cluster().await;
        let start = async || Warren::start(&pool(&cluster.nodes, ""), &["r1", "r2", "r3"]).await;
        self.warren.get_or_init(start).await
    }
}

/// `[pool.rabbit]` with `keys` and these nodes as its servers, under their short names.
pub(crate) fn pool(nodes: &[Node], keys: &str) -> String {
    let mut text = format!("[pool.rabbit]\n{keys}\n[pool.rabbit.servers]\n");
    for node in nodes {
        text += &format!("{} = \"127.0.0.1:{}\"\n", node.short_name(), node.port);
    }
    text
}
