//! Writes random memberships of consumer groups, with what this engine's assignors make of them, as JSON lines.
//!
//! usage: `cargo run -p vnotch-engine --example group_assignments -- [MEMBERSHIPS] [FIRST_SEED]`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failing example says enough by its panic")]

use rand::rngs::SmallRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufWriter, Write as _};
use vnotch_engine::group::{Assigned, Assignor, GroupMember, PartitionCounts, Subscription};
use vnotch_engine::types::TopicPartition;

const TOPICS: [&str; 6] = ["orders", "orders-2", "payments", "a", "Z", "zz"];
/// Rounds of the cooperative assignor after which no more are tried.
const ROUNDS_MAX: usize = 8;

type Members = BTreeMap<String, GroupMember>;

fn main() {
    let numbers: Vec<u64> =
        std::env::args().skip(1).map(|text| text.parse().expect("arguments are numbers")).collect();
    let number = |place: usize, default: u64| numbers.get(place).copied().unwrap_or(default);
    let (count, first) = (number(0, 10), number(1, 0));
    let mut out = BufWriter::new(std::io::stdout().lock());
    for seed in first..first + count {
        let membership = Membership::random(&mut SmallRng::seed_from_u64(seed));
        writeln!(out, "{}", membership.line(seed)).unwrap();
    }
}

/// The input of an assignor.
struct Membership {
    counts: PartitionCounts,
    members: Members,
}

impl Membership {
    fn random(random: &mut SmallRng) -> Self {
        let mut counts = PartitionCounts::new();
        for topic in TOPICS {
            if random.random_bool(0.6) {
                counts.insert(topic.to_owned(), random.random_range(1..=12));
            }
        }
        let members = random_members(random);
        let mut membership = Self { counts, members };
        match random.random_range(0..4) {
            0 => {}
            1 => membership.claim_at_random(random),
            _ => membership.own_what_an_earlier_generation_assigned(random),
        }
        membership
    }

    /// Lets members own what was assigned before some members came, went, or changed what they subscribe to.
    fn own_what_an_earlier_generation_assigned(&mut self, random: &mut SmallRng) {
        let mut counts = self.counts.clone();
        if random.random_bool(0.3)
            && let Some((_, count)) = counts.iter_mut().next_back()
        {
            // Partitions have been added since.
            *count = random.random_range(1..=*count);
        }
        let mut before = self.members.clone();
        before.retain(|_, _| random.random_bool(0.8));
        if random.random_bool(0.5) {
            before.extend(random_members(random).into_iter().take(2));
        }
        if random.random_bool(0.2)
            && let Some(member) = before.values_mut().next()
        {
            member.subscription.topics = TOPICS.iter().map(|topic| (*topic).to_owned()).collect();
        }
        let assigned = last_round(&counts, before);
        for (id, member) in &mut self.members {
            let Some(partitions) = assigned.get(id) else { continue };
            // A member that missed a generation claims what it had before.
            let generation = if random.random_bool(0.1) { 4 } else { 5 };
            own(member, partitions.clone(), generation);
        }
    }

    /// Lets members claim partitions that other members claim too, or that they do not subscribe to.
    ///
    /// All claimed partitions exist. Kafka's assignor assigns a claimed partition that does not exist, or fails.
    fn claim_at_random(&mut self, random: &mut SmallRng) {
        let topics: Vec<(&String, &u32)> = self.counts.iter().collect();
        for member in self.members.values_mut() {
            let mut claimed = BTreeSet::new();
            for _ in 0..random.random_range(0..8) {
                let Some((topic, count)) = topics.choose(random) else { break };
                let partition = random.random_range(0..**count);
                claimed.insert(TopicPartition { topic: topic.as_str().into(), partition });
            }
            own(member, claimed.into_iter().collect(), random.random_range(1..=3));
        }
    }

    fn line(&self, seed: u64) -> Value {
        let members = self.members.iter().map(|(id, member)| {
            let subscription = &member.subscription;
            json!({
                "id": id, "instance": member.instance_id, "topics": subscription.topics,
                "owned": by_topic(&subscription.owned), "generation": subscription.generation.unwrap_or(-1),
            })
        });
        let assign = |assignor: Assignor| view(&assignor.assign(&self.counts, &self.members));
        let rounds = rounds(&self.counts, self.members.clone());
        json!({
            "membership": seed,
            "topics": self.counts.iter().map(|(topic, count)| json!([topic, count])).collect::<Vec<_>>(),
            "members": members.collect::<Vec<_>>(),
            "range": assign(Assignor::Range),
            "roundrobin": assign(Assignor::RoundRobin),
            "cooperative-sticky": rounds.iter().map(view).collect::<Vec<_>>(),
        })
    }
}

/// Returns members that subscribe to the same topics, or each to topics of its own.
fn random_members(random: &mut SmallRng) -> Members {
    let are_equal = random.random_bool(0.5);
    let common = random_topics(random);
    let members = (0..random.random_range(1..=9)).map(|place| {
        let id = format!("consumer-{:08x}", random.random::<u32>());
        // No two members have the same instance id, because a coordinator does not allow that.
        let instance_id =
            random.random_bool(0.3).then(|| format!("instance-{:04x}-{place}", random.random::<u16>()));
        let topics = if are_equal { common.clone() } else { random_topics(random) };
        let subscription = Subscription { topics, ..Subscription::default() };
        (id, GroupMember { instance_id, subscription })
    });
    members.collect()
}

fn random_topics(random: &mut SmallRng) -> Vec<String> {
    let mut topics: Vec<String> = TOPICS.iter().map(|topic| (*topic).to_owned()).collect();
    topics.shuffle(random);
    topics.truncate(random.random_range(1..=TOPICS.len()));
    topics
}

/// Makes `partitions` the ones that a member owns since `generation`.
fn own(member: &mut GroupMember, partitions: Vec<TopicPartition>, generation: i32) {
    member.subscription.owned = partitions;
    member.subscription.generation = Some(generation);
    member.subscription.user_data = Some(generation.to_be_bytes().to_vec().into());
}

/// Returns the assignments of the cooperative assignor in one generation after the other, until nothing changes.
fn rounds(counts: &PartitionCounts, mut members: Members) -> Vec<Assigned> {
    let latest = members.values().filter_map(|member| member.subscription.generation).max().unwrap_or(-1);
    let mut rounds: Vec<Assigned> = Vec::new();
    for generation in latest + 1.. {
        let assigned = Assignor::CooperativeSticky.assign(counts, &members);
        let is_same = rounds.last().is_some_and(|last| view(last) == view(&assigned));
        if is_same || rounds.len() == ROUNDS_MAX {
            break;
        }
        for (id, member) in &mut members {
            own(member, assigned[id].clone(), generation);
        }
        rounds.push(assigned);
    }
    rounds
}

fn last_round(counts: &PartitionCounts, members: Members) -> Assigned {
    rounds(counts, members).pop().unwrap_or_default()
}

fn view(assigned: &Assigned) -> Value {
    assigned.iter().map(|(id, partitions)| json!([id, by_topic(partitions)])).collect()
}

fn by_topic(partitions: &[TopicPartition]) -> Value {
    let mut topics: BTreeMap<&str, BTreeSet<u32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in partitions {
        topics.entry(topic).or_default().insert(*partition);
    }
    topics.iter().map(|(topic, partitions)| json!([topic, partitions])).collect()
}
