//! Load threads: one for each load core. A load thread drives all logical producers and consumers of its core, and
//! sleeps while none of them has work.
//!
//! It never waits for the system and never does long computations. If a client cannot proceed, its waker wakes the
//! thread later. Colocated load does the same work as a task on the shard's own thread. It lets the shard have a turn
//! after each of its own.

use super::ack_log::AckLog;
use super::consumers::member::Member;
use super::consumers::reader::Reader;
use super::consumers::{Consumer, ConsumerOutcome, ConsumerPlan};
use super::pool::Pool;
use super::producers::{Producer, ProducerOutcome, ProducerPlan};
use super::seat::{ConsumerSeat, ProducerSeat};
use super::shared::Shared;
use super::turn::ThreadTurn;
use super::wake::{ReadySet, waker_of};
use crate::measure::recorder::{Channel, Recorded, Recorder};
use crate::system::LocalSystem;
use crate::time::clock::Clock;
use crate::time::timeline::Timeline;
use futures_util::future::{Either, select};
use futures_util::task::AtomicWaker;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Time between two looks at the state of the other threads during the drain, in ns.
const DRAIN_LOOK_NS: u64 = 2_000_000;
/// Longest wait in ns through which a thread on a core of its own spins. A sleep takes about as long.
const SPIN_NS_MAX: u64 = 100_000;
/// Longest time in ns for which a thread looks for acks before it sleeps: some round trips of a fast disk.
const POLL_NS_MAX: u64 = 500_000;
/// The shortest sleep in ns. Shorter ones gain nothing, as falling asleep and waking up take about as long. They also
/// harm the system: a core that is always falling asleep or waking up is late for the disk's interrupts, most of all in
/// a virtual machine.
///
/// At 520 k records/s on two virtual cores, sleeps of 10 µs kept the thread's core busy for 84 % of the time. The
/// pacing lag then had a p99 of 1.2 ms. With this value the core was busy for 42 % and the p99 was 0.5 ms. The cost is a
/// pacing lag of at most this length.
const SLEEP_NS_MIN: u64 = 50_000;

/// The behaviour of a load thread while no record is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Sleep until the next record is due or a client wakes the thread.
    Sleep,
    /// Spin through short waits. Only for a core that no other thread needs.
    Spin,
    /// Look for acks for a while, yielding the core to other threads between looks, and only then sleep. For load that
    /// waits for nothing but acks, because a sleep would be part of their latency.
    Poll,
}

/// The start of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Start<C> {
    /// The clock of the trial.
    pub clock: C,
    /// Wall time when the clock read 0, ms since the Unix epoch.
    pub wall_ms: i64,
}

/// The parts of a load thread. They are made on any thread and then moved to the load thread.
pub struct LoadPlan {
    /// The trial's phases.
    pub timeline: Arc<Timeline>,
    /// The counters that the trial's threads share.
    pub shared: Arc<Shared>,
    /// The channel that the thread's intervals are sent to.
    pub channel: Channel,
    /// The values that the producers send.
    pub pool: Pool,
    /// The producers, each with its client.
    pub producers: Vec<(ProducerPlan, ProducerSeat)>,
    /// The consumers, each with its client.
    pub consumers: Vec<(ConsumerPlan, ConsumerSeat)>,
    /// The members of groups.
    pub members: Vec<Member>,
    /// The log of acked batches, if one is written.
    pub ack_log: Option<AckLog>,
    /// The behaviour of the thread while no record is due.
    pub idle: Idle,
    /// Whether records are due at given times.
    pub is_paced: bool,
    /// Whether the consumers read nothing before the window opens.
    pub starts_late: bool,
}

impl LoadPlan {
    /// Removes all clients, because the trial does not begin.
    pub fn clear(&mut self) {
        self.producers.clear();
        self.consumers.clear();
        self.members.clear();
    }
}

/// A running load thread.
pub struct LoadThread<C> {
    clock: C,
    wall_start_ms: i64,
    timeline: Arc<Timeline>,
    shared: Arc<Shared>,
    recorder: Recorder,
    pool: Pool,
    producers: Vec<Producer>,
    readers: Vec<Reader>,
    /// The clients that are ready. Producers are numbered first, then readers.
    ready: ReadySet,
    ack_log: Option<AckLog>,
    idle: Idle,
    /// Start of the window that the schedules use, in ns.
    window_start_ns: u64,
    /// Whether the consumers read nothing until the window opens. Cleared when it does.
    starts_late: bool,
}

/// The next step of a load thread after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterTurn {
    /// Take another turn at once, because there is more to do.
    Again,
    /// Wait until this time, in ns, unless a client wakes the thread.
    Until(u64),
    /// The work is done, or the drain is over.
    Finished,
}

/// The result of a load thread's work.
#[derive(Debug)]
pub struct LoadOutcome {
    /// The results of the producers.
    pub producers: Vec<ProducerOutcome>,
    /// The results of the consumers.
    pub consumers: Vec<ConsumerOutcome>,
    /// The values that were recorded.
    pub recorded: Recorded,
    /// The time at which the thread ended, in ns on the trial's clock.
    pub ended_ns: u64,
    /// The error that stopped the thread early, if there was one.
    pub error: Option<anyhow::Error>,
}

impl LoadOutcome {
    /// Makes the outcome of load that could not be started, or whose thread ended without an outcome.
    pub(crate) fn failed(error: anyhow::Error) -> Self {
        Self {
            producers: Vec::new(),
            consumers: Vec::new(),
            recorded: Recorded::default(),
            ended_ns: 0,
            error: Some(error),
        }
    }
}

/// Wakes colocated load, from any thread on which a client's waker is called.
#[derive(Debug, Default)]
pub struct Sleeper(AtomicWaker);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

impl<C: Clock> LoadThread<C> {
    /// Makes a load thread from a plan. `thread` is the thread that will call [`Self::run`]; clients wake it.
    ///
    /// # Errors
    /// The plan has colocated clients, which can be made only on a shard.
    pub fn new(plan: LoadPlan, start: Start<C>, thread: &Thread) -> anyhow::Result<Self> {
        Self::with_clients(plan, start, None, &waker_of(thread))
    }

    /// Makes a load thread from a plan, on the thread of its shard. Also returns the sleeper that
    /// [`Self::run_colocated`] needs.
    ///
    /// # Errors
    /// A client cannot be made there.
    pub fn colocated(
        plan: LoadPlan,
        start: Start<C>,
        local: &dyn LocalSystem,
    ) -> anyhow::Result<(Self, Arc<Sleeper>)> {
        let sleeper = Arc::<Sleeper>::default();
        Ok((Self::with_clients(plan, start, Some(local), &Waker::from(Arc::clone(&sleeper)))?, sleeper))
    }

    fn with_clients(
        plan: LoadPlan,
        start: Start<C>,
        local: Option<&dyn LocalSystem>,
        sleeper: &Waker,
    ) -> anyhow::Result<Self> {
        let recorder = Recorder::new(Arc::clone(&plan.timeline), start.clock.now_ns(), plan.channel);
        let producers = plan
            .producers
            .into_iter()
            .map(|(plan_of, seat)| Ok(Producer::new(plan_of, seat.into_client(local)?, &plan.pool)));
        let producers: Vec<_> = producers.collect::<anyhow::Result<_>>()?;
        let consumers = plan
            .consumers
            .into_iter()
            .map(|(plan_of, seat)| Ok(Reader::Fixed(Consumer::new(plan_of, seat.into_client(local)?))));
        let members = plan.members.into_iter().map(|member| Ok(Reader::Member(Box::new(member))));
        let readers: Vec<_> = consumers.chain(members).collect::<anyhow::Result<_>>()?;
        Ok(Self {
            ready: ReadySet::new(producers.len() + readers.len(), sleeper),
            clock: start.clock,
            wall_start_ms: start.wall_ms,
            window_start_ns: plan.timeline.window_start_ns(),
            starts_late: plan.starts_late,
            timeline: plan.timeline,
            shared: plan.shared,
            recorder,
            pool: plan.pool,
            producers,
            readers,
            ack_log: plan.ack_log,
            idle: plan.idle,
        })
    }

    /// Works until the trial is over.
    pub fn run(mut self) -> LoadOutcome {
        let error = loop {
            match self.turn() {
                Ok(AfterTurn::Again) => {}
                Ok(AfterTurn::Until(ns)) => self.wait_until(ns),
                Ok(AfterTurn::Finished) => break None,
                Err(error) => break Some(self.end_trial(error)),
            }
        };
        self.finish(error)
    }

    /// Ends the trial for all threads, because this one has failed. The window ends now: records that would have been due later
    /// were never offered, and do not count.
    fn end_trial(&self, error: anyhow::Error) -> anyhow::Error {
        self.timeline.cut(self.clock.now_ns(), Duration::ZERO);
        self.shared.give_up();
        error
    }

    /// Works until the trial is over, as a task on the thread of the shard that `local` stands for.
    pub async fn run_colocated(mut self, local: &dyn LocalSystem, sleeper: &Sleeper) -> LoadOutcome {
        let error = loop {
            match self.turn() {
                Ok(AfterTurn::Again) => local.yield_now().await,
                Ok(AfterTurn::Until(ns)) => self.sleep_until(ns, local, sleeper).await,
                Ok(AfterTurn::Finished) => break None,
                Err(error) => break Some(self.end_trial(error)),
            }
        };
        self.finish(error)
    }

    /// Leaves the thread to the shard until `until_ns`, or until a client has something to return.
    async fn sleep_until(&mut self, until_ns: u64, local: &dyn LocalSystem, sleeper: &Sleeper) {
        let start_ns = self.clock.now_ns();
        let until = Instant::now() + Duration::from_nanos(until_ns.saturating_sub(start_ns));
        let ready = &self.ready;
        let woken = std::future::poll_fn(|context| {
            sleeper.0.register(context.waker());
            if ready.any() { Poll::Ready(()) } else { Poll::Pending }
        });
        match select(woken, local.sleep_until(until)).await {
            Either::Left(_) | Either::Right(_) => {}
        }
        self.recorder.idle(self.clock.now_ns().saturating_sub(start_ns));
    }

    /// Gives a turn to every client that is ready or has records due. Consumers come first, so that reading never falls
    /// behind for lack of turns.
    ///
    /// # Errors
    /// The system failed. The trial is then over.
    pub fn turn(&mut self) -> anyhow::Result<AfterTurn> {
        let window_start_ns = self.timeline.window_start_ns();
        if self.window_start_ns != window_start_ns {
            self.window_start_ns = window_start_ns;
            let now_ns = self.clock.now_ns();
            let producers = self.producers.iter_mut();
            producers.for_each(|producer| producer.start_schedule_at(window_start_ns, now_ns));
        }
        let mut turn = ThreadTurn {
            clock: &self.clock,
            timeline: &self.timeline,
            shared: &self.shared,
            recorder: &mut self.recorder,
            pool: &mut self.pool,
            ack_log: self.ack_log.as_mut(),
            wall_start_ms: self.wall_start_ms,
        };
        let mut again = false;
        let may_consume = !self.starts_late || turn.now() >= self.window_start_ns;
        if self.starts_late && may_consume {
            self.starts_late = false;
            (self.producers.len()..).zip(&self.readers).for_each(|(client, _)| self.ready.put_back(client));
        }
        for (client, reader) in (self.producers.len()..).zip(&mut self.readers) {
            let due_ns = reader.due_ns(turn.timeline);
            let is_due = due_ns < u64::MAX && due_ns <= turn.now();
            // A reader that may not read yet is not ready, even if it was woken, so that the thread can sleep.
            let is_ready = (self.ready.take(client) || is_due) && may_consume;
            if is_ready && reader.poll(&mut turn, self.ready.waker(client))? {
                self.ready.put_back(client);
                again = true;
            }
            if may_consume && reader.is_behind() && reader.check_caught_up(turn.shared) {
                // The last consumer has read its backlog, which was the purpose of the window.
                turn.timeline.end(turn.now());
            }
        }
        for (client, producer) in self.producers.iter_mut().enumerate() {
            if self.ready.take(client) {
                producer.poll_acks(&mut turn, self.ready.waker(client))?;
            }
        }
        let now_ns = turn.now();
        for producer in &mut self.producers {
            if producer.is_due(&self.timeline, now_ns) {
                again |= producer.hand_over(&mut turn)?;
            }
            producer.flush_and_check_done(&self.timeline, &self.shared, now_ns);
        }
        Ok(if again { AfterTurn::Again } else { self.after_turn(now_ns) })
    }

    fn after_turn(&mut self, now_ns: u64) -> AfterTurn {
        let is_drain = now_ns >= self.timeline.window_end_ns();
        if is_drain {
            let are_done = self.readers.iter_mut().all(|reader| reader.check_done(&self.shared));
            let is_done = are_done && self.producers.iter().all(Producer::is_done);
            if is_done || now_ns >= self.timeline.drain_end_ns() {
                return AfterTurn::Finished;
            }
        }
        if self.shared.is_given_up() {
            return AfterTurn::Finished;
        }
        let look_ns = if is_drain { now_ns + DRAIN_LOOK_NS } else { self.recorder.interval_end_ns() };
        // In the drain, a time that is past needs an ack, not a wait. A producer that has sent everything is due at the
        // window's end.
        let dues = self.producers.iter().map(|producer| producer.next_due_ns(&self.timeline));
        let opens_ns = if self.starts_late { self.window_start_ns } else { u64::MAX };
        let dues = dues.chain((opens_ns > now_ns).then_some(opens_ns));
        let dues = dues.chain(self.readers.iter().map(|reader| reader.due_ns(&self.timeline)));
        let due_ns = dues.filter(|due_ns| !is_drain || *due_ns > now_ns).min().unwrap_or(u64::MAX);
        AfterTurn::Until(due_ns.min(look_ns))
    }

    fn wait_until(&mut self, until_ns: u64) {
        let start_ns = self.clock.now_ns();
        let wait_ns = until_ns.saturating_sub(start_ns);
        let left_ns = match self.idle {
            Idle::Spin if wait_ns <= SPIN_NS_MAX => self.stay_awake_until(until_ns, std::hint::spin_loop),
            Idle::Poll => self.stay_awake_until(until_ns.min(start_ns + POLL_NS_MAX), std::thread::yield_now),
            Idle::Spin | Idle::Sleep => start_ns,
        };
        let wait_ns = until_ns.saturating_sub(left_ns);
        if wait_ns > 0 && !self.ready.any() {
            std::thread::park_timeout(Duration::from_nanos(wait_ns.max(SLEEP_NS_MIN)));
        }
        self.recorder.idle(self.clock.now_ns().saturating_sub(start_ns));
    }

    /// Stays awake until a client has something to return, or until `until_ns`. Calls `between` between two looks.
    /// Returns the time at which it ended, in ns.
    fn stay_awake_until(&self, until_ns: u64, between: impl Fn()) -> u64 {
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= until_ns || self.ready.any() {
                return now_ns;
            }
            between();
        }
    }

    /// Ends the thread's work and returns its results.
    pub fn finish(mut self, error: Option<anyhow::Error>) -> LoadOutcome {
        let ended_ns = self.clock.now_ns();
        self.recorder.at(ended_ns);
        let recorder = &mut self.recorder;
        let producers =
            self.producers.into_iter().map(|p| p.finish(&self.timeline, recorder, ended_ns)).collect();
        let consumers = self.readers.into_iter().map(Reader::finish).collect();
        LoadOutcome { producers, consumers, recorded: self.recorder.finish(), ended_ns, error }
    }
}
