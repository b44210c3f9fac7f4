//! A consumer in a group whose coordinator the test plays: it holds requests back, and answers when the test says so.

use super::{AutoOffsetReset, GroupConsumer, GroupConsumerConfig, GroupEvent, Heartbeats, Subscribe};
use crate::client::{LingerTimer, OpenTopic, Remote, RemoteDirectory, Topics};
use crate::config::TopicConfig;
use crate::group::{GroupConfig, GroupError, GroupState, Groups, Now, Request, RequestBody, Token};
use crate::shard::{GroupCall, GroupReply, Mailbox, OFFSETS_TOPIC};
use crate::types::TopicPartition;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
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
        let config = GroupConsumerConfig {
            auto_offset_reset: AutoOffsetReset::Earliest,
            heartbeat_interval: Duration::from_millis(10),
            ..GroupConsumerConfig::new("g")
        };
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
