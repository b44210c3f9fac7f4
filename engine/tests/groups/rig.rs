//! Drives a coordinator request by request.

use bytes::Bytes;
use vnotch_engine::group::{
    Append, AppendFailure, Client, EncodedRecord, FetchedOffset, GroupConfig, GroupError, GroupState, Groups,
    Heartbeat, JoinGroup, JoinReply, Joined, LeaveGroup, LeavingMember, Now, OffsetCommit, OffsetFetch,
    Output, PartitionCommit, Protocol, Reply, ReplyBody, Request, RequestBody, Subscription, SyncGroup,
    Synced, Token,
};

/// The most ticks that one time needs.
const TICKS_MAX: usize = 100;

/// The group of these tests.
pub(crate) const GROUP: &str = "register-orders-billing-group";
/// Session timeout of members, ms.
pub(crate) const SESSION_MS: u64 = 10_000;
/// Rebalance timeout of members, ms.
pub(crate) const REBALANCE_MS: u64 = 30_000;

/// A coordinator, its clock and its log.
pub(crate) struct Rig {
    pub groups: Groups,
    pub now: Now,
    pub log: Vec<EncodedRecord>,
    /// Appends that have not ended.
    pub open: Vec<Append>,
    /// Replies that nobody has taken yet.
    pub replies: Vec<Reply>,
    tokens: u64,
}

/// A member, as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub id: String,
    pub instance_id: Option<String>,
    pub generation: i32,
}

impl Rig {
    /// Returns a coordinator without a delay of the initial rebalance.
    pub(crate) fn new() -> Self {
        Self::with(GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() })
    }

    pub(crate) fn with(config: GroupConfig) -> Self {
        let now = Now { monotonic_ms: 5_000, unix_ms: 1_700_000_000_000 };
        let mut groups = Groups::new(config);
        groups.serve(now);
        Self { groups, now, log: Vec::new(), open: Vec::new(), replies: Vec::new(), tokens: 0 }
    }

    /// Takes what comes out of an input. Appends stay open.
    fn take(&mut self, out: Output) {
        self.replies.extend(out.replies);
        self.open.extend(out.appends);
    }

    /// Sends a request. Appends stay open.
    pub(crate) fn send(&mut self, api_version: i16, body: RequestBody) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        let client = Client { id: "client".to_owned(), host: "/127.0.0.1".to_owned() };
        let out = self.groups.handle(Request { token, client, api_version, body }, self.now);
        self.take(out);
        token
    }

    /// Ends all open appends, and those that follow.
    pub(crate) fn end_appends(&mut self, result: Result<(), AppendFailure>) {
        while !self.open.is_empty() {
            let append = self.open.remove(0);
            if result.is_ok() {
                self.log.extend(append.records);
            }
            let out = self.groups.appended(append.id, result, self.now);
            self.take(out);
        }
    }

    /// Sends a request, and ends its appends.
    pub(crate) fn call(&mut self, api_version: i16, body: RequestBody) -> Token {
        let token = self.send(api_version, body);
        self.end_appends(Ok(()));
        token
    }

    /// Lets time pass, and ends the appends of that. A tick can set deadlines for this very time, which are left to the next one.
    pub(crate) fn wait(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.unix_ms += i64::try_from(ms).unwrap();
        for _ in 0..TICKS_MAX {
            let out = self.groups.tick(self.now);
            self.take(out);
            self.end_appends(Ok(()));
            if self.groups.next_deadline_ms().is_none_or(|due_ms| due_ms > self.now.monotonic_ms) {
                return;
            }
        }
        panic!("ticks set deadlines for their own time without end");
    }

    /// Takes the reply to a request, if there is one.
    pub(crate) fn reply(&mut self, token: Token) -> Option<ReplyBody> {
        let place = self.replies.iter().position(|reply| reply.token == token)?;
        Some(self.replies.remove(place).body)
    }

    pub(crate) fn join_reply(&mut self, token: Token) -> Option<JoinReply> {
        self.reply(token).map(|body| match body {
            ReplyBody::Join(reply) => reply,
            other => panic!("{other:?} is no reply to a join"),
        })
    }

    /// Takes the generation that a join has led to.
    pub(crate) fn joined(&mut self, token: Token) -> Joined {
        self.join_reply(token).expect("the join has its reply").outcome.expect("the join succeeds")
    }

    /// Takes the error of a join.
    pub(crate) fn join_error(&mut self, token: Token) -> GroupError {
        self.join_reply(token).expect("the join has its reply").outcome.expect_err("the join fails")
    }

    /// Takes the reply of a sync.
    pub(crate) fn synced(&mut self, token: Token) -> Option<Result<Synced, GroupError>> {
        self.reply(token).map(|body| match body {
            ReplyBody::Sync(outcome) => outcome,
            other => panic!("{other:?} is no reply to a sync"),
        })
    }

    /// Returns the first member of the group.
    pub(crate) fn member(&self) -> Member {
        let view = self.groups.view(GROUP).unwrap();
        let first = &view.members[0];
        Member { id: first.id.clone(), instance_id: first.instance_id.clone(), generation: view.generation }
    }

    pub(crate) fn state(&self) -> Option<GroupState> {
        self.groups.view(GROUP).map(|view| view.state)
    }

    pub(crate) fn heartbeat(&mut self, member: &Member) -> Result<(), GroupError> {
        let request = Heartbeat {
            group: GROUP.to_owned(),
            generation: member.generation,
            member_id: member.id.clone(),
            instance_id: member.instance_id.clone(),
        };
        let token = self.call(4, RequestBody::Heartbeat(request));
        match self.reply(token).unwrap() {
            ReplyBody::Heartbeat(outcome) => outcome,
            other => panic!("{other:?} is no reply to a heartbeat"),
        }
    }

    /// Sends a Heartbeat, and leaves appends open.
    pub(crate) fn heartbeat_without_append(&mut self, member: &Member) -> Result<(), GroupError> {
        let open = std::mem::take(&mut self.open);
        let outcome = self.heartbeat(member);
        self.open = open;
        outcome
    }

    /// Removes a static member by its instance id alone.
    pub(crate) fn leave_as_operator(&mut self, instance_id: &str) {
        let leaving = LeavingMember { member_id: String::new(), instance_id: Some(instance_id.to_owned()) };
        self.call(5, RequestBody::Leave(LeaveGroup { group: GROUP.to_owned(), members: vec![leaving] }));
    }

    /// Sends a LeaveGroup of one member.
    pub(crate) fn leave(&mut self, member: &Member) {
        let leaving = LeavingMember { member_id: member.id.clone(), instance_id: member.instance_id.clone() };
        self.call(5, RequestBody::Leave(LeaveGroup { group: GROUP.to_owned(), members: vec![leaving] }));
    }

    /// Joins members with a JoinGroup that needs no id, and syncs them. The first one leads.
    pub(crate) fn stable(&mut self, count: usize) -> Vec<Member> {
        let tokens: Vec<Token> = (0..count).map(|_| self.call(0, join("", None))).collect();
        self.wait(0);
        // The first one was in a generation of its own.
        if count > 1 && self.state() != Some(GroupState::CompletingRebalance) {
            self.wait(REBALANCE_MS);
        }
        let mut members = Vec::new();
        for token in tokens {
            let reply = self.join_reply(token).unwrap();
            let generation = reply.outcome.unwrap().generation;
            members.push(Member { id: reply.member_id, instance_id: None, generation });
        }
        self.sync_all(&members);
        members
    }

    /// Syncs all members; the first one leads. Each gets its own id as its assignment.
    pub(crate) fn sync_all(&mut self, members: &[Member]) {
        let assignments: Vec<(String, Bytes)> =
            members.iter().map(|member| (member.id.clone(), Bytes::from(member.id.clone()))).collect();
        let leader = self.groups.view(GROUP).unwrap().leader.unwrap();
        for member in members {
            let assignments = if member.id == leader { assignments.clone() } else { Vec::new() };
            self.call(5, sync(member, assignments));
        }
        self.replies.clear();
        assert_eq!(self.state(), Some(GroupState::Stable));
    }

    pub(crate) fn commit(&mut self, member: &Member, offset: i64) -> Result<(), GroupError> {
        let token = self.call(9, commit(member, offset, None));
        match self.reply(token).unwrap() {
            ReplyBody::OffsetCommit(topics) => topics[0].1[0].1,
            other => panic!("{other:?} is no reply to a commit"),
        }
    }

    /// Returns the committed offset of `orders-0`.
    pub(crate) fn fetch(&mut self) -> FetchedOffset {
        let topics = Some(vec![("orders".to_owned(), vec![0])]);
        let token = self.send(8, RequestBody::OffsetFetch(OffsetFetch { group: GROUP.to_owned(), topics }));
        match self.reply(token).unwrap() {
            ReplyBody::OffsetFetch(Ok(topics)) => topics[0].1[0].clone(),
            other => panic!("{other:?} is no reply to a fetch"),
        }
    }
}

/// The identity of a consumer that assigns partitions to itself.
pub(crate) fn nobody() -> Member {
    Member { id: String::new(), instance_id: None, generation: -1 }
}

/// Returns the protocols of a consumer of `orders`.
pub(crate) fn protocols(names: &[&str]) -> Vec<Protocol> {
    let subscription = Subscription { topics: vec!["orders".to_owned()], ..Subscription::default() };
    let metadata = Bytes::from(subscription.encode(3));
    names.iter().map(|name| Protocol { name: (*name).to_owned(), metadata: metadata.clone() }).collect()
}

/// Returns a JoinGroup of a consumer.
pub(crate) fn join(member_id: &str, instance_id: Option<&str>) -> RequestBody {
    use std::sync::atomic::{AtomicU64, Ordering};
    static DRAWN: AtomicU64 = AtomicU64::new(1);
    RequestBody::Join(JoinGroup {
        group: GROUP.to_owned(),
        member_id: member_id.to_owned(),
        instance_id: instance_id.map(str::to_owned),
        random: u128::from(DRAWN.fetch_add(1, Ordering::Relaxed)),
        protocol_type: "consumer".to_owned(),
        protocols: protocols(&["range", "roundrobin"]),
        session_timeout_ms: i32::try_from(SESSION_MS).unwrap(),
        rebalance_timeout_ms: i32::try_from(REBALANCE_MS).unwrap(),
    })
}

/// Returns a SyncGroup.
pub(crate) fn sync(member: &Member, assignments: Vec<(String, Bytes)>) -> RequestBody {
    RequestBody::Sync(SyncGroup {
        group: GROUP.to_owned(),
        generation: member.generation,
        member_id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        protocol_type: None,
        protocol: None,
        assignments,
    })
}

/// Returns an OffsetCommit for `orders-0`.
pub(crate) fn commit(member: &Member, offset: i64, metadata: Option<String>) -> RequestBody {
    let commit = PartitionCommit { partition: 0, offset, leader_epoch: 7, metadata };
    RequestBody::OffsetCommit(OffsetCommit {
        group: GROUP.to_owned(),
        generation: member.generation,
        member_id: member.id.clone(),
        instance_id: member.instance_id.clone(),
        retention_ms: None,
        topic_ids: std::collections::BTreeMap::new(),
        topics: vec![("orders".to_owned(), vec![commit])],
    })
}
