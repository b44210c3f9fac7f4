//! Members of groups of the mock cluster. Its groups wait 3 s for more members before the first assignment.

use super::{Mock, PATIENCE, Sink, TOPIC, acks, mock, producer, send, waker, workload};
use crate::system::kafka::config::Client;
use crate::system::kafka::existing::commit;
use crate::system::kafka::groups::{Endings, KafkaMember, MemberPlan};
use crate::system::{MemberEvent, MemberSpec, Membership, SystemMember as _};
use crate::workload::Assignor;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Members of one group, with what they were told.
struct Group {
    members: Vec<(KafkaMember, Sink)>,
    endings: Endings,
    told: Vec<(usize, String)>,
}

impl Group {
    fn new(mock: &Mock, members: usize, assignor: Assignor, auto_commit: Option<Duration>) -> Self {
        Self::beginning_at(&[], mock, members, assignor, auto_commit)
    }

    /// A group that begins at these offsets.
    fn beginning_at(
        first_offsets: &[u64],
        mock: &Mock,
        members: usize,
        assignor: Assignor,
        auto_commit: Option<Duration>,
    ) -> Self {
        // The mock cluster waits for members of an earlier generation until almost the end of their sessions.
        Self::with_sessions("4500", first_offsets, mock, members, assignor, auto_commit)
    }

    /// A group whose members' sessions end after `session_ms` without a heartbeat.
    fn with_sessions(
        session_ms: &str,
        first_offsets: &[u64],
        mock: &Mock,
        members: usize,
        assignor: Assignor,
        auto_commit: Option<Duration>,
    ) -> Self {
        let mut workload = workload();
        workload.kafka.properties.insert("session.timeout.ms".to_owned(), session_ms.to_owned());
        let spec = MemberSpec {
            group: "test".to_owned(),
            topic: TOPIC.to_owned(),
            assignor,
            // Shorter intervals let the client report statistics, whose events would hide a missing wake.
            heartbeat_interval: Duration::from_millis(500),
            auto_commit,
            fetch_bytes_max: 1 << 20,
        };
        let endings = Endings::default();
        let member = |_| {
            let plan = MemberPlan {
                config: Client::of(&workload, &mock.bootstrap_servers()).unwrap().member("test", &spec),
                topic: TOPIC.to_owned(),
                first_offsets: first_offsets.into(),
                commits_by_itself: auto_commit.is_some(),
                fetch_bytes_max: spec.fetch_bytes_max,
            };
            (KafkaMember::new(plan, endings.clone()).unwrap(), Sink::default())
        };
        Self { members: (0..members).map(member).collect(), endings: endings.clone(), told: Vec::new() }
    }

    /// Lets the members go on until `is_so`, parked in between: only a wake lets the thread look again.
    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let failed = self.until_or_failed(is_so);
        assert!(failed.is_none(), "{what}: {failed:?}, after {:?}", self.told);
    }

    fn until_or_failed(&mut self, is_so: impl Fn(&Self) -> bool) -> Option<String> {
        let (waker, begun) = (waker(), Instant::now());
        let mut context = Context::from_waker(&waker);
        loop {
            let mut had_some = false;
            for (number, (member, sink)) in self.members.iter_mut().enumerate() {
                while let Poll::Ready(event) = member.poll_event(&mut context, sink) {
                    had_some = true;
                    match event {
                        Err(error) => return Some(format!("{error:#}")),
                        Ok(MemberEvent::Records) => {}
                        Ok(MemberEvent::Committed { .. }) => self.told.push((number, "Committed".to_owned())),
                        Ok(event) => self.told.push((number, format!("{event:?}"))),
                    }
                }
            }
            // First, because a thread that nobody wakes finds what has happened when its time is up.
            if begun.elapsed() > PATIENCE {
                return Some("it did not happen, or nobody was woken".to_owned());
            }
            if is_so(self) {
                return None;
            }
            if !had_some {
                std::thread::park_timeout(PATIENCE);
            }
        }
    }

    fn are_stable(&self, members: usize) -> bool {
        let stable = |(member, _): &(KafkaMember, Sink)| {
            let Membership { generation, is_rebalancing } = member.membership();
            generation.filter(|_| !is_rebalancing)
        };
        let generations: Vec<i32> = self.members.iter().filter_map(stable).collect();
        generations.len() == members && generations.iter().all(|it| *it == generations[0])
    }

    /// Whether a member was told an event that begins with these words.
    fn was_told(&self, member: usize, words: &str) -> bool {
        self.told.iter().any(|(of, event)| *of == member && event.starts_with(words))
    }

    /// The numbers that were read since the last call, in order.
    fn take(&mut self) -> Vec<u32> {
        let records = self.members.iter_mut().flat_map(|(_, sink)| std::mem::take(&mut sink.records));
        let number = |value: Vec<u8>| u32::from_le_bytes(value.try_into().unwrap());
        let mut numbers: Vec<u32> = records.map(|(_, _, value, _)| number(value)).collect();
        numbers.sort_unstable();
        numbers
    }

    fn count(&self) -> usize {
        self.members.iter().map(|(_, sink)| sink.records.len()).sum()
    }
}

fn fill(mock: &Mock, numbers: std::ops::Range<u32>) {
    let mut producer = producer(mock, &workload(), 1 << 20);
    let records = numbers.end - numbers.start;
    numbers.for_each(|number| send(&mut producer, number % 4, &number.to_le_bytes()).unwrap());
    acks(&mut producer, records).into_iter().for_each(|ack| ack.result.unwrap());
}

#[test]
fn a_member_that_leaves_hands_over_what_it_has_committed_with_every_assignor() {
    for assignor in [Assignor::CooperativeSticky, Assignor::Range] {
        let mock = mock(4);
        let mut group = Group::new(&mock, 2, assignor, None);
        group.until("both join", |group| group.are_stable(2));
        fill(&mock, 0..40);
        group.until("all is read", |group| group.count() >= 40);
        assert_eq!(group.take(), (0..40).collect::<Vec<_>>());
        group.members[0].0.commit();
        group.until("a commit is answered", |group| group.was_told(0, "Committed"));
        group.members[1].0.leave(true);
        group.until("one leaves", |group| group.was_told(1, "Left") && group.are_stable(1));
        assert!(group.was_told(1, "Committed"), "{:?}", group.told);
        fill(&mock, 40..80);
        group.until("the other one reads on", |group| group.count() >= 40);
        assert_eq!(group.take(), (40..80).collect::<Vec<_>>(), "{assignor:?}");
        let endings = group.endings.clone();
        drop(group);
        assert!(endings.wait(PATIENCE), "its clients end");
    }
}

#[test]
fn a_group_of_an_existing_topic_begins_at_the_offsets_that_are_committed_for_it() {
    let mock = mock(4);
    fill(&mock, 0..40);
    let config = Client::of(&workload(), &mock.bootstrap_servers()).unwrap().consumer("test", 1 << 20);
    commit(&config, "test", TOPIC, &[10; 4]).unwrap();
    let mut group = Group::beginning_at(&[10; 4], &mock, 2, Assignor::Range, None);
    group.until("both join", |group| group.are_stable(2));
    // A member that joins late makes the group assign twice.
    let given: Vec<&str> =
        group.told.iter().map(|(_, it)| &**it).filter(|it| it.starts_with("Assigned(")).collect();
    let begins = |partition: u32| format!("({partition}, Some(10))");
    for partition in 0..4 {
        assert!(given.iter().any(|it| it.contains(&begins(partition))), "{:?}", group.told);
    }
    let count = |of: &str| given.iter().map(|it| it.matches(of).count()).sum::<usize>();
    assert_eq!((count("None"), count("Some(")), (0, count("Some(10)")), "{:?}", group.told);
    fill(&mock, 40..80);
    group.until("the new records are read", |group| group.count() >= 40);
    assert_eq!(group.take(), (40..80).collect::<Vec<_>>(), "what was there before is not the trial's");
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED;
    mock.request_errors(RDKafkaApiKey::OffsetCommit, &[refused]);
    let error = commit(&config, "test", TOPIC, &[10; 4]).unwrap_err().to_string();
    assert!(error.contains("rights READ, DESCRIBE and DELETE for groups"), "{error}");
}

#[test]
fn a_client_commits_by_itself_also_when_its_member_leaves() {
    let mock = mock(4);
    let mut group = Group::new(&mock, 1, Assignor::RoundRobin, Some(Duration::from_millis(50)));
    group.until("it joins", |group| group.are_stable(1));
    fill(&mock, 0..40);
    group.until("it commits", |group| group.count() >= 40 && group.was_told(0, "Committed"));
    fill(&mock, 40..80);
    group.until("it reads on", |group| group.count() >= 80);
    group.take();
    group.members[0].0.leave(true);
    group.until("it leaves", |group| group.was_told(0, "Left"));
    fill(&mock, 80..120);
    group.members[0].0.join().unwrap();
    group.until("it begins again", |group| group.count() >= 40);
    assert_eq!(group.take(), (80..120).collect::<Vec<_>>());
}

#[test]
fn a_commit_that_is_refused_is_told_and_a_removed_member_joins_again() {
    let mock = mock(4);
    let mut group = Group::new(&mock, 1, Assignor::CooperativeSticky, None);
    group.until("it joins", |group| group.are_stable(1));
    fill(&mock, 0..40);
    group.until("it reads", |group| group.count() >= 40);
    mock.request_errors(
        RDKafkaApiKey::OffsetCommit,
        &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_COMMIT_OFFSET_SIZE],
    );
    group.members[0].0.commit();
    group.until("a refusal", |group| group.was_told(0, "CommitFailed"));
    group.members[0].0.commit();
    group.until("a commit", |group| group.was_told(0, "Committed"));
    let before = group.members[0].0.membership().generation;
    mock.request_errors(RDKafkaApiKey::Heartbeat, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID]);
    group.until("it is removed", |group| group.was_told(0, "Lost([0, 1, 2, 3])"));
    group.until("it joins again", |group| group.are_stable(1));
    assert!(group.members[0].0.membership().generation > before);
    group.take();
    fill(&mock, 40..80);
    group.until("it reads on", |group| group.count() >= 40);
    assert_eq!(group.take(), (40..80).collect::<Vec<_>>());
}

#[test]
fn members_that_are_dropped_in_the_middle_of_a_rebalance_end() {
    let mock = mock(4);
    let mut group = Group::new(&mock, 2, Assignor::Range, None);
    group.until("both join", |group| group.are_stable(2));
    group.members[1].0.leave(false);
    // Without the next poll the partitions are not given back.
    let (waker, begun) = (waker(), Instant::now());
    let mut context = Context::from_waker(&waker);
    loop {
        match group.members[0].0.poll_event(&mut context, &mut Sink::default()) {
            Poll::Ready(Ok(MemberEvent::Revoked(_))) => break,
            Poll::Ready(_) => {}
            Poll::Pending => std::thread::sleep(Duration::from_millis(5)),
        }
        assert!(begun.elapsed() < PATIENCE);
        if let Poll::Ready(event) = group.members[1].0.poll_event(&mut context, &mut Sink::default()) {
            event.unwrap();
        }
    }
    let endings = group.endings.clone();
    drop(group);
    assert!(endings.wait(PATIENCE), "its clients end");
}

/// librdkafka never answers a call that assigns partitions if its group ends at that moment. When each rebalance of a closing client was
/// followed by such a call, about one client in 20 waited for ever.
#[test]
fn many_members_that_are_dropped_at_once_end() {
    const MEMBERS: usize = 64;
    const ROUNDS: usize = 2;
    for assignor in [Assignor::CooperativeSticky, Assignor::Range].repeat(ROUNDS) {
        let mock = mock(64);
        // The mock cluster ends with a failed assertion if many sessions end at once, as short ones do on a busy machine.
        let mut group = Group::with_sessions("30000", &[], &mock, MEMBERS, assignor, None);
        group.until("all join", |group| group.are_stable(MEMBERS));
        let endings = group.endings.clone();
        drop(group);
        assert!(endings.wait(PATIENCE), "the clients of {assignor:?} end");
    }
}

#[test]
fn a_user_without_the_right_to_a_group_hears_of_it() {
    let mock = mock(4);
    let refused = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED; 4];
    mock.request_errors(RDKafkaApiKey::JoinGroup, &refused);
    let mut group = Group::new(&mock, 1, Assignor::Range, None);
    let failed = group.until_or_failed(|group| group.are_stable(1)).unwrap();
    assert!(
        failed.contains("GroupAuthorizationFailed") || failed.contains("Group authorization failed"),
        "{failed}"
    );
}
