//! A system in memory, for tests, with a clock that the test moves. It acks, stalls, refuses records and fails as the
//! test says. It can also lose, repeat, swap and corrupt records. It wakes its clients when the test moves the clock.

mod behaviour;
mod group;
mod server;

pub(crate) use behaviour::{Behaviour, Failing, Fault};
pub(crate) use group::GroupFaults;
pub(crate) use server::Server;

use super::Inside;
use super::{
    Ack, ConsumerSpec, Description, FetchSink, FetchedInfo, InRecord, Joined, LocalWork, MemberSpec,
    OutRecord, ProducerSpec, RecordError, SendError, System, SystemConsumer, SystemMember, SystemProducer,
};
use crate::measure::events::SystemEvent;
use crate::measure::events::SystemEventKind;
use crate::measure::shards::ShardStats;
use crate::result::ErrorKind;
use crate::time::clock::Clock;
use group::{FakeGroup, FakeMember};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// A clock that moves only when the test says so.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeClock(Arc<AtomicU64>);

/// The instant at which every fake clock reads 0.
static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl FakeClock {
    fn instant_at(ns: u64) -> Instant {
        *ORIGIN + Duration::from_nanos(ns)
    }
}

impl Clock for FakeClock {
    fn now_ns(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    fn ns_at(&self, at: Instant) -> u64 {
        crate::num::ns_of(at.saturating_duration_since(*ORIGIN))
    }
}

#[derive(Debug, Clone)]
struct Stored {
    offset: u64,
    key: Option<Vec<u8>>,
    value: Vec<u8>,
    header: Option<Vec<u8>>,
    visible_ns: u64,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    logs: BTreeMap<(String, u32), Vec<Stored>>,
    timers: Vec<(u64, Waker)>,
    /// Wakers of clients that have nothing to read. The next batch of any partition wakes them all.
    waiting: Vec<Waker>,
    batches: Vec<u64>,
    sent: u64,
    retained_at: Option<Instant>,
    retained: BTreeSet<(String, u32)>,
    groups: BTreeMap<String, FakeGroup>,
    /// Number of members of groups that were made.
    members_made: u64,
}

/// The fake system. Clones share one state.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeSystem {
    pub(crate) clock: FakeClock,
    state: Arc<Mutex<State>>,
}

impl State {
    /// Returns the offset after the last record that consumers can see at `now_ns`.
    fn visible_end(&self, topic: &str, partition: u32, now_ns: u64) -> u64 {
        let log = &self.logs[&(topic.to_owned(), partition)];
        let end = log.partition_point(|stored| stored.visible_ns <= now_ns) as u64;
        end.min(self.behaviour.hidden_from.unwrap_or(u64::MAX))
    }

    /// Returns the time at which the next record can be seen.
    fn next_visible_ns(&self, topic: &str, partition: u32, now_ns: u64) -> Option<u64> {
        let log = &self.logs[&(topic.to_owned(), partition)];
        log.get(log.partition_point(|stored| stored.visible_ns <= now_ns)).map(|stored| stored.visible_ns)
    }

    /// Returns the time for which the record after `sent` others blocks the sending thread.
    fn take_hold_up(&mut self, sent: u64) -> Duration {
        let by_count = self.behaviour.holds_up.take_if(|(after, _)| *after <= sent).map(|(_, length)| length);
        let retained_at = self.retained_at;
        let is_due = |after: Duration| retained_at.is_some_and(|at| at.elapsed() >= after);
        let by_time = self.behaviour.holds_up_after_retention.take_if(|(after, _)| is_due(*after));
        by_count.or(by_time.map(|(_, length)| length)).unwrap_or_default()
    }
}

impl FakeSystem {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let system = Self::default();
        system.state().behaviour = behaviour;
        system
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn has(&self, topic: &str, partition: u32) -> bool {
        self.state().logs.contains_key(&(topic.to_owned(), partition))
    }

    /// Counts a record, refused ones included. Returns the number of records that were sent before it.
    fn count_sent(&self) -> u64 {
        let mut state = self.state();
        state.sent += 1;
        state.sent - 1
    }

    /// Returns the time of the next event inside the system, in nanoseconds.
    pub(crate) fn next_ns(&self) -> Option<u64> {
        self.state().timers.iter().map(|(ns, _)| *ns).min()
    }

    /// Moves the clock to `ns`, and wakes the clients that waited for a time up to `ns`.
    pub(crate) fn advance_to(&self, ns: u64) {
        self.clock.0.fetch_max(ns, Ordering::SeqCst);
        let mut state = self.state();
        let (due, later) = std::mem::take(&mut state.timers).into_iter().partition(|(at, _)| *at <= ns);
        state.timers = later;
        drop(state);
        let due: Vec<(u64, Waker)> = due;
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    /// Returns the number of records in each batch, in order of arrival.
    pub(crate) fn batches(&self) -> Vec<u64> {
        self.state().batches.clone()
    }

    /// Returns the value of each record in the log of a partition, with the time at which it was acked, in nanoseconds.
    pub(crate) fn acked(&self, topic: &str, partition: u32) -> Vec<(Vec<u8>, u64)> {
        let state = self.state();
        let log = &state.logs[&(topic.to_owned(), partition)];
        log.iter().map(|stored| (stored.value.clone(), stored.visible_ns)).collect()
    }

    /// Returns the number of records in the log of a partition.
    pub(crate) fn len(&self, topic: &str, partition: u32) -> u64 {
        self.state().logs[&(topic.to_owned(), partition)].len() as u64
    }
}

impl System for FakeSystem {
    fn describe(&self) -> Description {
        Description { kind: "fake", version: "0".into(), facts: Vec::new() }
    }

    fn create_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()> {
        anyhow::ensure!(!self.has(name, 0), "the topic {name} exists");
        for partition in 0..partitions {
            self.state().logs.insert((name.to_owned(), partition), Vec::new());
        }
        Ok(())
    }

    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer + Send>> {
        anyhow::ensure!(self.has(&spec.topic, 0), "there is no topic {}", spec.topic);
        Ok(Box::new(FakeProducer {
            system: self.clone(),
            spec: spec.clone(),
            open: BTreeMap::new(),
            in_flight_bytes: 0,
            acks: VecDeque::new(),
            waiting: None,
        }))
    }

    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer + Send>> {
        for (topic, partition) in &spec.assignment {
            anyhow::ensure!(self.has(topic, *partition), "there is no partition {topic}-{partition}");
        }
        let positions = vec![0; spec.assignment.len()];
        Ok(Box::new(FakeConsumer { system: self.clone(), spec: spec.clone(), positions, swapped: None }))
    }

    fn member(&self, spec: &MemberSpec) -> anyhow::Result<Box<dyn SystemMember + Send>> {
        Ok(Box::new(FakeMember::new(self.clone(), spec)))
    }

    fn inside(&self) -> Option<&dyn Inside> {
        Some(self)
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(())
    }
}

impl Inside for FakeSystem {
    fn shards_of(&self, _topic: &str) -> anyhow::Result<Vec<u32>> {
        anyhow::bail!("the fake has no shards")
    }

    fn colocate(&self, _shard: u32, _work: LocalWork) -> anyhow::Result<Joined> {
        anyhow::bail!("the fake has no shards")
    }

    fn shard_stats(&self) -> Vec<ShardStats> {
        Vec::new()
    }

    fn drain_events(&self) -> Vec<SystemEvent> {
        let mut state = self.state();
        let Some(records) = state.behaviour.retains_at else { return Vec::new() };
        let full = state.logs.iter().filter(|(_, log)| log.len() >= records).map(|(name, _)| name.clone());
        let fresh: Vec<_> = full.filter(|name| !state.retained.contains(name)).collect();
        state.retained.extend(fresh.iter().cloned());
        if !fresh.is_empty() {
            state.retained_at = Some(Instant::now());
        }
        let event = |partition| SystemEvent {
            at: Instant::now(),
            kind: SystemEventKind::Retention,
            shard: 0,
            partition: Some(partition),
        };
        fresh.into_iter().map(event).collect()
    }

    fn stall(&self, shard: u32, _: Duration) -> anyhow::Result<()> {
        anyhow::bail!("the fake has no shard {shard}")
    }

    fn drop_caches(&self) -> anyhow::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct FakeProducer {
    system: FakeSystem,
    spec: ProducerSpec,
    open: BTreeMap<u32, Vec<Stored>>,
    in_flight_bytes: u64,
    acks: VecDeque<(u64, u64, Ack)>,
    waiting: Option<Waker>,
}

fn count_of(records: &[Stored]) -> u64 {
    records.len() as u64
}

fn size(stored: &Stored) -> u64 {
    (stored.value.len() + stored.key.as_ref().map_or(0, Vec::len)) as u64
}

impl FakeProducer {
    fn close_batch(&mut self, partition: u32) {
        let Some(mut records) = self.open.remove(&partition) else { return };
        let now_ns = self.system.clock.now_ns();
        let mut state = self.system.state();
        let served_ns =
            state.behaviour.server.as_mut().map_or(now_ns, |server| server.serve(now_ns, count_of(&records)));
        let mut ack_ns = served_ns + state.behaviour.ack_ns;
        if state.behaviour.stall.contains(&ack_ns) {
            ack_ns = state.behaviour.stall.end;
        }
        let fail_at = state.behaviour.fail_at.filter(|_| partition == 0);
        let failing = state.behaviour.failing.clone();
        let log = state.logs.get_mut(&(self.spec.topic.clone(), partition)).unwrap();
        let base_offset = log.len() as u64;
        let bytes: u64 = records.iter().map(size).sum();
        let count = records.len();
        for (stored, offset) in records.iter_mut().zip(base_offset..) {
            (stored.offset, stored.visible_ns) = (offset, ack_ns);
        }
        let fails_at = fail_at.is_some_and(|at| (base_offset..base_offset + count as u64).contains(&at));
        let failing = failing.filter(|failing| failing.during.contains(&now_ns));
        let result =
            match failing.as_ref().map(|failing| failing.kind).or(fails_at.then_some(ErrorKind::Other)) {
                Some(kind) => Err(RecordError::new(kind, "injected")),
                None => Ok(()),
            };
        if result.is_ok() || failing.is_some_and(|failing| failing.is_stored) {
            log.append(&mut records);
        }
        state.batches.push(count as u64);
        let woken = std::mem::take(&mut state.waiting).into_iter().chain(self.waiting.take());
        if ack_ns <= now_ns {
            woken.for_each(Waker::wake);
        } else {
            state.timers.extend(woken.map(|waker| (ack_ns, waker)));
        }
        let encoded_bytes = if state.behaviour.hides_encoded_bytes { 0 } else { bytes + 61 };
        let count = count.try_into().unwrap();
        let completed_at = state.behaviour.stamps.then(|| FakeClock::instant_at(ack_ns));
        let ack = Ack { partition, base_offset, count, encoded_bytes, completed_at, result };
        self.acks.push_back((ack_ns, bytes, ack));
    }
}

impl SystemProducer for FakeProducer {
    fn try_send(&mut self, partition: u32, record: &OutRecord<'_>) -> Result<(), SendError> {
        if self.system.state().behaviour.refuses_bytes == Some(record.value.len()) {
            return Err(SendError::Refused(RecordError::new(ErrorKind::TooLarge, "injected")));
        }
        if !self.system.has(&self.spec.topic, partition) {
            return Err(SendError::Refused(RecordError::new(
                ErrorKind::UnknownPartition,
                "no such partition",
            )));
        }
        let sent = self.system.count_sent();
        std::thread::sleep(self.system.state().take_hold_up(sent));
        let stored = Stored {
            offset: 0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.to_vec(),
            header: record.headers.first().map(|(_, value)| value.to_vec()),
            visible_ns: 0,
        };
        let bytes = size(&stored);
        if self.in_flight_bytes + bytes > self.spec.in_flight_bytes_max {
            return Err(SendError::Full);
        }
        self.in_flight_bytes += bytes;
        let open = self.open.entry(partition).or_default();
        open.push(stored);
        let open_bytes: u64 = open.iter().map(size).sum();
        let is_full = open.len() as u64 >= u64::from(self.spec.batch_records_max)
            || open_bytes + bytes > self.spec.batch_bytes_max;
        if is_full {
            self.close_batch(partition);
        }
        Ok(())
    }

    fn flush(&mut self) {
        let partitions: Vec<u32> = self.open.keys().copied().collect();
        partitions.into_iter().for_each(|partition| self.close_batch(partition));
    }

    fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack> {
        match self.acks.front() {
            Some((ack_ns, ..)) if *ack_ns <= self.system.clock.now_ns() => {
                let (_, bytes, ack) = self.acks.pop_front().unwrap();
                self.in_flight_bytes -= bytes;
                Poll::Ready(ack)
            }
            Some((ack_ns, ..)) => {
                self.system.state().timers.push((*ack_ns, context.waker().clone()));
                Poll::Pending
            }
            None => {
                self.waiting = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

#[derive(Debug)]
struct FakeConsumer {
    system: FakeSystem,
    spec: ConsumerSpec,
    positions: Vec<u64>,
    /// A record held back by [`Fault::SwapWithNext`]: it is returned after the record that follows it.
    swapped: Option<Stored>,
}

impl SystemConsumer for FakeConsumer {
    fn poll_fetch(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<()>> {
        for (assignment, log) in self.spec.assignment.iter().enumerate() {
            let start = self.positions[assignment];
            if let Some(end) = read(&self.system, log, start, (assignment, sink), &mut self.swapped) {
                self.positions[assignment] = end;
                return Poll::Ready(Ok(()));
            }
        }
        let now_ns = self.system.clock.now_ns();
        let mut state = self.system.state();
        let logs = self.spec.assignment.iter();
        let next_ns = logs.filter_map(|(topic, partition)| state.next_visible_ns(topic, *partition, now_ns));
        match next_ns.min() {
            Some(next_ns) => state.timers.push((next_ns, context.waker().clone())),
            None => state.waiting.push(context.waker().clone()),
        }
        Poll::Pending
    }
}

/// Passes the visible records of a log from `start` on to a sink, as those of an assignment. Returns the offset after the last
/// one; `None` if there is none.
fn read(
    system: &FakeSystem,
    log: &(String, u32),
    start: u64,
    (assignment, sink): (usize, &mut dyn FetchSink),
    swapped: &mut Option<Stored>,
) -> Option<u64> {
    let state = system.state();
    let end = state.visible_end(&log.0, log.1, system.clock.now_ns());
    if start >= end {
        return None;
    }
    let range = usize::try_from(start).unwrap()..usize::try_from(end).unwrap();
    let stored: Vec<Stored> = state.logs[log][range].to_vec();
    let faults = if log.1 == 0 { state.behaviour.faults.clone() } else { BTreeMap::new() };
    drop(state);
    let bytes = stored.iter().map(size).sum();
    sink.begin(&FetchedInfo { assignment, bytes, high_watermark: end, skipped: 0 });
    for stored in with_faults(stored, &faults, swapped) {
        sink.record(&InRecord {
            offset: stored.offset,
            key: stored.key.as_deref(),
            value: &stored.value,
            stamp_header: stored.header.as_deref(),
        });
    }
    Some(end)
}

fn with_faults(
    stored: Vec<Stored>,
    faults: &BTreeMap<u64, Fault>,
    swapped: &mut Option<Stored>,
) -> Vec<Stored> {
    let mut out: Vec<Stored> = Vec::with_capacity(stored.len());
    for mut record in stored {
        match faults.get(&record.offset) {
            Some(Fault::Lose) => continue,
            Some(Fault::Repeat) => out.push(record.clone()),
            Some(Fault::SwapWithNext) => {
                *swapped = Some(record);
                continue;
            }
            Some(Fault::Corrupt) => {
                let last = record.value.len() - 1;
                record.value[last] ^= 1;
            }
            None => {}
        }
        out.push(record);
        out.extend(swapped.take());
    }
    out
}
