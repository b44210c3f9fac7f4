//! The cooperative-sticky assignor: balanced, sticky, in two steps.

use super::memberships::{Membership, counts, member, names, partition};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use std::collections::{BTreeMap, BTreeSet};
use vnotch_engine::group::{Assigned, Assignor, GroupMember};
use vnotch_engine::types::TopicPartition;

const STICKY: Assignor = Assignor::CooperativeSticky;
const MEMBERSHIPS: u64 = 400;

fn owning(topics: &[&str], generation: i32, owned: &[(&str, u32)]) -> GroupMember {
    let mut member = member(None, topics);
    member.subscription.owned = owned.iter().map(|(topic, number)| partition(topic, *number)).collect();
    member.subscription.generation = Some(generation);
    member
}

fn shown(assigned: &Assigned) -> Vec<String> {
    assigned.iter().map(|(id, partitions)| format!("{id}: {}", names(partitions).join(" "))).collect()
}

#[test]
fn a_new_member_gets_partitions_in_the_second_generation_only() {
    let topics = counts(&[("t0", 4)]);
    let mut group: BTreeMap<String, GroupMember> = BTreeMap::new();
    group.insert("c0".to_owned(), owning(&["t0"], 1, &[("t0", 0), ("t0", 1), ("t0", 2), ("t0", 3)]));
    group.insert("c1".to_owned(), member(None, &["t0"]));
    let first = STICKY.assign(&topics, &group);
    assert_eq!(shown(&first), ["c0: t0-0 t0-1", "c1: "]);
    group.insert("c0".to_owned(), owning(&["t0"], 2, &[("t0", 0), ("t0", 1)]));
    group.insert("c1".to_owned(), owning(&["t0"], 2, &[]));
    let second = STICKY.assign(&topics, &group);
    assert_eq!(shown(&second), ["c0: t0-0 t0-1", "c1: t0-2 t0-3"]);
}

#[test]
fn a_member_of_an_earlier_generation_loses_what_another_claims() {
    let topics = counts(&[("t0", 2)]);
    let mut group = BTreeMap::new();
    group.insert("c0".to_owned(), owning(&["t0"], 4, &[("t0", 0), ("t0", 1)]));
    group.insert("c1".to_owned(), owning(&["t0"], 5, &[("t0", 1)]));
    assert_eq!(shown(&STICKY.assign(&topics, &group)), ["c0: t0-0", "c1: t0-1"]);
}

#[test]
fn a_partition_that_two_members_of_a_generation_claim_is_taken_from_both_first() {
    let topics = counts(&[("t0", 2)]);
    let mut group = BTreeMap::new();
    group.insert("c0".to_owned(), owning(&["t0"], 5, &[("t0", 0), ("t0", 1)]));
    group.insert("c1".to_owned(), owning(&["t0"], 5, &[("t0", 1)]));
    assert_eq!(shown(&STICKY.assign(&topics, &group)), ["c0: t0-0", "c1: "]);
}

#[test]
fn a_topic_that_a_member_leaves_moves_to_the_others_and_nothing_else_moves() {
    let topics = counts(&[("t0", 3), ("t1", 2)]);
    let mut group = BTreeMap::new();
    group.insert("c0".to_owned(), owning(&["t0"], 3, &[("t0", 0), ("t0", 1), ("t1", 0)]));
    group.insert("c1".to_owned(), owning(&["t0", "t1"], 3, &[("t0", 2), ("t1", 1)]));
    let assigned = STICKY.assign(&topics, &group);
    assert_eq!(shown(&assigned), ["c0: t0-0 t0-1", "c1: t0-2 t1-1"]);
}

/// Returns the owner of each partition, and checks that it has one owner only.
fn owners(assigned: &Assigned) -> BTreeMap<TopicPartition, String> {
    let mut owners = BTreeMap::new();
    for (id, partitions) in assigned {
        for partition in partitions {
            let earlier = owners.insert(partition.clone(), id.clone());
            assert_eq!(earlier, None, "{partition} is assigned twice");
        }
    }
    owners
}

/// Returns the largest number of partitions that can stay where they are, if all members subscribe to the same topics.
fn kept_at_most(membership: &Membership, owned: &BTreeMap<TopicPartition, String>) -> usize {
    let (wanted, members) = (membership.wanted().len(), membership.members.len());
    let (quota, larger) = (wanted / members, wanted % members);
    let sizes = membership.members.keys().map(|id| owned.values().filter(|owner| *owner == id).count());
    let sizes: Vec<usize> = sizes.collect();
    let within: usize = sizes.iter().map(|size| (*size).min(quota)).sum();
    within + sizes.iter().filter(|size| **size > quota).count().min(larger)
}

/// Checks one generation: who gets what, given what the members own.
fn check_generation(membership: &Membership, assigned: &Assigned, owned: &BTreeMap<TopicPartition, String>) {
    let owners = owners(assigned);
    let wanted = membership.wanted();
    for (partition, owner) in &owners {
        assert!(wanted.contains(partition));
        assert!(membership.members[owner].subscription.topics.contains(&partition.topic.to_string()));
        let earlier = owned.get(partition).filter(|earlier| membership.members.contains_key(*earlier));
        assert!(earlier.is_none_or(|earlier| earlier == owner), "{partition} has two owners at once");
    }
    for partition in &wanted {
        let waits = owned.get(partition).is_some_and(|owner| membership.members.contains_key(owner));
        assert!(owners.contains_key(partition) || waits, "nobody gets {partition}");
    }
    if membership.is_equal() {
        let kept = owners.iter().filter(|(partition, owner)| owned.get(*partition) == Some(owner)).count();
        assert_eq!(kept, kept_at_most(membership, owned), "as many partitions stay as possible");
    }
}

/// Says whether a member could take a partition from another one so that their sizes differ less.
fn can_gain(membership: &Membership, assigned: &Assigned) -> bool {
    assigned.values().filter(|partitions| !partitions.is_empty()).any(|partitions| {
        partitions.iter().any(|partition| {
            assigned.iter().any(|(id, others)| {
                let topics = &membership.members[id].subscription.topics;
                topics.contains(&partition.topic.to_string()) && others.len() + 1 < partitions.len()
            })
        })
    })
}

#[test]
fn random_groups_are_balanced_after_two_generations_and_nothing_moves_without_need() {
    let mut moved = 0;
    for seed in 0..MEMBERSHIPS {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut membership = Membership::random(&mut random);
        let mut generation = 1;
        for _ in 0..6 {
            let mut rounds = 0;
            loop {
                let owned: BTreeMap<TopicPartition, String> = membership
                    .members
                    .iter()
                    .flat_map(|(id, member)| {
                        member.subscription.owned.iter().map(|owned| (owned.clone(), id.clone()))
                    })
                    .collect();
                let assigned = STICKY.assign(&membership.counts, &membership.members);
                check_generation(&membership, &assigned, &owned);
                membership.own(&assigned, generation, None);
                generation += 1;
                let all: BTreeSet<TopicPartition> = assigned.values().flatten().cloned().collect();
                rounds += 1;
                if all == membership.wanted() {
                    assert!(!can_gain(&membership, &assigned), "seed {seed}: {assigned:?}");
                    let again = STICKY.assign(&membership.counts, &membership.members);
                    assert_eq!(shown(&again), shown(&assigned), "nothing moves");
                    break;
                }
                moved += membership.wanted().len() - all.len();
                assert!(rounds < 4, "seed {seed}: partitions do not come to rest");
            }
            membership.change(&mut random);
        }
    }
    assert!(moved > 500, "only {moved} partitions have moved");
}
