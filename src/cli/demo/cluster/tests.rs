//! Queues, exchanges, order and limits of the shared state, without a socket.

use std::rc::Rc;

use super::{Cluster, MAX_HELD, MAX_READY, Routed};
use crate::amqp::content::Message;
use crate::amqp::method::{flag, reply};

fn publish(cluster: &mut Cluster, exchange: &str, key: &str, body: Vec<u8>) -> Routed {
    cluster
        .publish(exchange.to_owned(), key.to_owned(), Message::plain(body))
        .unwrap()
}

#[test]
fn requeued_messages_come_first_in_their_order_and_marked() {
    let mut cluster = Cluster::new();
    cluster.declare(1, "q", 0).unwrap();
    for body in 1..=3 {
        assert_eq!(publish(&mut cluster, "", "q", vec![body]), Routed::Stored);
    }
    let first = cluster.take("q").unwrap().0;
    let second = cluster.take("q").unwrap().0;
    cluster.requeue("q", second);
    cluster.requeue("q", first);
    let mut taken = Vec::new();
    while let Some((entry, _)) = cluster.take("q") {
        taken.push((entry.stored.message.body[0], entry.redelivered));
    }
    assert_eq!(taken, [(1, true), (2, true), (3, false)]);
    assert_eq!(
        cluster.held.get(),
        0,
        "bytes of gone messages are given back"
    );
}

#[test]
fn limits_refuse_instead_of_growing() {
    let mut cluster = Cluster::new();
    cluster.declare(1, "q", 0).unwrap();
    for _ in 0..MAX_READY {
        assert_eq!(publish(&mut cluster, "", "q", vec![]), Routed::Stored);
    }
    assert_eq!(publish(&mut cluster, "", "q", vec![]), Routed::Full);
    cluster.purge(1, "q").unwrap();
    let half = vec![0; MAX_HELD / 2];
    assert_eq!(publish(&mut cluster, "", "q", half.clone()), Routed::Stored);
    assert_eq!(publish(&mut cluster, "", "q", half), Routed::Full);
}

#[test]
fn exchanges_lead_to_the_queues_bound_to_them() {
    let mut cluster = Cluster::new();
    for queue in ["a", "b"] {
        cluster.declare(1, queue, 0).unwrap();
        cluster.bind(1, queue, "amq.fanout", "").unwrap();
        cluster.bind(1, queue, "amq.direct", queue).unwrap();
    }
    assert_eq!(
        publish(&mut cluster, "amq.direct", "a", vec![1]),
        Routed::Stored
    );
    assert_eq!(
        publish(&mut cluster, "amq.direct", "c", vec![2]),
        Routed::Nowhere
    );
    assert_eq!(
        publish(&mut cluster, "amq.fanout", "c", vec![3]),
        Routed::Stored
    );
    assert_eq!(cluster.declare(1, "a", flag::PASSIVE).unwrap().1, 2);
    assert_eq!(cluster.declare(1, "b", flag::PASSIVE).unwrap().1, 1);
    let nowhere = cluster.publish("x".to_owned(), String::new(), Message::plain(vec![]));
    assert_eq!(nowhere.unwrap_err().code, reply::NOT_FOUND);
}

#[test]
fn queues_of_a_connection_end_with_it() {
    let mut cluster = Cluster::new();
    let (name, ..) = cluster.declare(1, "", flag::EXCLUSIVE).unwrap();
    let locked = cluster.declare(2, &name, 0).unwrap_err();
    assert_eq!(locked.code, reply::RESOURCE_LOCKED);
    cluster.declare(1, "auto", flag::AUTO_DELETE).unwrap();
    cluster.consume(1, "auto", &Rc::default()).unwrap();
    cluster.disconnect(1);
    for gone in [name.as_str(), "auto"] {
        let refusal = cluster.declare(2, gone, flag::PASSIVE).unwrap_err();
        assert_eq!(refusal.code, reply::NOT_FOUND);
    }
}
