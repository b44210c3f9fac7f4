//! Heartbeats of all consumers of an engine, sent by one thread. So a member does not lose its session between polls.
//!
//! The thread only sends. The replies wait in the consumer's inbox until its next poll. A consumer that is not polled for
//! `max_poll_interval` leaves its group, as in Kafka. A caller whose poll stays pending is woken after half of that time, so
//! that one that still waits polls again.

use super::link::{Coordinator, HEARTBEAT};
use crate::clock::after;
use crate::group::{Heartbeat, LeaveGroup, LeavingMember, RequestBody};
use crate::shard::{GroupInbox, Ticket, wake_caller};
use crossbeam::channel::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Index of the tickets of requests whose replies nobody waits for.
const UNHEARD: usize = 2;

/// Time after which a heartbeat that found no room is sent again.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// A handle to the thread. The thread ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Heartbeats {
    members: channel::Sender<Weak<Beat>>,
}

/// The heartbeats of one consumer, shared with the thread.
#[derive(Debug)]
pub(super) struct Beat {
    coordinator: Coordinator,
    inbox: Arc<GroupInbox>,
    group: String,
    instance_id: Option<String>,
    interval: Duration,
    max_poll_interval: Duration,
    state: Mutex<BeatState>,
}

#[derive(Debug, Default)]
struct BeatState {
    /// Id and generation of the member; `None` while it is not in the group.
    member: Option<(String, i32)>,
    /// The end of the last poll; `None` before the first one, and during a poll.
    polled: Option<(Instant, PollEnd)>,
    /// The time at which the caller was woken since then, so that it polls again.
    woken_at: Option<Instant>,
    /// The time of the next heartbeat.
    due: Option<Instant>,
    /// Set when the consumer has left because it did not poll.
    has_left: bool,
}

/// The end of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PollEnd {
    /// The poll has returned something.
    Event,
    /// The poll is pending: the caller polls again once it is woken.
    Pending,
}

/// The settings of one consumer's heartbeats.
pub(super) struct BeatSettings {
    pub(super) coordinator: Coordinator,
    pub(super) inbox: Arc<GroupInbox>,
    pub(super) group: String,
    pub(super) instance_id: Option<String>,
    pub(super) interval: Duration,
    pub(super) max_poll_interval: Duration,
}

impl Heartbeats {
    /// Starts the thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (members, arriving) = channel::unbounded();
        std::thread::Builder::new().name("group-heartbeat".into()).spawn(move || run(&arriving))?;
        Ok(Self { members })
    }

    /// Adds a consumer. Its heartbeats end when it is dropped.
    pub(super) fn add(&self, settings: BeatSettings) -> Arc<Beat> {
        let BeatSettings { coordinator, inbox, group, instance_id, interval, max_poll_interval } = settings;
        let state = Mutex::default();
        let beat = Beat { coordinator, inbox, group, instance_id, interval, max_poll_interval, state };
        let beat = Arc::new(beat);
        // The thread runs while any sender exists, so sending succeeds.
        let _ = self.members.send(Arc::downgrade(&beat));
        beat
    }
}

fn run(arriving: &channel::Receiver<Weak<Beat>>) {
    let mut beats: Vec<Weak<Beat>> = Vec::new();
    loop {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        beats.retain(|beat| {
            let Some(beat) = beat.upgrade() else { return false };
            let due = beat.send_due(now);
            next = Some(next.map_or(due, |next| next.min(due)));
            true
        });
        let arrived = match next {
            Some(next) => arriving.recv_deadline(next),
            None => arriving.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match arrived {
            Ok(beat) => beats.push(beat),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// The reaction to a poll that does not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overdue {
    /// The caller is woken: it may wait for records that do not come.
    Wake,
    /// The member leaves its group.
    Leave,
}

impl BeatState {
    /// Returns the reaction that comes next if the caller does not poll, and its time. A caller that waits is woken first, and
    /// then has as long again.
    fn poll_due(&self, max_poll_interval: Duration) -> Option<(Instant, Overdue)> {
        let (since, end) = self.polled?;
        let (half, leaves_at) = (max_poll_interval / 2, after(since, max_poll_interval));
        Some(match (end, self.woken_at) {
            (PollEnd::Event, _) => (leaves_at, Overdue::Leave),
            (PollEnd::Pending, None) => (after(since, half), Overdue::Wake),
            (PollEnd::Pending, Some(woken_at)) => (leaves_at.max(after(woken_at, half)), Overdue::Leave),
        })
    }
}

impl Beat {
    fn state(&self) -> MutexGuard<'_, BeatState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends heartbeats for a member of a generation from now on, or none.
    pub(super) fn set_member(&self, member: Option<(String, i32)>) {
        let mut state = self.state();
        state.due = Some(after(Instant::now(), self.interval));
        state.member = member;
    }

    /// Notes that a poll begins. Returns whether the consumer has left its group since the last one.
    pub(super) fn poll_begins(&self) -> bool {
        let mut state = self.state();
        (state.polled, state.woken_at) = (None, None);
        std::mem::take(&mut state.has_left)
    }

    /// Notes that a poll has ended, so that the next one is expected.
    pub(super) fn poll_ends(&self, end: PollEnd) {
        self.state().polled = Some((Instant::now(), end));
    }

    /// Sends what is due. Returns the time of the next call.
    pub(super) fn send_due(&self, now: Instant) -> Instant {
        let mut state = self.state();
        let idle = after(now, self.interval);
        let Some((member_id, generation)) = state.member.clone() else { return idle };
        let wakes = matches!(state.poll_due(self.max_poll_interval), Some((at, Overdue::Wake)) if at <= now);
        if wakes {
            state.woken_at = Some(now);
        }
        let poll_due = state.poll_due(self.max_poll_interval);
        if matches!(poll_due, Some((at, Overdue::Leave)) if at <= now) {
            state.member = None;
            state.has_left = true;
            drop(state);
            self.send_leave(member_id);
            return idle;
        }
        let due = state.due.unwrap_or(now);
        let next = if due <= now {
            let is_sent = self.send_heartbeat(member_id, generation);
            after(now, if is_sent { self.interval } else { AGAIN_AFTER.min(self.interval) })
        } else {
            due
        };
        state.due = Some(next);
        // A waker may poll at once, and a poll takes the lock.
        drop(state);
        if wakes {
            wake_caller(&self.inbox.waker);
        }
        poll_due.map_or(next, |(at, _)| at.min(next))
    }

    fn send_heartbeat(&self, member_id: String, generation: i32) -> bool {
        let (group, instance_id) = (self.group.clone(), self.instance_id.clone());
        let body = RequestBody::Heartbeat(Heartbeat { group, generation, member_id, instance_id });
        let ticket = Ticket::new(generation.cast_unsigned(), HEARTBEAT);
        self.coordinator.send_aside(body, &self.inbox, ticket)
    }

    /// Sends a LeaveGroup whose reply nobody waits for. Static members stay until their session ends, as in Kafka.
    pub(super) fn send_leave(&self, member_id: String) {
        if self.instance_id.is_some() {
            return;
        }
        let members = vec![LeavingMember { member_id, instance_id: None }];
        let body = RequestBody::Leave(LeaveGroup { group: self.group.clone(), members });
        // If there is no room for it, the session ends by itself.
        let _ = self.coordinator.send_aside(body, &self.inbox, Ticket::new(0, UNHEARD));
    }
}
