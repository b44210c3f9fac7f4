//! Carries out a history on a coordinator, and notes what comes out of each step.

use super::check::Checks;
use super::{Fate, Op, Settings};
use std::collections::{BTreeMap, VecDeque};
use vnotch_engine::group::{
    Append, AppendFailure, CommittedOffset, EncodedRecord, GroupView, Groups, Now, OffsetKey, Output, Reply,
    Token,
};

/// The most ticks that one time needs.
const TICKS_MAX: usize = 100;

/// The outcome of one step.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub op: Op,
    pub now: Now,
    pub replies: Vec<Reply>,
    /// Groups that the step names, with their state; all groups if it names none.
    pub groups: BTreeMap<String, Option<GroupView>>,
    pub offsets: BTreeMap<String, Vec<(OffsetKey, CommittedOffset)>>,
    /// Records that were appended in this step.
    pub records: Vec<EncodedRecord>,
}

/// A coordinator in the course of a history.
pub(crate) struct Run {
    pub settings: Settings,
    pub groups: Groups,
    pub now: Now,
    /// Records in the log.
    pub log: Vec<EncodedRecord>,
    /// Appends that have not ended, oldest first, with the fate that each meets once those before it have ended.
    pub open: VecDeque<(Append, Fate)>,
    pub checks: Checks,
}

impl Run {
    pub(crate) fn new(settings: Settings) -> Self {
        let now = Now { monotonic_ms: 1_000, unix_ms: settings.start_ms };
        let mut groups = Groups::new(settings.config.clone());
        groups.serve(now);
        let (log, open, checks) = (Vec::new(), VecDeque::new(), Checks::default());
        Self { settings, groups, now, log, open, checks }
    }

    /// Says whether the operation would append something.
    pub(crate) fn would_append(&self, op: &Op) -> bool {
        let mut groups = self.groups.clone();
        let out = match op {
            Op::Request { request, .. } => groups.handle((**request).clone(), self.now),
            Op::Advance { ms, .. } => return ticks_append(&mut groups, later(self.now, *ms)),
            Op::Expire { .. } => groups.expire(self.now),
            Op::AppendDone { .. } | Op::Jump { .. } | Op::Restart => return false,
        };
        !out.appends.is_empty()
    }

    /// Carries out one operation.
    pub(crate) fn step(&mut self, op: Op) -> Step {
        let logged = self.log.len();
        let mut replies = Vec::new();
        match &op {
            Op::Request { request, fate } => {
                self.checks.request(request);
                let out = self.groups.handle((**request).clone(), self.now);
                self.take(out, *fate, &mut replies);
            }
            Op::Advance { ms, fate } => {
                self.now = later(self.now, *ms);
                self.tick(*fate, &mut replies);
            }
            Op::Expire { fate } => {
                let out = self.groups.expire(self.now);
                self.take(out, *fate, &mut replies);
            }
            Op::Jump { ms } => self.now.unix_ms += ms,
            Op::AppendDone { fate, .. } => self.end_oldest(*fate, &mut replies),
            Op::Restart => self.restart(&mut replies),
        }
        replies.sort_by_key(|reply| reply.token);
        let named = named_groups(&op);
        let ids: Vec<String> = named.unwrap_or_else(|| self.groups.ids().map(str::to_owned).collect());
        let step = Step {
            now: self.now,
            groups: ids.iter().map(|id| (id.clone(), self.groups.view(id))).collect(),
            offsets: ids.iter().map(|id| (id.clone(), self.groups.committed(id))).collect(),
            records: self.log[logged..].to_vec(),
            replies,
            op,
        };
        self.checks.step(&step, &self.groups);
        step
    }

    /// Calls tick until nothing is due. A deadline that a tick sets for this very time is left to the next one: for example, a group
    /// whose last member has gone waits for no time at all.
    fn tick(&mut self, fate: Fate, replies: &mut Vec<Reply>) {
        for _ in 0..TICKS_MAX {
            let out = self.groups.tick(self.now);
            self.take(out, fate, replies);
            if !is_due(&self.groups, self.now) {
                return;
            }
        }
        panic!("ticks set deadlines for their own time without end");
    }

    /// Takes the effects of an input. Appends queue behind those that are open.
    fn take(&mut self, out: Output, fate: Fate, replies: &mut Vec<Reply>) {
        assert_eq!(out.next_deadline_ms, self.groups.next_deadline_ms());
        self.checks.replies(&out.replies, &self.groups);
        replies.extend(out.replies);
        for append in out.appends {
            self.checks.append(&append);
            self.open.push_back((append, fate));
        }
        self.end_ready(replies);
    }

    /// Ends appends up to the first that stays open.
    fn end_ready(&mut self, replies: &mut Vec<Reply>) {
        while let Some((_, fate)) = self.open.front()
            && *fate != Fate::Open
        {
            let fate = *fate;
            self.end_oldest(fate, replies);
        }
    }

    fn end_oldest(&mut self, fate: Fate, replies: &mut Vec<Reply>) {
        let Some((append, _)) = self.open.pop_front() else { return };
        let result = match fate {
            Fate::Ok | Fate::Open => Ok(()),
            Fate::Fails(failure) => Err(failure),
        };
        if result.is_ok() {
            append.records.iter().for_each(|record| self.checks.record(record));
            self.log.extend(append.records);
        }
        let out = self.groups.appended(append.id, result, self.now);
        // What continues is appended with success, so that a history cannot go round in circles.
        self.take(out, Fate::Ok, replies);
        self.end_ready(replies);
    }

    /// Gives the coordinator up. Open appends are lost. A new one loads the log.
    fn restart(&mut self, replies: &mut Vec<Reply>) {
        let out = self.groups.unload();
        self.checks.replies(&out.replies, &self.groups);
        replies.extend(out.replies);
        for (append, _) in self.open.drain(..) {
            let late = self.groups.appended(append.id, Err(AppendFailure::Storage), self.now);
            assert_eq!(late, Output::default(), "requests of an unloaded coordinator are answered already");
        }
        self.groups = load(&self.settings, &self.log);
        let out = self.groups.serve(self.now);
        self.take(out, Fate::Ok, replies);
    }

    /// Ends the history: all that waits is answered. Returns the requests that were parked.
    pub(crate) fn end(&mut self) -> Vec<Token> {
        let replies = self.groups.unload().replies;
        let mut tokens: Vec<Token> = replies.iter().map(|reply| reply.token).collect();
        tokens.sort_unstable();
        self.checks.end(&replies);
        tokens
    }
}

/// Returns a coordinator that has loaded a log, and does not serve yet.
pub(crate) fn load(settings: &Settings, log: &[EncodedRecord]) -> Groups {
    let mut groups = Groups::new(settings.config.clone());
    for record in log {
        groups.load(&record.key, record.value.as_deref()).unwrap();
    }
    groups
}

/// Says whether a tick at this time would do something.
fn is_due(groups: &Groups, now: Now) -> bool {
    groups.next_deadline_ms().is_some_and(|due_ms| due_ms <= now.monotonic_ms)
}

/// Says whether ticks append something until nothing is due.
fn ticks_append(groups: &mut Groups, now: Now) -> bool {
    for _ in 0..TICKS_MAX {
        if !groups.tick(now).appends.is_empty() {
            return true;
        }
        if !is_due(groups, now) {
            return false;
        }
    }
    panic!("ticks set deadlines for their own time without end");
}

fn later(now: Now, ms: u64) -> Now {
    Now { monotonic_ms: now.monotonic_ms + ms, unix_ms: now.unix_ms + i64::try_from(ms).unwrap() }
}

/// Returns the groups that an operation names; `None` if it concerns all.
fn named_groups(op: &Op) -> Option<Vec<String>> {
    use vnotch_engine::group::RequestBody as Body;
    let Op::Request { request, .. } = op else { return None };
    match &request.body {
        Body::DeleteGroups(delete) => Some(delete.groups.clone()),
        Body::DescribeGroups(describe) => Some(describe.groups.clone()),
        body => body.group().map(|group| vec![group.to_owned()]),
    }
}
