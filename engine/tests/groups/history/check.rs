//! Rules that hold in each history.

use super::run::Step;
use std::collections::{BTreeMap, BTreeSet};
use vnotch_engine::group::{
    Append, Assignment, EncodedRecord, GroupError, GroupRecord, GroupState, Groups, Reply, ReplyBody,
    Request, RequestBody, SyncGroup, Token, TopicOutcomes,
};

/// The members of one generation.
type Owners = BTreeMap<String, Owner>;

/// A member that has its assignment.
#[derive(Debug, PartialEq, Eq)]
struct Owner {
    instance_id: Option<String>,
    partitions: Vec<String>,
}

/// The memory of the checks, with the number of times that each request, error and state was seen.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// Requests without a reply.
    waiting: BTreeMap<Token, RequestBody>,
    answered: BTreeSet<Token>,
    /// Owners of partitions by group, life of the group, and generation.
    owners: BTreeMap<(String, u32, i32), Owners>,
    /// How often each group was removed.
    lives: BTreeMap<String, u32>,
    /// Offsets as the log has them.
    committed: BTreeMap<(String, String, i32), i64>,
    /// How often each request, error and state was seen, by name.
    pub counts: BTreeMap<String, u64>,
}

impl Checks {
    fn count(&mut self, name: &str) {
        *self.counts.entry(name.to_owned()).or_default() += 1;
    }

    /// Takes note of a request.
    pub(crate) fn request(&mut self, request: &Request) {
        self.count(request_name(&request.body));
        let earlier = self.waiting.insert(request.token, request.body.clone());
        assert!(earlier.is_none(), "each request has a token of its own");
    }

    /// Takes note of records that are about to be appended.
    pub(crate) fn append(&mut self, append: &Append) {
        assert!(!append.records.is_empty(), "a batch has records");
        for token in &append.waiting {
            assert!(self.waiting.contains_key(token), "{token:?} waits for records, but has its reply");
        }
    }

    /// Checks the replies to one input, while the coordinator is in the state that they were made in.
    pub(crate) fn replies(&mut self, replies: &[Reply], groups: &Groups) {
        for reply in replies {
            self.reply(reply, groups);
        }
    }

    /// Checks the outcome of a step.
    pub(crate) fn step(&mut self, step: &Step, groups: &Groups) {
        for view in step.groups.values().flatten() {
            self.count(view.state.name());
        }
        self.compare_offsets(step);
        for (group, _, _) in self.committed.keys() {
            assert!(groups.view(group).is_some(), "{group} has offsets, so it exists");
        }
        self.count_places(groups);
    }

    /// Checks that a request that has no reply is parked, or waits for records.
    fn count_places(&mut self, groups: &Groups) {
        for id in groups.ids() {
            let view = groups.view(id).unwrap();
            let members: BTreeSet<&str> = view.members.iter().map(|member| member.id.as_str()).collect();
            assert_eq!(view.members.is_empty(), view.leader.is_none(), "a group with members has a leader");
            assert!(view.leader.as_deref().is_none_or(|leader| members.contains(leader)));
            assert!(view.pending.iter().all(|id| !members.contains(id.as_str())));
            match view.state {
                GroupState::Empty => assert!(members.is_empty(), "an empty group has no members"),
                GroupState::Stable => {
                    assert!(view.protocol.is_some(), "the members have agreed on a protocol");
                    assert!(view.members.iter().all(|member| !member.awaits_join && !member.awaits_sync));
                }
                GroupState::CompletingRebalance => {
                    assert!(view.protocol.is_some(), "the members have agreed on a protocol");
                    assert!(view.members.iter().all(|member| !member.awaits_join));
                }
                GroupState::PreparingRebalance => {
                    assert!(view.members.iter().all(|member| !member.awaits_sync));
                }
                GroupState::Dead => panic!("a group that exists is not dead"),
            }
        }
    }

    fn reply(&mut self, reply: &Reply, groups: &Groups) {
        let request = self.waiting.remove(&reply.token);
        assert!(self.answered.insert(reply.token), "{:?} is answered twice", reply.token);
        let request = request.expect("a reply answers a request");
        for error in errors(&reply.body) {
            self.count(error.name());
        }
        let group = request.group().map(str::to_owned).unwrap_or_default();
        match (&request, &reply.body) {
            (RequestBody::Join(sent), ReplyBody::Join(join)) => {
                if let Ok(joined) = &join.outcome {
                    self.count("joined");
                    let view = groups.view(&group).expect("the group of a member exists");
                    assert!(view.generation >= joined.generation);
                    let is_in = view.members.iter().any(|member| member.id == join.member_id);
                    // A static member may be replaced by another client of its instance id before the input has ended.
                    let instance_id = sent.instance_id.as_ref();
                    let is_replaced = instance_id.is_some()
                        && view.members.iter().any(|member| member.instance_id.as_ref() == instance_id);
                    assert!(
                        is_in || is_replaced || view.generation > joined.generation,
                        "a member that is told so is in the group: {join:?} {view:?}"
                    );
                }
            }
            (RequestBody::Sync(sync), ReplyBody::Sync(Ok(synced))) => {
                self.count("synced");
                self.own(sync, &synced.assignment);
            }
            (RequestBody::Heartbeat(heartbeat), ReplyBody::Heartbeat(Ok(()))) => {
                let view = groups.view(&group).expect("the group of a member exists");
                assert_eq!(view.generation, heartbeat.generation);
                assert!(view.members.iter().any(|member| member.id == heartbeat.member_id));
            }
            (_, ReplyBody::DescribeGroups(described)) => {
                for group in described {
                    self.count(if group.state.is_empty() { "refused" } else { group.state });
                }
            }
            _ => {}
        }
    }

    /// Checks that no other member of the generation has a partition of this assignment.
    fn own(&mut self, sync: &SyncGroup, assignment: &[u8]) {
        let SyncGroup { group, generation, member_id, instance_id, .. } = sync;
        let life = self.lives.get(group).copied().unwrap_or(0);
        let partitions = Assignment::decode(assignment).unwrap().partitions;
        let owner = Owner {
            instance_id: instance_id.clone(),
            partitions: partitions.iter().map(ToString::to_string).collect(),
        };
        let owners = self.owners.entry((group.clone(), life, *generation)).or_default();
        for (other, owned) in owners.iter().filter(|(other, _)| *other != member_id) {
            // A static member that comes back under a new id has the assignment of the old one, which is fenced.
            let is_same_instance = instance_id.is_some() && *owned == owner;
            let is_shared = owner.partitions.iter().any(|partition| owned.partitions.contains(partition));
            assert!(
                !is_shared || is_same_instance,
                "{member_id} and {other} own a partition of {group} {generation}"
            );
        }
        if let Some(earlier) = owners.get(member_id) {
            assert_eq!(earlier.partitions, owner.partitions, "a generation has one assignment");
        }
        owners.insert(member_id.clone(), owner);
    }

    /// Takes note of a record that is in the log.
    pub(crate) fn record(&mut self, record: &EncodedRecord) {
        let decoded = GroupRecord::decode(&record.key, record.value.as_deref()).unwrap().unwrap();
        assert_eq!(decoded.encode(), *record, "records survive decoding");
        match decoded {
            GroupRecord::Offset { key, value } => {
                let key = (key.group, key.topic, key.partition);
                match value {
                    Some(value) => self.committed.insert(key, value.offset),
                    None => self.committed.remove(&key),
                };
            }
            GroupRecord::Group { group, value: None } => *self.lives.entry(group).or_default() += 1,
            GroupRecord::Group { .. } => {}
        }
    }

    /// Checks that the committed offsets are those of the log: none is lost, and none is there too early.
    fn compare_offsets(&self, step: &Step) {
        for (group, offsets) in &step.offsets {
            let found: Vec<_> = offsets
                .iter()
                .map(|(key, value)| (key.topic.as_str(), key.partition, value.offset))
                .collect();
            let range = self.committed.iter().filter(|((of, _, _), _)| of == group);
            let logged: Vec<_> =
                range.map(|((_, topic, partition), offset)| (topic.as_str(), *partition, *offset)).collect();
            assert_eq!(found, logged, "offsets of {group}");
        }
    }

    /// Takes note of a reply from a coordinator that still reads its log, and so knows no group.
    pub(crate) fn early_reply(&mut self, reply: &Reply) {
        assert!(self.waiting.remove(&reply.token).is_some(), "a reply answers a request");
        assert!(self.answered.insert(reply.token), "{:?} is answered twice", reply.token);
        errors(&reply.body).into_iter().for_each(|error| self.count(error.name()));
    }

    /// The process has ended, and another one has the log. The requests that waited get no reply. `records` are those in the log. If
    /// acked ones are lost, all clients have begun anew, and generations may come again.
    pub(crate) fn restarted(&mut self, records: &[EncodedRecord], is_acked_lost: bool) {
        self.waiting.clear();
        if is_acked_lost {
            self.owners.clear();
        }
        self.committed.clear();
        self.lives.clear();
        records.iter().for_each(|record| self.record(record));
    }

    /// Checks that nothing is left without a reply at the end.
    pub(crate) fn end(&mut self, replies: &[Reply]) {
        for reply in replies {
            assert!(self.waiting.remove(&reply.token).is_some(), "{:?} is answered twice", reply.token);
        }
        assert_eq!(self.waiting.keys().next(), None, "each request is answered");
    }
}

/// Returns the name of a request.
pub(crate) fn request_name(body: &RequestBody) -> &'static str {
    match body {
        RequestBody::Join(_) => "join",
        RequestBody::Sync(_) => "sync",
        RequestBody::Heartbeat(_) => "heartbeat",
        RequestBody::Leave(_) => "leave",
        RequestBody::OffsetCommit(_) => "commit",
        RequestBody::OffsetFetch(_) => "fetch",
        RequestBody::OffsetDelete(_) => "offset_delete",
        RequestBody::DeleteGroups(_) => "delete_groups",
        RequestBody::DescribeGroups(_) => "describe",
        RequestBody::ListGroups(_) => "list",
    }
}

/// Returns the errors in a reply.
fn errors(body: &ReplyBody) -> Vec<GroupError> {
    let of_topics = |topics: &[TopicOutcomes]| {
        topics
            .iter()
            .flat_map(|(_, partitions)| partitions)
            .filter_map(|(_, outcome)| outcome.err())
            .collect()
    };
    match body {
        ReplyBody::Join(reply) => reply.outcome.as_ref().err().copied().into_iter().collect(),
        ReplyBody::Sync(reply) => reply.as_ref().err().copied().into_iter().collect(),
        ReplyBody::Heartbeat(reply) => reply.err().into_iter().collect(),
        ReplyBody::Leave(Err(error))
        | ReplyBody::OffsetFetch(Err(error))
        | ReplyBody::OffsetDelete(Err(error)) => {
            vec![*error]
        }
        ReplyBody::Leave(Ok(members)) => members.iter().filter_map(|member| member.outcome.err()).collect(),
        ReplyBody::OffsetCommit(topics) | ReplyBody::OffsetDelete(Ok(topics)) => of_topics(topics),
        ReplyBody::OffsetFetch(Ok(_)) => Vec::new(),
        ReplyBody::DeleteGroups(groups) => groups.iter().filter_map(|(_, outcome)| outcome.err()).collect(),
        ReplyBody::DescribeGroups(groups) => groups.iter().filter_map(|group| group.error).collect(),
        ReplyBody::ListGroups(reply) => reply.as_ref().err().copied().into_iter().collect(),
    }
}
