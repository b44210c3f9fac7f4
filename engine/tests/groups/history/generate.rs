//! Chooses what happens next in a history, from a seed and from what the clients have heard.

mod requests;
mod unusual;

use super::client::{Consumer, Flavour, Phase};
use super::differences::{KnownDifference, bound_bytes, name_again, rebalance_timeout_ms};
use super::run::{Run, Step};
use super::{Fate, Kind, Op, Settings};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;
use vnotch_engine::group::{
    AppendFailure, Client, GroupConfig, Heartbeat, JoinGroup, LeaveGroup, LeavingMember, OffsetCommit,
    OffsetFetch, PartitionCommit, ReplyBody, Request, RequestBody, SyncGroup, Token,
};

const GROUPS: [&str; 3] = ["orders-group", "payments-group", "workers"];
const TOPICS: [&str; 3] = ["t0", "t1", "t2"];
const FAILURES: [AppendFailure; 3] =
    [AppendFailure::Unavailable, AppendFailure::Storage, AppendFailure::TooLarge];

/// Returns the settings of the history of a seed.
pub(crate) fn settings(seed: u64, kind: Kind, steps: usize) -> Settings {
    let mut random = SmallRng::seed_from_u64(seed ^ 0x5E77);
    let is_hostile = kind == Kind::Hostile;
    let mut config = GroupConfig {
        group_max_size: *[3, 5, 5, 100, 100, 100].choose(&mut random).unwrap(),
        initial_rebalance_delay_ms: *[0, 1_000, 3_000].choose(&mut random).unwrap(),
        new_member_join_timeout_ms: *[15_000, 300_000].choose(&mut random).unwrap(),
        min_session_timeout_ms: 1_000,
        max_session_timeout_ms: 60_000,
        offset_metadata_max_chars: 20,
        offsets_retention_ms: 40_000,
        ..GroupConfig::default()
    };
    let differences = KnownDifference::of(seed, kind);
    if differences.contains(&KnownDifference::FewBytes) {
        bound_bytes(&mut config, &mut random);
    }
    Settings {
        seed,
        kind,
        steps,
        config,
        differences,
        start_ms: 1_700_000_000_000,
        failing_one_in: if is_hostile || seed.is_multiple_of(3) { 16 } else { 0 },
        open_one_in: if is_hostile {
            3
        } else if seed.is_multiple_of(5) {
            4
        } else {
            0
        },
    }
}

/// Carries out a whole history. `see` gets each step.
pub(crate) fn history(settings: Settings, mut see: impl FnMut(&Run, &Step)) -> Run {
    let mut generator = Generator::new(&settings);
    let mut run = Run::new(settings.clone());
    for _ in 0..settings.steps {
        let op = generator.next(&run);
        for op in generator.prepare(op, &run) {
            let step = run.step(op);
            generator.hear(&step);
            see(&run, &step);
        }
    }
    run
}

/// Chooses what happens next.
pub(crate) struct Generator {
    random: SmallRng,
    settings: Settings,
    consumers: Vec<Consumer>,
    next_token: u64,
    /// Next offset to commit, by partition, so that commits move on.
    positions: BTreeMap<(String, String, i32), i64>,
    next_offset: i64,
}

impl Generator {
    pub(crate) fn new(settings: &Settings) -> Self {
        let mut random = SmallRng::seed_from_u64(settings.seed);
        let count = random.random_range(3..=9);
        let consumers =
            (0..count).map(|number| consumer(number, settings.differences, &mut random)).collect();
        let positions = BTreeMap::new();
        Self { random, settings: settings.clone(), consumers, next_token: 0, positions, next_offset: 0 }
    }

    fn one_in(&mut self, n: u32) -> bool {
        n > 0 && self.random.random_range(0..n) == 0
    }

    /// Says whether the history has input that leads to this difference.
    fn has(&self, difference: KnownDifference) -> bool {
        self.settings.differences.contains(&difference)
    }

    /// Says whether a client may leave now. Clients with the same group instance id are the same member.
    fn may_leave(&self, index: usize) -> bool {
        let leaving = &self.consumers[index];
        let is_same = |other: &Consumer| {
            other.group == leaving.group
                && (other.client == leaving.client
                    || (other.instance_id.is_some() && other.instance_id == leaving.instance_id))
        };
        let syncs = |other: &Consumer| matches!(other.phase, Phase::Syncing(_));
        self.has(KnownDifference::RequestAgain)
            || !self.consumers.iter().any(|other| is_same(other) && syncs(other))
    }

    fn fate(&mut self, may_be_open: bool) -> Fate {
        if self.one_in(self.settings.failing_one_in) {
            return Fate::Fails(*FAILURES.choose(&mut self.random).unwrap());
        }
        let is_hostile = self.settings.kind == Kind::Hostile;
        let is_open = (may_be_open || is_hostile) && self.one_in(self.settings.open_one_in);
        if is_open { Fate::Open } else { Fate::Ok }
    }

    /// Returns the operation, after an end of the open append where one has to come first.
    fn prepare(&mut self, op: Op, run: &Run) -> Vec<Op> {
        let must_wait =
            self.settings.kind == Kind::Comparable && !run.open.is_empty() && run.would_append(&op);
        if must_wait { vec![self.append_done(run), op] } else { vec![op] }
    }

    fn append_done(&mut self, run: &Run) -> Op {
        let of = run.open.front().and_then(|(append, _)| append.waiting.first().copied());
        Op::AppendDone { of: of.unwrap_or(Token(0)), fate: self.fate(false).ended() }
    }

    fn next(&mut self, run: &Run) -> Op {
        if !run.open.is_empty() && self.one_in(3) {
            return self.append_done(run);
        }
        match self.random.random_range(0..1000) {
            0..150 => self.advance(),
            150..156 if self.settings.kind == Kind::Hostile => {
                Op::Jump { ms: self.random.random_range(-100_000..100_000) }
            }
            156..162 => Op::Restart,
            162..175 => Op::Expire { fate: self.fate(false) },
            175..290 => self.administration(),
            290..400 => self.oddity(),
            _ => self.ordinary(),
        }
    }

    fn advance(&mut self) -> Op {
        let ms = match self.random.random_range(0..10) {
            0..5 => self.random.random_range(1..400),
            5..8 => self.random.random_range(400..2_000),
            8 => self.random.random_range(2_000..8_000),
            _ => self.random.random_range(8_000..50_000),
        };
        Op::Advance { ms, fate: self.fate(false) }
    }

    fn request(&mut self, client: &Client, api_version: i16, body: RequestBody) -> Op {
        self.next_token += 1;
        let may_be_open = matches!(body, RequestBody::Sync(_));
        // Kafka answers some JoinGroups before their append, so most histories that are compared have none that fail.
        let is_join = matches!(body, RequestBody::Join(_));
        let mut fate = self.fate(may_be_open);
        if is_join && self.settings.kind == Kind::Comparable && fate.is_failure() && !self.one_in(4) {
            fate = Fate::Ok;
        }
        let request = Request { token: Token(self.next_token), client: client.clone(), api_version, body };
        Op::Request { request: Box::new(request), fate }
    }

    /// Something that a client does in its course.
    fn ordinary(&mut self) -> Op {
        let index = self.random.random_range(0..self.consumers.len());
        if self.consumers[index].is_silent {
            if self.one_in(4) {
                self.consumers[index].is_silent = false;
            }
            return self.advance();
        }
        if self.one_in(60) {
            self.consumers[index].is_silent = true;
        }
        let phase = self.consumers[index].phase;
        match phase {
            Phase::Out => self.join(index),
            Phase::Joined => self.sync(index),
            Phase::Joining(_) if self.has(KnownDifference::RequestAgain) && self.one_in(8) => {
                self.join(index)
            }
            Phase::Syncing(_) if self.has(KnownDifference::RequestAgain) && self.one_in(8) => {
                self.sync(index)
            }
            Phase::Joining(_) | Phase::Syncing(_) => match self.random.random_range(0..10) {
                0..3 => self.heartbeat(index),
                3 if self.may_leave(index) => self.leave(index),
                4 => self.commit(index),
                _ => self.advance(),
            },
            Phase::Member => match self.random.random_range(0..100) {
                0..45 => self.heartbeat(index),
                45..75 => self.commit(index),
                75..82 => self.fetch(index),
                82..90 => self.leave(index),
                90..93 => self.restart_client(index),
                93..96 => self.sync(index),
                _ => self.join(index),
            },
        }
    }

    fn join(&mut self, index: usize) -> Op {
        if self.one_in(6) {
            let topics: Vec<String> = TOPICS
                .iter()
                .filter(|_| self.random.random_bool(0.7))
                .map(|topic| (*topic).to_owned())
                .collect();
            let consumer = &mut self.consumers[index];
            consumer.topics = topics;
            if consumer.flavour != Flavour::Workers {
                consumer.flavour = *Flavour::CONSUMERS.choose(&mut self.random).unwrap();
            }
        }
        let random = uuid(&mut self.random);
        let consumer = self.consumers[index].clone();
        let mut protocols = consumer.flavour.protocols(&consumer.topics);
        if self.one_in(12) {
            name_again(&mut protocols, &mut self.random);
        }
        let request = JoinGroup {
            group: consumer.group.clone(),
            member_id: consumer.member_id.clone(),
            instance_id: consumer.instance_id.clone().or_else(|| self.late_instance_id(&consumer)),
            random,
            protocol_type: consumer.flavour.protocol_type().to_owned(),
            protocols,
            session_timeout_ms: consumer.session_timeout_ms,
            rebalance_timeout_ms: consumer.rebalance_timeout_ms,
        };
        let op = self.request(&consumer.client, consumer.join_version, RequestBody::Join(request));
        self.consumers[index].phase = Phase::Joining(Token(self.next_token));
        op
    }

    /// Returns an instance id for a dynamic client that has an id and is in no generation. Most such ids were handed out just now.
    fn late_instance_id(&mut self, consumer: &Consumer) -> Option<String> {
        let may_have_one = self.has(KnownDifference::StaticPendingId)
            && consumer.phase == Phase::Out
            && !consumer.member_id.is_empty()
            && self.one_in(4);
        may_have_one.then(|| format!("i{}", self.random.random_range(0..4)))
    }

    fn sync(&mut self, index: usize) -> Op {
        let consumer = self.consumers[index].clone();
        let (first, skip) = (self.random.random_range(0..6), if self.one_in(8) { 2 } else { 0 });
        let names_protocol = self.random.random_bool(0.5);
        let request = SyncGroup {
            group: consumer.group.clone(),
            generation: consumer.generation,
            member_id: consumer.member_id.clone(),
            instance_id: consumer.instance_id.clone(),
            protocol_type: names_protocol.then(|| consumer.flavour.protocol_type().to_owned()),
            protocol: consumer.protocol.clone().filter(|_| names_protocol),
            assignments: consumer.assignments(first, skip),
        };
        let op = self.request(&consumer.client, 5, RequestBody::Sync(request));
        if consumer.phase != Phase::Member {
            self.consumers[index].phase = Phase::Syncing(Token(self.next_token));
        }
        op
    }

    fn heartbeat(&mut self, index: usize) -> Op {
        let consumer = self.consumers[index].clone();
        let request = Heartbeat {
            group: consumer.group,
            generation: consumer.generation,
            member_id: consumer.member_id,
            instance_id: consumer.instance_id,
        };
        self.request(&consumer.client, 4, RequestBody::Heartbeat(request))
    }

    fn leave(&mut self, index: usize) -> Op {
        let consumer = self.consumers[index].clone();
        let mut members =
            vec![LeavingMember { member_id: consumer.member_id, instance_id: consumer.instance_id }];
        let other = self.random.random_range(0..self.consumers.len());
        if self.one_in(4) && self.may_leave(other) {
            let other = &self.consumers[other];
            let by_instance = other.instance_id.is_some();
            let member_id = if by_instance { String::new() } else { other.member_id.clone() };
            members.push(LeavingMember { member_id, instance_id: other.instance_id.clone() });
        }
        let request = LeaveGroup { group: consumer.group, members };
        let op = self.request(&consumer.client, 5, RequestBody::Leave(request));
        let consumer = &mut self.consumers[index];
        consumer.member_id.clear();
        consumer.generation = -1;
        consumer.phase = Phase::Out;
        op
    }

    /// The client loses what it knew, as if its process had started anew.
    fn restart_client(&mut self, index: usize) -> Op {
        self.consumers[index].member_id.clear();
        self.consumers[index].generation = -1;
        self.join(index)
    }

    fn commit(&mut self, index: usize) -> Op {
        let consumer = self.consumers[index].clone();
        let (generation, member_id) = (consumer.generation, consumer.member_id.clone());
        self.commit_as(&consumer, generation, member_id)
    }

    fn commit_as(&mut self, consumer: &Consumer, generation: i32, member_id: String) -> Op {
        let mut topics = Vec::new();
        for topic in TOPICS {
            if self.random.random_bool(0.5) {
                let numbers = 0..self.random.random_range(0..3);
                let commits = numbers.map(|number| self.partition_commit(&consumer.group, topic, number));
                topics.push((topic.to_owned(), commits.collect()));
            }
        }
        let request = OffsetCommit {
            group: consumer.group.clone(),
            generation,
            member_id,
            instance_id: consumer.instance_id.clone().filter(|_| generation >= 0),
            retention_ms: self.one_in(10).then_some(5_000),
            topic_ids: std::collections::BTreeMap::new(),
            topics,
        };
        let version = if self.random.random_bool(0.7) { 9 } else { 8 };
        self.request(&consumer.client, version, RequestBody::OffsetCommit(request))
    }

    fn partition_commit(&mut self, group: &str, topic: &str, partition: i32) -> PartitionCommit {
        self.next_offset += 1;
        let key = (group.to_owned(), topic.to_owned(), partition);
        let position = self.positions.entry(key).or_default();
        *position += self.next_offset % 7;
        let offset = *position;
        let metadata = match self.random.random_range(0..20) {
            0 => Some("longer than twenty characters".to_owned()),
            1..10 => Some(format!("m{}", self.next_offset)),
            _ => None,
        };
        let leader_epoch = if self.random.random_bool(0.3) { -1 } else { 3 };
        PartitionCommit { partition, offset, leader_epoch, metadata }
    }

    fn fetch(&mut self, index: usize) -> Op {
        let consumer = self.consumers[index].clone();
        let all = vec![("t0".to_owned(), vec![0, 1]), ("t2".to_owned(), vec![0, 5])];
        let topics = self.random.random_bool(0.5).then_some(all);
        let request = OffsetFetch { group: consumer.group, topics };
        self.request(&consumer.client, 8, RequestBody::OffsetFetch(request))
    }

    fn hear(&mut self, step: &Step) {
        for reply in &step.replies {
            for consumer in &mut self.consumers {
                consumer.hear(reply.token, &reply.body);
            }
        }
        self.hear_heartbeat(step);
    }

    fn hear_heartbeat(&mut self, step: &Step) {
        let Op::Request { request, .. } = &step.op else { return };
        let RequestBody::Heartbeat(heartbeat) = &request.body else { return };
        let error = step.replies.iter().find_map(|reply| match reply.body {
            ReplyBody::Heartbeat(Err(error)) if reply.token == request.token => Some(error),
            _ => None,
        });
        if let Some(error) = error {
            self.fail_heartbeat(heartbeat, error);
        }
    }
}

impl Fate {
    fn is_failure(self) -> bool {
        matches!(self, Self::Fails(_))
    }

    /// Returns this fate, or success if it is no end.
    fn ended(self) -> Self {
        if self == Self::Open { Self::Ok } else { self }
    }
}

/// Returns the bits of a random UUID.
fn uuid(random: &mut SmallRng) -> u128 {
    let bits: u128 = random.random();
    bits & !(0xF << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62
}

fn consumer(number: usize, differences: &[KnownDifference], random: &mut SmallRng) -> Consumer {
    let may_have_no_timeout = differences.contains(&KnownDifference::NoRebalanceTimeout);
    // One group then has all members, so that most of the time one of them has a timeout.
    let groups = if may_have_no_timeout { &GROUPS[..1] } else { &GROUPS[..] };
    let group = *groups.choose(random).unwrap();
    let is_worker = group == "workers";
    let flavour = if is_worker { Flavour::Workers } else { *Flavour::CONSUMERS.choose(random).unwrap() };
    let is_static = random.random_bool(0.35);
    Consumer {
        group: group.to_owned(),
        client: Client { id: format!("client{number}"), host: format!("/10.0.1.{number}") },
        instance_id: is_static.then(|| format!("i{}", random.random_range(0..4))),
        join_version: *[3, 5, 5, 9].choose(random).unwrap(),
        flavour,
        topics: TOPICS[..random.random_range(1..=3)].iter().map(|topic| (*topic).to_owned()).collect(),
        session_timeout_ms: *[2_000, 3_000, 5_000, 10_000].choose(random).unwrap(),
        rebalance_timeout_ms: rebalance_timeout_ms(may_have_no_timeout, random),
        member_id: String::new(),
        generation: -1,
        protocol: None,
        phase: Phase::Out,
        led: Vec::new(),
        is_silent: false,
    }
}
