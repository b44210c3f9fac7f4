//! Rules that hold for a coordinator and its log, beside those of each history (`history/check.rs`).

use crate::history::Op;
use crate::history::run::Step;
use crate::owner::LIVING_TOPIC_ID;
use crate::world::{World, readable};
use std::collections::BTreeMap;
use vnotch_engine::clock::Clock as _;
use vnotch_engine::group::{
    FetchedOffset, GroupState, Groups, Now, OffsetCommit, ReplyBody, RequestBody, SyncGroup,
};

impl World {
    /// Checks that the stored state is that of the acked batches, and nothing else.
    pub(crate) fn check_stored(&self) {
        let (stored, acked) = (self.coordinator.stored(), self.model.acked.snapshot().collect::<Vec<_>>());
        if stored != acked {
            assert_eq!(readable(stored), readable(acked), "the stored state is that of the acked batches");
        }
    }

    /// Checks the state between two events.
    pub(crate) fn check_state(&mut self) {
        let Self { coordinator, checks, model, clock, .. } = self;
        if !coordinator.look(|groups| groups.is_serving()) {
            return;
        }
        coordinator.look(|groups| {
            let step = step_of(groups, clock.wall_ms());
            checks.step(&step, groups);
            for (id, view) in &step.groups {
                let Some(view) = view.as_ref().filter(|view| view.state == GroupState::Stable) else {
                    continue;
                };
                let stored = model.acked.view(id).expect("a stable group is stored");
                assert_eq!(stored.generation, view.generation, "the stored generation of {id}");
                let ids = |members: &[vnotch_engine::group::MemberView]| {
                    members.iter().map(|it| (it.id.clone(), it.assignment.clone())).collect::<Vec<_>>()
                };
                assert_eq!(ids(&stored.members), ids(&view.members), "the stored members of {id}");
            }
        });
        self.check_stored();
    }

    /// Checks that a reply says what the acked batches say.
    pub(crate) fn check_reply(&self, request: &RequestBody, reply: &ReplyBody) {
        match (request, reply) {
            (RequestBody::OffsetCommit(commit), ReplyBody::OffsetCommit(topics)) => {
                let done = topics.iter().flat_map(|(topic, partitions)| {
                    let done = partitions.iter().filter(|(_, outcome)| outcome.is_ok());
                    done.map(|(partition, _)| (topic.as_str(), *partition))
                });
                done.for_each(|(topic, partition)| self.check_commit(commit, topic, partition));
            }
            (RequestBody::OffsetFetch(fetch), ReplyBody::OffsetFetch(Ok(topics))) => {
                for (topic, offsets) in topics {
                    offsets.iter().for_each(|offset| self.check_fetched(&fetch.group, topic, offset));
                }
            }
            (RequestBody::Sync(sync), ReplyBody::Sync(Ok(synced))) => {
                self.check_assignment(sync, &synced.assignment);
            }
            _ => {}
        }
    }

    /// Returns the committed offset of a partition that is stored, with its text.
    fn committed(&self, group: &str, topic: &str, partition: i32) -> Option<(i64, String)> {
        let stored = self.model.acked.committed(group).into_iter();
        let mut stored = stored.filter(|(key, _)| key.topic == topic && key.partition == partition);
        stored.next().map(|(_, value)| (value.offset, value.metadata))
    }

    fn check_commit(&self, commit: &OffsetCommit, topic: &str, partition: i32) {
        let read_id = commit.topic_ids.get(topic);
        assert!(
            read_id.is_none_or(|id| *id == LIVING_TOPIC_ID),
            "a commit of a topic that is gone is refused"
        );
        let mut of_topic =
            commit.topics.iter().filter(|(name, _)| name == topic).flat_map(|(_, commits)| commits);
        let sent = of_topic.rfind(|sent| sent.partition == partition).expect("a reply to what was sent");
        let sent = Some((sent.offset, sent.metadata.clone().unwrap_or_default()));
        assert_eq!(
            self.committed(&commit.group, topic, partition),
            sent,
            "a commit that is confirmed is stored"
        );
    }

    fn check_fetched(&self, group: &str, topic: &str, fetched: &FetchedOffset) {
        let found = Some((fetched.offset, fetched.metadata.clone())).filter(|(offset, _)| *offset >= 0);
        assert_eq!(self.committed(group, topic, fetched.partition), found, "a fetch returns what is stored");
    }

    fn check_assignment(&self, sync: &SyncGroup, assignment: &[u8]) {
        let stored = self.model.acked.view(&sync.group).expect("the group of an assignment is stored");
        assert_eq!(stored.generation, sync.generation, "the stored generation of {}", sync.group);
        let member = stored.members.iter().find(|member| member.id == sync.member_id);
        let member = member.expect("a member that has an assignment is stored");
        assert_eq!(member.assignment, assignment, "the stored assignment of {}", member.id);
    }
}

/// Returns all groups as the checks of a history want them.
fn step_of(groups: &Groups, unix_ms: i64) -> Step {
    let ids: Vec<String> = groups.ids().map(str::to_owned).collect();
    Step {
        op: Op::Jump { ms: 0 },
        now: Now { monotonic_ms: 0, unix_ms },
        replies: Vec::new(),
        groups: ids.iter().map(|id| (id.clone(), groups.view(id))).collect(),
        offsets: ids.iter().map(|id| (id.clone(), groups.committed(id))).collect::<BTreeMap<_, _>>(),
        records: Vec::new(),
    }
}
