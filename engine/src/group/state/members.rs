//! The members of a group, with the counts and the order that decisions need.

use super::java_order::Buckets;
use super::member::Member;
use super::member_bytes::MemberBytes;
use crate::group::request::{Protocol, Token};
use std::collections::BTreeMap;

/// A member and its place in the order of insertion.
#[derive(Debug, Clone)]
struct Entry {
    member: Member,
    inserted: u64,
}

/// The members of a group.
#[derive(Debug, Clone)]
pub(crate) struct Members {
    by_id: BTreeMap<String, Entry>,
    /// Insertions since the group was made.
    insertions: u64,
    buckets: Buckets,
    /// Members with a parked JoinGroup.
    awaiting_join: usize,
    /// How many members support each protocol.
    supporters: BTreeMap<String, usize>,
    bytes: MemberBytes,
}

impl Members {
    /// Returns no members.
    pub(crate) const fn new() -> Self {
        Self {
            by_id: BTreeMap::new(),
            insertions: 0,
            buckets: Buckets::new(),
            awaiting_join: 0,
            supporters: BTreeMap::new(),
            bytes: MemberBytes { in_record: 0, of_protocols: 0 },
        }
    }

    /// Returns the number of members.
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Says whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Returns the bytes of all members.
    pub(crate) const fn bytes(&self) -> MemberBytes {
        self.bytes
    }

    /// Returns the number of members with a parked JoinGroup.
    pub(crate) const fn awaiting_join(&self) -> usize {
        self.awaiting_join
    }

    /// Says whether the group has the member.
    pub(crate) fn contains(&self, id: &str) -> bool {
        self.by_id.contains_key(id)
    }

    /// Returns the member with the id.
    pub(crate) fn get(&self, id: &str) -> Option<&Member> {
        self.by_id.get(id).map(|entry| &entry.member)
    }

    /// Returns the member with the id, for changes to its assignment, its SyncGroup and its timeouts. Protocols and the JoinGroup
    /// have methods of their own, because they are counted. Names are counted too, and never change.
    pub(crate) fn get_mut(&mut self, id: &str) -> Option<&mut Member> {
        self.by_id.get_mut(id).map(|entry| &mut entry.member)
    }

    /// Returns the members by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.by_id.values().map(|entry| &entry.member)
    }

    /// Returns the members by id, for changes to their assignments and SyncGroups.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Member> {
        self.by_id.values_mut().map(|entry| &mut entry.member)
    }

    /// Returns the members in the order in which Kafka walks them.
    pub(crate) fn in_order(&self) -> Vec<&Member> {
        let mut entries: Vec<(u32, u64, &Member)> = self
            .by_id
            .iter()
            .map(|(id, entry)| (self.buckets.of(id), entry.inserted, &entry.member))
            .collect();
        entries.sort_unstable_by_key(|(bucket, inserted, _)| (*bucket, *inserted));
        entries.into_iter().map(|(_, _, member)| member).collect()
    }

    /// Returns the ids in the order in which Kafka walks them.
    pub(crate) fn ids_in_order(&self) -> Vec<String> {
        self.in_order().into_iter().map(|member| member.id.clone()).collect()
    }

    /// Adds a member. An earlier one with the id must have been removed.
    pub(crate) fn insert(&mut self, member: Member) {
        self.count_protocols(&member.protocols, 1);
        self.bytes += MemberBytes::of(&member);
        self.awaiting_join += usize::from(member.join.is_some());
        self.insertions += 1;
        let entry = Entry { inserted: self.insertions, member };
        let earlier = self.by_id.insert(entry.member.id.clone(), entry);
        assert!(earlier.is_none(), "a member is inserted once");
        self.buckets.grow(self.by_id.len());
    }

    /// Removes a member.
    pub(crate) fn remove(&mut self, id: &str) -> Option<Member> {
        let member = self.by_id.remove(id)?.member;
        self.count_protocols(&member.protocols, -1);
        self.bytes -= MemberBytes::of(&member);
        self.awaiting_join -= usize::from(member.join.is_some());
        Some(member)
    }

    /// Parks a JoinGroup of the member. Returns the one that was parked before.
    pub(crate) fn park_join(&mut self, id: &str, token: Token) -> Option<Token> {
        let earlier = self.by_id.get_mut(id)?.member.join.replace(token);
        self.awaiting_join += usize::from(earlier.is_none());
        earlier
    }

    /// Takes the parked JoinGroup of the member.
    pub(crate) fn take_join(&mut self, id: &str) -> Option<Token> {
        let token = self.by_id.get_mut(id)?.member.join.take()?;
        self.awaiting_join -= 1;
        Some(token)
    }

    /// Replaces the protocols of the member. Each name may be there once.
    pub(crate) fn set_protocols(&mut self, id: &str, protocols: Vec<Protocol>) {
        let Some(entry) = self.by_id.get_mut(id) else { return };
        self.bytes -= MemberBytes::of(&entry.member);
        let earlier = std::mem::replace(&mut entry.member.protocols, protocols.clone());
        self.bytes += MemberBytes::of(&entry.member);
        self.count_protocols(&earlier, -1);
        self.count_protocols(&protocols, 1);
    }

    /// Says whether each member supports the protocol. With no members that holds for each protocol without supporters.
    pub(crate) fn all_support(&self, protocol: &str) -> bool {
        self.supporters.get(protocol).copied().unwrap_or(0) == self.len()
    }

    fn count_protocols(&mut self, protocols: &[Protocol], change: isize) {
        for protocol in protocols {
            let count = self.supporters.entry(protocol.name.clone()).or_default();
            *count = count.saturating_add_signed(change);
            if *count == 0 {
                self.supporters.remove(&protocol.name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::request::Client;

    fn member(id: &str) -> Member {
        Member {
            id: id.to_owned(),
            instance_id: None,
            client: Client::default(),
            rebalance_timeout_ms: 1,
            session_timeout_ms: 1,
            protocols: Vec::new(),
            assignment: bytes::Bytes::new(),
            join: None,
            sync: None,
            is_new: false,
        }
    }

    #[test]
    fn members_are_walked_in_javas_order_and_one_that_comes_back_is_the_last_of_its_bucket() {
        let mut members = Members::new();
        for id in ["BB", "Aa", "b", "a"] {
            members.insert(member(id));
        }
        assert_eq!(members.ids_in_order(), ["BB", "Aa", "a", "b"]);
        members.remove("BB");
        members.insert(member("BB"));
        assert_eq!(members.ids_in_order(), ["Aa", "BB", "a", "b"]);
    }
}
