//! The state of one group, with the rules that need nothing but this state.

mod java_order;
mod member;
mod member_bytes;
mod members;
mod offsets;
mod timers;
mod view;

pub(crate) use member::Member;
pub(crate) use member_bytes::{MemberBytes, protocols_bytes};
pub(crate) use members::Members;
pub(crate) use offsets::{Offsets, topics_behind};
pub(crate) use timers::{Deadline, Timer, Timers};
pub use view::{GroupView, MemberView};

use super::assign::subscribed_topics;
use super::error::GroupError;
use super::records::GroupValue;
use super::reply::JoinedMember;
use super::request::{Client, JoinGroup, Protocol};
use bytes::Bytes;
use java_order::in_java_order;
use std::collections::{BTreeMap, BTreeSet};

/// Protocol type of consumers.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// State of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupState {
    /// The group has no members. Such a group lives as long as it has offsets.
    Empty,
    /// The members are joining a new generation.
    PreparingRebalance,
    /// All members have joined. The assignment of the leader is missing, or not in the log yet.
    CompletingRebalance,
    /// Each member has its assignment.
    Stable,
    /// The group does not exist, or this coordinator has given it up.
    Dead,
}

impl GroupState {
    /// Returns Kafka's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// A consumer group.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub state: GroupState,
    /// The state before this one.
    pub previous: GroupState,
    /// Time of the last change of state, ms since the Unix epoch.
    pub since_ms: Option<i64>,
    /// Type of the members' protocols; `None` if the group never had members.
    pub protocol_type: Option<String>,
    /// The protocol of the current generation.
    pub protocol: Option<String>,
    pub generation: i32,
    /// Member id of the leader.
    pub leader: Option<String>,
    pub members: Members,
    /// Member ids of static members by group instance id.
    pub static_ids: BTreeMap<String, String>,
    /// Ids that were handed out with `MEMBER_ID_REQUIRED`, and have not joined yet.
    pub pending: BTreeSet<String>,
    /// Members of this generation that have not sent a SyncGroup yet.
    pub pending_sync: BTreeSet<String>,
    /// Topics that the members subscribe to, if their metadata tells.
    pub subscribed: Option<BTreeSet<String>>,
    /// A member has joined since the initial delay was last extended.
    pub has_new_member: bool,
    /// The record of this generation is being appended.
    pub is_assignment_in_flight: bool,
    /// The value of the last record of this group that was applied.
    pub durable: Option<GroupValue>,
}

impl Group {
    /// Returns the group of a record. Its members are in a stable generation.
    pub(crate) fn recorded(value: GroupValue) -> Self {
        let is_empty = value.members.is_empty();
        let mut group = Self {
            state: if is_empty { GroupState::Empty } else { GroupState::Stable },
            previous: GroupState::Dead,
            since_ms: value.since_ms,
            protocol_type: Some(value.protocol_type.clone()).filter(|name| !name.is_empty()),
            protocol: value.protocol.clone(),
            generation: value.generation,
            leader: value.leader.clone(),
            members: Members::new(),
            static_ids: BTreeMap::new(),
            pending: BTreeSet::new(),
            pending_sync: BTreeSet::new(),
            subscribed: None,
            has_new_member: false,
            is_assignment_in_flight: false,
            durable: None,
        };
        for member in &value.members {
            if !group.members.contains(&member.id) {
                group.add(Member::recorded(member, value.protocol.as_deref()));
            }
        }
        group.subscribed = group.subscribed_topics();
        group.durable = Some(value);
        group
    }

    /// Returns a group that only holds offsets. No record of its own stands in the log.
    pub(crate) fn simple() -> Self {
        Self::recorded(GroupValue::without_members(None))
    }

    /// Returns the value of a record of this group, with `assignments` by member id.
    pub(crate) fn to_value(&self, assignments: &BTreeMap<String, Bytes>) -> GroupValue {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let members = self.members.in_order().into_iter().map(|member| {
            member.to_value(protocol, assignments.get(&member.id).cloned().unwrap_or_default())
        });
        GroupValue {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since_ms: self.since_ms,
            members: members.collect(),
        }
    }

    /// Says whether the group is in `state`.
    pub(crate) fn is(&self, state: GroupState) -> bool {
        self.state == state
    }

    /// Says whether the member leads the group.
    pub(crate) fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Says whether the protocols are those of consumers.
    pub(crate) fn is_of_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// Says whether offsets of the topic are in use. A group of consumers whose metadata cannot be read may use each topic.
    pub(crate) fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.as_ref().map_or_else(|| self.is_of_consumers(), |topics| topics.contains(topic))
    }

    /// Says whether a member with these protocols can be in the group.
    pub(crate) fn supports(&self, request: &JoinGroup) -> bool {
        let (protocol_type, protocols) = (&request.protocol_type, &request.protocols);
        if self.is(GroupState::Empty) {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_ref() == Some(protocol_type)
            && protocols.iter().any(|protocol| self.members.all_support(&protocol.name))
    }

    /// Returns the bytes that all members have once the member `id` has joined with a request. It takes the place of the member
    /// `earlier`, if there is one.
    pub(crate) fn bytes_after_join(
        &self,
        earlier: &str,
        (id, client, request): (&str, &Client, &JoinGroup),
    ) -> MemberBytes {
        let mut bytes = self.members.bytes();
        match self.members.get(earlier) {
            Some(member) => {
                bytes -= MemberBytes::of(member);
                bytes += MemberBytes::after_join(member, id, request);
            }
            None => bytes += MemberBytes::of_new(id, client, request),
        }
        bytes
    }

    /// Says whether each member has joined, and each id that was handed out is used.
    pub(crate) fn has_all_joined(&self) -> bool {
        self.members.len() == self.members.awaiting_join() && self.pending.is_empty()
    }

    /// Returns the longest rebalance timeout of a member, ms. Clients may ask for 0 or less, and Kafka then waits for nobody. If
    /// all members do, the longest session timeout counts here, as in the first version of JoinGroup. Otherwise a group of static
    /// members would end its join phase again and again without a pause. A group without members waits for nobody: 0, as in Kafka.
    pub(crate) fn rebalance_timeout_ms(&self) -> u64 {
        let longest = |timeout_ms: fn(&Member) -> i32| self.members.iter().map(timeout_ms).max();
        let asked_ms = longest(|member| member.rebalance_timeout_ms).filter(|asked_ms| *asked_ms > 0);
        let longest_ms = asked_ms.or_else(|| longest(|member| member.session_timeout_ms));
        longest_ms.map_or(0, |longest_ms| u64::try_from(longest_ms).unwrap_or(0).max(1))
    }

    /// Checks that the member is in the group under the ids of a request.
    pub(crate) fn check_member(&self, id: &str, instance_id: Option<&str>) -> Result<(), GroupError> {
        if let Some(instance_id) = instance_id {
            match self.static_ids.get(instance_id) {
                None => return Err(GroupError::UnknownMemberId),
                Some(current) if current != id => return Err(GroupError::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains(id) { Ok(()) } else { Err(GroupError::UnknownMemberId) }
    }

    /// Checks that the member is in the group, and then that it is in this generation.
    pub(crate) fn check_generation(
        &self,
        id: &str,
        instance_id: Option<&str>,
        generation: i32,
    ) -> Result<(), GroupError> {
        self.check_member(id, instance_id)?;
        if generation == self.generation { Ok(()) } else { Err(GroupError::IllegalGeneration) }
    }

    /// Moves to `state`.
    pub(crate) fn move_to(&mut self, state: GroupState, unix_ms: i64) {
        self.previous = std::mem::replace(&mut self.state, state);
        self.since_ms = Some(unix_ms);
    }

    /// Adds a member. The first one decides the protocol type and leads.
    pub(crate) fn add(&mut self, member: Member) {
        if let Some(instance_id) = &member.instance_id {
            self.static_ids.insert(instance_id.clone(), member.id.clone());
        }
        self.pending.remove(&member.id);
        self.leader.get_or_insert_with(|| member.id.clone());
        self.members.insert(member);
    }

    /// Removes a member, or an id that was handed out. If the leader goes, the next member leads.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Member> {
        let removed = self.members.remove(id);
        if let Some(instance_id) = removed.as_ref().and_then(|member| member.instance_id.as_ref()) {
            self.static_ids.remove(instance_id);
        }
        if self.is_leader(id) {
            self.leader = self.members.in_order().first().map(|member| member.id.clone());
        }
        self.pending.remove(id);
        self.pending_sync.remove(id);
        removed
    }

    /// Gives a static member a new id. Returns the member as it was.
    pub(crate) fn replace_id(&mut self, old_id: &str, new_id: &str) -> Option<Member> {
        let old = self.members.remove(old_id)?;
        let (join, sync) = (None, None);
        self.members.insert(Member { id: new_id.to_owned(), join, sync, is_new: false, ..old.clone() });
        if self.is_leader(old_id) {
            self.leader = Some(new_id.to_owned());
        }
        if let Some(instance_id) = &old.instance_id {
            self.static_ids.insert(instance_id.clone(), new_id.to_owned());
        }
        Some(old)
    }

    /// Takes over what a member sends when it joins again.
    pub(crate) fn update(&mut self, id: &str, request: &JoinGroup) {
        self.members.set_protocols(id, request.protocols.clone());
        if let Some(member) = self.members.get_mut(id) {
            member.rebalance_timeout_ms = request.rebalance_timeout_ms;
            member.session_timeout_ms = request.session_timeout_ms;
        }
    }

    /// Makes a member lead that has joined. Returns whether one does.
    pub(crate) fn elect_joined_leader(&mut self) -> bool {
        let has_joined = |id: &str| self.members.get(id).is_some_and(|member| member.join.is_some());
        let Some(leader) = self.leader.as_deref() else { return false };
        if has_joined(leader) {
            return true;
        }
        let next = self.members.in_order().into_iter().find(|member| member.join.is_some());
        let next = next.map(|member| member.id.clone());
        let is_found = next.is_some();
        self.leader = next.or_else(|| self.leader.take());
        is_found
    }

    /// Begins the next generation with the members that are there.
    pub(crate) fn next_generation(&mut self, unix_ms: i64) {
        self.generation = self.generation.wrapping_add(1);
        self.protocol = self.select_protocol();
        self.subscribed = self.subscribed_topics();
        self.pending_sync.clear();
        let state = if self.members.is_empty() { GroupState::Empty } else { GroupState::CompletingRebalance };
        self.move_to(state, unix_ms);
    }

    /// Returns the protocol that most members prefer among those that each supports; `None` without members.
    pub(crate) fn select_protocol(&self) -> Option<String> {
        let mut votes: Vec<(&str, usize)> = Vec::new();
        for member in self.members.in_order() {
            let supported = |protocol: &&Protocol| self.members.all_support(&protocol.name);
            let Some(choice) = member.protocols.iter().find(supported) else { continue };
            match votes.iter_mut().find(|(name, _)| *name == choice.name) {
                Some((_, count)) => *count += 1,
                None => votes.push((&choice.name, 1)),
            }
        }
        let most = votes.iter().map(|(_, count)| *count).max()?;
        let names = in_java_order(votes.iter().map(|(name, _)| *name));
        let is_winner = |name: &&str| votes.iter().any(|(vote, count)| vote == name && *count == most);
        names.into_iter().find(is_winner).map(str::to_owned)
    }

    /// Returns the topics that the members' metadata names; `None` if the protocols are not those of consumers, or the metadata
    /// of one member cannot be read.
    fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_of_consumers() {
            return None;
        }
        if self.members.is_empty() {
            return Some(BTreeSet::new());
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.iter() {
            topics.extend(subscribed_topics(&member.metadata(protocol))?);
        }
        Some(topics)
    }

    /// Returns the members as the leader sees them.
    pub(crate) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |member: &Member| JoinedMember {
            id: member.id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(protocol),
        };
        self.members.in_order().into_iter().map(member).collect()
    }
}
