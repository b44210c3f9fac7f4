//! A consumer in a group whose coordinator the test plays: it holds requests back, and answers when the test says so.

use super::consumer::Phase;
use super::heartbeats::{BeatSettings, PollEnd};
use super::link::RETRY_AFTER;
use super::{AutoOffsetReset, GroupConsumer, GroupConsumerConfig, GroupEvent, Heartbeats, Subscribe};
use crate::client::{LingerTimer, OpenTopic, Remote, RemoteDirectory, Topics};
use crate::config::TopicConfig;
use crate::group::{GroupConfig, GroupError, GroupState, Groups, Now, Request, RequestBody, Token};
use crate::shard::{GroupCall, GroupReply, Mailbox, OFFSETS_TOPIC};
use crate::types::TopicPartition;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Longest wait for something that happens within milliseconds on a quiet machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A coordinator without a log: what it appends is stored at once.
struct Played {
    mailbox: Arc<Mailbox>,
    directory: RemoteDirectory,
    heartbeats: Heartbeats,
    groups: Groups,
    begun: Instant,
    callers: BTreeMap<Token, GroupReply>,
    last: u64,
}

impl Played {
    /// Makes a coordinator, and topics with their numbers of partitions.
    fn new(topics_to_make: &[(&str, usize)]) -> Self {
        let mailbox = Arc::new(Mailbox::new(0, 1 << 20));
        let (timer, _) = LingerTimer::start().unwrap();
        let topics: Arc<Topics> = Arc::default();
        for (id, (name, count)) in (1..).zip([(OFFSETS_TOPIC, 1)].iter().chain(topics_to_make)) {
            let places = (0..*count).map(|slot| (0, slot)).collect();
            let open = OpenTopic { id, created_in: 0, config: TopicConfig::default(), places };
            topics.write().insert((*name).to_owned(), open);
        }
        let ports = [Remote { mailbox: Arc::clone(&mailbox), timer }].into();
        let config = GroupConfig { initial_rebalance_delay_ms: 0, ..GroupConfig::default() };
        let mut groups = Groups::new(config);
        groups.serve(Now { monotonic_ms: 0, unix_ms: 0 });
        Self {
            mailbox,
            directory: RemoteDirectory { topics, ports },
            heartbeats: Heartbeats::start().unwrap(),
            groups,
            begun: Instant::now(),
            callers: BTreeMap::new(),
            last: 0,
        }
    }

    fn member(&self) -> GroupConsumer {
        let heartbeat_interval = Duration::from_millis(10);
        self.member_with(GroupConsumerConfig { heartbeat_interval, ..GroupConsumerConfig::new("g") })
    }

    fn member_with(&self, config: GroupConsumerConfig) -> GroupConsumer {
        let config = GroupConsumerConfig { auto_offset_reset: AutoOffsetReset::Earliest, ..config };
        let subscribe = Subscribe::topics(["t", "u"]);
        GroupConsumer::new(config, subscribe, self.directory.clone(), &self.heartbeats).unwrap()
    }

    fn now(&self) -> Now {
        let passed_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap();
        Now { monotonic_ms: passed_ms, unix_ms: i64::try_from(passed_ms).unwrap() }
    }

    /// Handles a request. All its effects take place at once.
    fn serve(&mut self, call: GroupCall) {
        self.last += 1;
        let token = Token(self.last);
        self.callers.insert(token, call.reply);
        let request = Request { token, client: call.client, api_version: call.api_version, body: call.body };
        let now = self.now();
        let mut outputs = vec![self.groups.handle(request, now), self.groups.tick(now)];
        while let Some(output) = outputs.pop() {
            for reply in output.replies {
                self.callers.remove(&reply.token).unwrap().send(Ok(reply.body));
            }
            for append in output.appends {
                outputs.push(self.groups.appended(append.id, Ok(()), now));
            }
        }
    }

    /// Serves all requests that have arrived, except for those that `is_held`, which it returns.
    fn turn(&mut self, is_held: impl Fn(&RequestBody) -> bool) -> Vec<GroupCall> {
        let mut held = Vec::new();
        while let Some(call) = self.mailbox.take_group_call() {
            if is_held(&call.body) { held.push(call) } else { self.serve(call) }
        }
        held
    }

    /// Polls `consumer` until it has begun a rebalance of its group.
    fn begin_to_join(&mut self, consumer: &mut GroupConsumer) {
        let begun = Instant::now();
        while self.groups.view("g").unwrap().state != GroupState::PreparingRebalance {
            assert!(begun.elapsed() < PATIENCE);
            poll(consumer);
            self.turn(is_nothing);
        }
    }

    /// Polls `consumer` and serves until a request that `is_held` arrives. Returns it.
    fn drive_until(
        &mut self,
        consumer: &mut GroupConsumer,
        is_held: impl Fn(&RequestBody) -> bool,
    ) -> (GroupCall, Vec<GroupEvent>) {
        let (begun, mut events) = (Instant::now(), Vec::new());
        loop {
            assert!(begun.elapsed() < PATIENCE, "{events:?}");
            events.extend(poll(consumer));
            if let Some(call) = self.turn(&is_held).pop() {
                return (call, events);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Polls a consumer until it has nothing to say. Returns its events.
fn poll(consumer: &mut GroupConsumer) -> Vec<GroupEvent> {
    let context = &mut Context::from_waker(Waker::noop());
    let next = || match consumer.poll(context) {
        Poll::Ready(event) => Some(event.unwrap()),
        Poll::Pending => None,
    };
    std::iter::from_fn(next).collect()
}

const fn is_join(body: &RequestBody) -> bool {
    matches!(body, RequestBody::Join(_))
}

const fn is_offset_fetch(body: &RequestBody) -> bool {
    matches!(body, RequestBody::OffsetFetch(_))
}

const fn is_commit(body: &RequestBody) -> bool {
    matches!(body, RequestBody::OffsetCommit(_))
}

const fn is_nothing(_: &RequestBody) -> bool {
    false
}

fn partition(topic: &str) -> TopicPartition {
    TopicPartition { topic: topic.into(), partition: 0 }
}

#[test]
fn partitions_of_a_generation_that_is_over_are_not_taken_up() {
    let mut played = Played::new(&[("t", 2)]);
    let (mut first, mut second) = (played.member(), played.member());
    let (offsets, _) = played.drive_until(&mut first, is_offset_fetch);
    assert!(
        first.is_rebalancing(),
        "the first member has both partitions, and does not know where they begin"
    );
    // A heartbeat says that the second member has joined, and the first one joins, too.
    played.begin_to_join(&mut second);
    let (join, events) = played.drive_until(&mut first, is_join);
    assert!(events.is_empty(), "{events:?}");
    // The answer of the old generation arrives. The next generation may give the partitions to the other member.
    played.serve(offsets);
    let events = poll(&mut first);
    assert!(events.is_empty() && first.assignment().is_empty(), "{events:?}");
    played.serve(join);
    let begun = Instant::now();
    while first.assignment().len() != 1 || second.assignment().len() != 1 {
        assert!(begun.elapsed() < PATIENCE);
        poll(&mut first);
        poll(&mut second);
        played.turn(is_nothing);
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_ne!(first.assignment(), second.assignment());
}

#[test]
fn offsets_of_a_topic_that_was_created_again_meanwhile_are_asked_for_anew() {
    let mut played = Played::new(&[("t", 1)]);
    let mut consumer = played.member();
    let (offsets, _) = played.drive_until(&mut consumer, is_offset_fetch);
    // Another topic has the name before the answer arrives.
    played.directory.topics.write().get_mut("t").unwrap().id = 7;
    played.serve(offsets);
    let events = poll(&mut consumer);
    assert!(consumer.assignment().is_empty(), "{events:?}");
    let (offsets, _) = played.drive_until(&mut consumer, is_offset_fetch);
    played.serve(offsets);
    let events = poll(&mut consumer);
    let is_assigned =
        |event: &GroupEvent| matches!(event, GroupEvent::Assigned(added) if *added == [partition("t")]);
    assert!(events.iter().any(is_assigned), "{events:?}");
    assert_eq!(consumer.assignment(), [partition("t")]);
}

#[test]
fn the_last_commit_before_partitions_go_leaves_out_a_topic_that_was_deleted_meanwhile() {
    let mut played = Played::new(&[("t", 1), ("u", 1)]);
    let (mut first, mut second) = (played.member(), played.member());
    let begun = Instant::now();
    while first.assignment().len() < 2 {
        assert!(begun.elapsed() < PATIENCE);
        poll(&mut first);
        played.turn(is_nothing);
    }
    for topic in ["t", "u"] {
        first.seek(&partition(topic), 5).unwrap();
    }
    played.begin_to_join(&mut second);
    let (commit, events) = played.drive_until(&mut first, is_commit);
    assert!(
        events.iter().any(|event| matches!(event, GroupEvent::Revoked(names) if names.len() == 2)),
        "{events:?}"
    );
    // Another topic has the name before the request arrives, so the coordinator refuses the whole commit.
    played.directory.topics.write().get_mut("t").unwrap().id = 7;
    commit.refuse(GroupError::UnknownTopicOrPartition);
    let (_, events) = played.drive_until(&mut first, is_join);
    assert!(!events.iter().any(|event| matches!(event, GroupEvent::CommitFailed(_))), "{events:?}");
    let committed = played.groups.committed("g");
    let committed: Vec<_> = committed.iter().map(|(key, it)| (key.topic.as_str(), it.offset)).collect();
    assert_eq!(committed, [("u", 5)]);
}

const HOUR: Duration = Duration::from_secs(3_600);

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_caller_that_waits_is_woken_after_half_of_the_poll_interval_and_has_as_long_again() {
    let played = Played::new(&[("t", 1)]);
    let consumer = played.member();
    let (coordinator, inbox) = (consumer.link.coordinator().clone(), Arc::clone(consumer.link.inbox()));
    let woken = Arc::new(Woken::default());
    let waits = || inbox.waker.register(&Waker::from(Arc::clone(&woken)));
    waits();
    // The times are so long that the thread of the heartbeats does nothing by itself.
    let beat = played.heartbeats.add(BeatSettings {
        coordinator,
        inbox: Arc::clone(&inbox),
        group: "g".to_owned(),
        instance_id: None,
        interval: 3 * HOUR,
        max_poll_interval: 2 * HOUR,
    });
    beat.set_member(Some(("m".to_owned(), 1)));
    beat.poll_begins();
    let earliest = Instant::now();
    beat.poll_ends(PollEnd::Pending);
    let latest = Instant::now();
    let is_between =
        |at: Instant, hours: u32| (earliest + hours * HOUR..=latest + hours * HOUR).contains(&at);
    // The next heartbeat comes later than the wake-up.
    assert!(is_between(beat.send_due(latest), 1));
    assert_eq!(woken.0.load(Ordering::Relaxed), 0);
    // The thread is late by half an hour. The caller has an hour from then on.
    let late = latest + HOUR + HOUR / 2;
    assert_eq!(beat.send_due(late), late + HOUR);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    waits();
    beat.send_due(late + HOUR / 2);
    assert_eq!(woken.0.load(Ordering::Relaxed), 1, "it is woken once");
    assert!(!beat.poll_begins(), "the member is still in its group");
    // A caller that has an event is not woken, and has the whole time.
    beat.poll_ends(PollEnd::Event);
    let polled = Instant::now();
    beat.send_due(polled + HOUR);
    assert!(!beat.poll_begins());
    beat.poll_ends(PollEnd::Event);
    beat.send_due(Instant::now() + 2 * HOUR);
    assert!(beat.poll_begins(), "the member has left");
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
}

/// Nothing but the consumer's own timer wakes it here: it reads no partition, and its heartbeats are rare.
#[test]
fn a_topic_that_does_not_exist_is_looked_for_soon() {
    let mut played = Played::new(&[]);
    let config = GroupConsumerConfig {
        session_timeout: Duration::from_secs(1_500),
        heartbeat_interval: Duration::from_secs(1_000),
        metadata_max_age: HOUR,
        auto_commit: None,
        ..GroupConsumerConfig::new("g")
    };
    let mut consumer = played.member_with(config);
    let begun = Instant::now();
    while consumer.phase != Phase::Stable {
        assert!(begun.elapsed() < PATIENCE);
        poll(&mut consumer);
        played.turn(is_nothing);
    }
    poll(&mut consumer);
    assert!(consumer.armed.unwrap() <= Instant::now() + RETRY_AFTER);
    let next_look = consumer.next_look_at(begun + HOUR / 2);
    assert!(next_look <= begun + HOUR / 2 + RETRY_AFTER);
    // It joins again once the topics exist.
    let places = vec![(0, 0)];
    for (id, name) in [(7, "t"), (8, "u")] {
        let open = OpenTopic { id, created_in: 0, config: TopicConfig::default(), places: places.clone() };
        played.directory.topics.write().insert(name.to_owned(), open);
    }
    played.drive_until(&mut consumer, is_join);
}
