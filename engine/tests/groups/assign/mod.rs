//! Assignors: Kafka's own examples, and random memberships over several generations.

pub(crate) mod memberships;
mod protocol;
mod sticky;

use memberships::{counts, member, names};
use std::collections::BTreeMap;
use vnotch_engine::group::{Assigned, Assignor, GroupMember};

fn members(members: &[(&str, &[&str])]) -> BTreeMap<String, GroupMember> {
    members.iter().map(|(id, topics)| ((*id).to_owned(), member(None, topics))).collect()
}

fn shown(assigned: &Assigned) -> Vec<String> {
    assigned.iter().map(|(id, partitions)| format!("{id}: {}", names(partitions).join(" "))).collect()
}

#[test]
fn range_gives_each_member_a_range_of_each_topic() {
    let members = members(&[("c0", &["t0", "t1"]), ("c1", &["t0", "t1"])]);
    let assigned = Assignor::Range.assign(&counts(&[("t0", 3), ("t1", 3)]), &members);
    assert_eq!(shown(&assigned), ["c0: t0-0 t0-1 t1-0 t1-1", "c1: t0-2 t1-2"]);
}

#[test]
fn range_looks_at_the_subscribers_of_each_topic_alone() {
    let members = members(&[("c0", &["t0"]), ("c1", &["t0", "t1"]), ("c2", &["t1", "missing"])]);
    let assigned =
        Assignor::Range.assign(&counts(&[("t0", 3), ("t1", 1), ("unused", 9), ("none", 0)]), &members);
    assert_eq!(shown(&assigned), ["c0: t0-0 t0-1", "c1: t0-2 t1-0", "c2: "]);
}

#[test]
fn round_robin_deals_out_the_partitions_of_all_topics() {
    let members = members(&[("c0", &["t0", "t1"]), ("c1", &["t0", "t1"])]);
    let assigned = Assignor::RoundRobin.assign(&counts(&[("t0", 3), ("t1", 3)]), &members);
    assert_eq!(shown(&assigned), ["c0: t0-0 t0-2 t1-1", "c1: t0-1 t1-0 t1-2"]);
}

#[test]
fn round_robin_passes_over_members_that_do_not_subscribe() {
    let members = members(&[("c0", &["t0"]), ("c1", &["t0", "t1"]), ("c2", &["t0", "t1", "t2"])]);
    let assigned = Assignor::RoundRobin.assign(&counts(&[("t0", 1), ("t1", 2), ("t2", 3)]), &members);
    assert_eq!(shown(&assigned), ["c0: t0-0", "c1: t1-0", "c2: t1-1 t2-0 t2-1 t2-2"]);
}

#[test]
fn static_members_come_first_in_the_order_of_their_instance_ids() {
    let mut members = members(&[("a", &["t0"]), ("b", &["t0"]), ("c", &["t0"])]);
    members.insert("y".to_owned(), member(Some("i1"), &["t0"]));
    members.insert("z".to_owned(), member(Some("i0"), &["t0"]));
    let counts = counts(&[("t0", 4)]);
    let round_robin = Assignor::RoundRobin.assign(&counts, &members);
    assert_eq!(shown(&round_robin), ["a: t0-2", "b: t0-3", "c: ", "y: t0-1", "z: t0-0"]);
    assert_eq!(Assignor::Range.assign(&counts, &members), round_robin);
}

#[test]
fn assignors_have_kafkas_names() {
    for (assignor, name) in Assignor::ALL.into_iter().zip(["range", "roundrobin", "cooperative-sticky"]) {
        assert_eq!(assignor.name(), name);
        assert_eq!(Assignor::from_name(name), Some(assignor));
    }
    assert_eq!(Assignor::from_name("sticky"), None);
}

#[test]
fn a_group_without_members_and_members_without_topics_get_nothing() {
    for assignor in Assignor::ALL {
        assert_eq!(assignor.assign(&counts(&[("t0", 2)]), &BTreeMap::new()), Assigned::new());
        let idle = members(&[("c0", &[]), ("c1", &["missing"])]);
        assert_eq!(shown(&assignor.assign(&counts(&[("t0", 2)]), &idle)), ["c0: ", "c1: "]);
    }
}
