//! Two nodes with warren, a cluster of three real brokers, and clients that publish with confirms
//! and consume through the virtual address, while the master goes again and again.
//!
//! Hosts 1 and 2 of a network of namespaces run warren; brokers and clients are on host 3, whose
//! namespace this process enters. `WARREN_PAIR_ROUNDS=20` takes so many rounds of each fault
//! instead of two. Needs root and Debian's rabbitmq-server; else it is reported as skipped.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

#[path = "../rabbitmq/client.rs"]
#[expect(dead_code, reason = "shared with the tests of one node")]
mod client;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../vrrp/lab.rs"]
#[expect(dead_code, reason = "shared with the tests without brokers")]
mod lab;
#[path = "../vrrp/peer.rs"]
#[expect(dead_code, reason = "shared with the tests without brokers")]
mod peer;
#[path = "../support/ports.rs"]
mod ports;
#[path = "../support/rabbit.rs"]
#[expect(dead_code, reason = "shared with the tests of one node")]
mod rabbit;
#[path = "../rabbitmq/traffic.rs"]
mod traffic;
#[path = "../support/wait.rs"]
mod wait;

use std::fs::File;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use lapin::options::QueueDeclareOptions;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

use lab::{Host, Lab};
use peer::Warren;
use rabbit::{Rabbits, Together};
use traffic::{Balance, Traffic};

const NAME: &str = "no_confirmed_message_is_lost_when_the_master_goes";
const VIP: &str = "10.9.0.100";
const LONG: Duration = Duration::from_secs(20);
/// How long the kernel keeps the address of a dead warren.
const LEASE: Duration = Duration::from_millis(2_500);

fn main() -> ExitCode {
    if std::env::args().any(|word| word == "--list") {
        println!("{NAME}: test");
        return ExitCode::SUCCESS;
    }
    println!("\nrunning 1 tests");
    let root = nix::unistd::geteuid().is_root();
    let lacking = (!root).then_some("not root").or_else(rabbit::missing);
    let (passed, skipped) = match lacking {
        Some(reason) => {
            println!("test {NAME} ... ignored, skipped: {reason}");
            (0, 1)
        }
        None => {
            let begun = Instant::now();
            run();
            println!(
                "test {NAME} ... ok ({:.1} s)",
                begun.elapsed().as_secs_f32()
            );
            (1, 0)
        }
    };
    println!(
        "\ntest result: ok. {passed} passed; 0 failed; {skipped} ignored; 0 measured; \
         0 filtered out\n"
    );
    ExitCode::SUCCESS
}

fn run() {
    let lab = Lab::new(3);
    enter(lab.host(3));
    client::HOST.set(VIP).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(with_brokers(&lab));
}

/// Moves this thread, and what it starts from now on, to a host.
fn enter(host: &Host) {
    let namespace = File::open(format!("/proc/{}/ns/net", host.holder.id())).unwrap();
    setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
}

/// The first node, or the second, in front of the brokers.
fn node(lab: &Lab, number: usize, rabbits: &Rabbits) -> Warren {
    let mut proxy = "[listen.amqp]\nbind = \"0.0.0.0:5672\"\npool = \"rabbit\"\n\
                     [pool.rabbit]\n[pool.rabbit.servers]\n"
        .to_owned();
    for node in &rabbits.nodes {
        let line = format!("{} = \"10.9.0.3:{}\"\n", node.short_name(), node.port);
        proxy.push_str(&line);
    }
    let priority = if number == 1 { 150 } else { 100 };
    let routers = format!(
        "[vrrp.amqp]\ninterface = \"eth0\"\nrouter_id = 5\npriority = {priority}\n\
         advert_interval = \"100ms\"\naddresses = [\"{VIP}/24\"]\ntrack_pools = {{ rabbit = 60 }}\n"
    );
    Warren::start(lab.host(number), &proxy, &routers)
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    Term,
    Kill,
    Link,
}

async fn with_brokers(lab: &Lab) {
    let rounds = std::env::var("WARREN_PAIR_ROUNDS").map_or(2, |text| text.parse().unwrap());
    let names = ["p1", "p2", "p3"];
    let rabbits = Rabbits::start(&names, Together::ClusteredForOthers, "").await;
    let (mut one, two) = (node(lab, 1, &rabbits), node(lab, 2, &rabbits));
    is_master(lab, 1).await;
    declare().await;
    let traffic = Traffic::start(5672, "pair");
    let broker = &rabbits.nodes[0];
    traffic.progress(100, LONG, broker).await;
    for round in 0..rounds {
        for fault in [Fault::Term, Fault::Kill, Fault::Link] {
            let begun = Instant::now();
            match fault {
                Fault::Term => one.stop(),
                Fault::Kill => one.process.signal(Signal::SIGKILL),
                Fault::Link => lab.link(1, "down"),
            }
            is_master(lab, 2).await;
            let took = begun.elapsed();
            let confirmed = traffic.progress(50, LONG, broker).await;
            println!("  {round}, {fault:?}: moved in {took:?}, then 50 confirms in {confirmed:?}");
            match fault {
                Fault::Link => lab.link(1, "up"),
                Fault::Term | Fault::Kill => {
                    drop(one);
                    one = node(lab, 1, &rabbits);
                }
            }
            is_master(lab, 1).await;
            traffic.progress(50, LONG, broker).await;
        }
    }
    let Balance {
        confirmed,
        lost,
        repeated,
    } = traffic.finish().await;
    println!("  {confirmed} confirmed, {lost} lost, {repeated} delivered again");
    assert_eq!(lost, 0, "{}\n{}", one.process.log(), two.process.log());
    assert!(lab.judge(1) > 10 && lab.judge(2) > 3);
}

/// Waits until this node has the address, and the other one has not.
async fn is_master(lab: &Lab, number: usize) {
    let other = lab.host(3 - number);
    wait::until("the address", LONG, async || {
        lab.host(number).has(VIP).then_some(())
    })
    .await;
    wait::until("one node", LEASE, async || (!other.has(VIP)).then_some(())).await;
}

async fn declare() {
    let connection = client::connect(5672, "", "declare").await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let kind = client::arguments(&[("x-queue-type", client::text("quorum"))]);
    let durable = QueueDeclareOptions::durable();
    channel
        .queue_declare("pair".into(), durable, kind)
        .await
        .unwrap();
    connection.close(200, "".into()).await.unwrap();
}
