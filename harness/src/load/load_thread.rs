//! One thread a load core: it runs all logical producers and consumers of that core, and sleeps when none has work.
//!
//! It never waits for the target and never computes: what it cannot do now it is woken for. Colocated load is the same
//! work as a task of the shard's own thread, which lets the shard have its turn after each of its own.

use super::ack_log::AckLog;
use super::consumers::{Consumer, ConsumerOutcome, ConsumerPlan};
use super::pool::Pool;
use super::producers::{Producer, ProducerOutcome, ProducerPlan};
use super::seat::{ConsumerSeat, ProducerSeat};
use super::shared::Shared;
use super::turn::Turn;
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

/// In the drain a thread looks this often whether the others are done.
const DRAIN_LOOK_NS: u64 = 2_000_000;
/// A thread on a core of its own spins for what is due sooner than this; a sleep costs about as much.
const SPIN_NS_MAX: u64 = 100_000;
/// How long a thread looks for acks before it sleeps: some round trips of a fast disk.
const POLL_NS_MAX: u64 = 500_000;
/// The shortest sleep. Shorter ones gain nothing, as falling asleep and waking up take about as long, and they harm the
/// target: a core that does nothing else is late for the disk's interrupts, most of all in a virtual machine. At 520 k
/// records/s on two virtual cores, sleeps of 10 µs kept the thread's core busy for 84 % of the time and its pacing lag at a
/// p99 of 1.2 ms; these, for 42 % and at 0.5 ms, at the price of so much pacing lag at most.
const SLEEP_NS_MIN: u64 = 50_000;

/// What a load thread does while nothing is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Sleep until the next record is due or a client wakes it.
    Sleep,
    /// Spin through short waits: only on a core that nothing else needs.
    Spin,
    /// Look for acks a while, giving way to whoever else wants the core, and sleep only then: where all that is waited for is
    /// an ack, a sleep would be part of its latency.
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

/// The parts of a load thread. They are made on any thread, and the load thread takes them over.
pub struct LoadPlan {
    /// The trial's phases.
    pub timeline: Arc<Timeline>,
    /// What the trial's threads tell each other.
    pub shared: Arc<Shared>,
    /// Where its intervals go.
    pub channel: Channel,
    /// The values it sends.
    pub pool: Pool,
    /// Its producers.
    pub producers: Vec<(ProducerPlan, ProducerSeat)>,
    /// Its consumers.
    pub consumers: Vec<(ConsumerPlan, ConsumerSeat)>,
    /// Where acked batches are noted.
    pub ack_log: Option<AckLog>,
    /// What it does while nothing is due.
    pub idle: Idle,
    /// Its consumers read nothing before the window opens.
    pub starts_late: bool,
}

/// A load thread at work.
pub struct LoadThread<C> {
    clock: C,
    wall_start_ms: i64,
    timeline: Arc<Timeline>,
    shared: Arc<Shared>,
    recorder: Recorder,
    pool: Pool,
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    /// Producers first, then consumers.
    ready: ReadySet,
    ack_log: Option<AckLog>,
    idle: Idle,
    /// When its schedules think the window opens.
    anchored_ns: u64,
    /// Its consumers read nothing before that.
    starts_late: bool,
}

/// What a thread does after a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is more to do at once.
    Again,
    /// Nothing before this time, unless a client wakes it.
    Until(u64),
    /// Its work is done, or the drain is over.
    Finished,
}

/// What became of a load thread's work.
#[derive(Debug)]
pub struct LoadOutcome {
    /// Its producers.
    pub producers: Vec<ProducerOutcome>,
    /// Its consumers.
    pub consumers: Vec<ConsumerOutcome>,
    /// What its recorder held.
    pub recorded: Recorded,
    /// When it ended, on the trial's clock.
    pub ended_ns: u64,
    /// What stopped it early.
    pub error: Option<anyhow::Error>,
}

impl LoadOutcome {
    /// Of load that was never driven, or is not there any more.
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

/// Wakes colocated load, from wherever its clients' wakers are used.
#[derive(Debug, Default)]
pub struct Sleeper(AtomicWaker);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.wake();
    }
}

impl<C: Clock> LoadThread<C> {
    /// Takes up the plan; `thread` is the one that will call [`Self::run`] and is woken by its clients.
    ///
    /// # Errors
    /// The plan is one of a shard's.
    pub fn new(plan: LoadPlan, start: Start<C>, thread: &Thread) -> anyhow::Result<Self> {
        Self::seated(plan, start, None, &waker_of(thread))
    }

    /// Takes up the plan on its shard's thread; the answer's other half is for [`Self::run_colocated`].
    ///
    /// # Errors
    /// A client cannot be made there.
    pub fn colocated(
        plan: LoadPlan,
        start: Start<C>,
        local: &dyn LocalSystem,
    ) -> anyhow::Result<(Self, Arc<Sleeper>)> {
        let sleeper = Arc::<Sleeper>::default();
        Ok((Self::seated(plan, start, Some(local), &Waker::from(Arc::clone(&sleeper)))?, sleeper))
    }

    fn seated(
        plan: LoadPlan,
        start: Start<C>,
        local: Option<&dyn LocalSystem>,
        sleeper: &Waker,
    ) -> anyhow::Result<Self> {
        let recorder = Recorder::new(Arc::clone(&plan.timeline), start.clock.now_ns(), plan.channel);
        let producers =
            plan.producers.into_iter().map(|(p, seat)| Ok(Producer::new(p, seat.taken(local)?, &plan.pool)));
        let producers: Vec<_> = producers.collect::<anyhow::Result<_>>()?;
        let consumers = plan.consumers.into_iter().map(|(c, seat)| Ok(Consumer::new(c, seat.taken(local)?)));
        let consumers: Vec<_> = consumers.collect::<anyhow::Result<_>>()?;
        Ok(Self {
            ready: ReadySet::new(producers.len() + consumers.len(), sleeper),
            clock: start.clock,
            wall_start_ms: start.wall_ms,
            anchored_ns: plan.timeline.window_start_ns(),
            starts_late: plan.starts_late,
            timeline: plan.timeline,
            shared: plan.shared,
            recorder,
            pool: plan.pool,
            producers,
            consumers,
            ack_log: plan.ack_log,
            idle: plan.idle,
        })
    }

    /// Works until the trial is over.
    pub fn run(mut self) -> LoadOutcome {
        let error = loop {
            match self.turn() {
                Ok(Next::Again) => {}
                Ok(Next::Until(ns)) => self.wait_until(ns),
                Ok(Next::Finished) => break None,
                Err(error) => {
                    self.shared.give_up();
                    break Some(error);
                }
            }
        };
        self.finish(error)
    }

    /// Works until the trial is over, as a task of the shard that `local` is.
    pub async fn run_colocated(mut self, local: &dyn LocalSystem, sleeper: &Sleeper) -> LoadOutcome {
        let error = loop {
            match self.turn() {
                Ok(Next::Again) => local.yield_now().await,
                Ok(Next::Until(ns)) => self.sleep_until(ns, local, sleeper).await,
                Ok(Next::Finished) => break None,
                Err(error) => {
                    self.shared.give_up();
                    break Some(error);
                }
            }
        };
        self.finish(error)
    }

    /// Leaves the thread to the shard until `until_ns`, unless a client has something to say before.
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

    /// Gives everyone who is ready or due their turn: consumers first, so that reading never falls behind for lack of
    /// turns.
    ///
    /// # Errors
    /// The target failed; the trial is over.
    pub fn turn(&mut self) -> anyhow::Result<Next> {
        let window_start_ns = self.timeline.window_start_ns();
        if self.anchored_ns != window_start_ns {
            self.anchored_ns = window_start_ns;
            self.producers.iter_mut().for_each(|producer| producer.anchor(window_start_ns));
        }
        let mut turn = Turn {
            clock: &self.clock,
            timeline: &self.timeline,
            shared: &self.shared,
            recorder: &mut self.recorder,
            pool: &mut self.pool,
            ack_log: self.ack_log.as_mut(),
            wall_start_ms: self.wall_start_ms,
        };
        let mut again = false;
        let may_consume = !self.starts_late || turn.now() >= self.anchored_ns;
        if self.starts_late && may_consume {
            self.starts_late = false;
            (self.producers.len()..).zip(&self.consumers).for_each(|(client, _)| self.ready.put_back(client));
        }
        for (client, consumer) in (self.producers.len()..).zip(&mut self.consumers) {
            // One that may not read yet is not ready, whatever it says: its thread sleeps.
            let is_ready = self.ready.take(client) && may_consume;
            if is_ready && consumer.poll(&mut turn, self.ready.waker(client))? {
                self.ready.put_back(client);
                again = true;
            }
            if may_consume && consumer.is_behind() && consumer.catch_up(turn.shared) {
                // The last of them: this is what the window was for.
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
            producer.settle(&self.timeline, &self.shared, now_ns);
        }
        Ok(if again { Next::Again } else { self.next(now_ns) })
    }

    fn next(&mut self, now_ns: u64) -> Next {
        let is_drain = now_ns >= self.timeline.window_end_ns();
        if is_drain {
            self.consumers.iter_mut().for_each(|consumer| consumer.settle(&self.shared));
            let is_done =
                self.producers.iter().all(Producer::is_done) && self.consumers.iter().all(Consumer::is_done);
            if is_done || now_ns >= self.timeline.drain_end_ns() {
                return Next::Finished;
            }
        }
        if self.shared.is_given_up() {
            return Next::Finished;
        }
        let look_ns = if is_drain { now_ns + DRAIN_LOOK_NS } else { self.recorder.interval_end_ns() };
        // What is past needs an ack, not time: a producer that has sent everything is due at the window's end.
        let dues = self.producers.iter().map(|producer| producer.next_due_ns(&self.timeline));
        let opens_ns = if self.starts_late { self.anchored_ns } else { u64::MAX };
        let dues = dues.chain((opens_ns > now_ns).then_some(opens_ns));
        let due_ns = dues.filter(|due_ns| !is_drain || *due_ns > now_ns).min().unwrap_or(u64::MAX);
        Next::Until(due_ns.min(look_ns))
    }

    fn wait_until(&mut self, until_ns: u64) {
        let start_ns = self.clock.now_ns();
        let wait_ns = until_ns.saturating_sub(start_ns);
        let left_ns = match self.idle {
            Idle::Spin if wait_ns <= SPIN_NS_MAX => self.look_until(until_ns, std::hint::spin_loop),
            Idle::Poll => self.look_until(until_ns.min(start_ns + POLL_NS_MAX), std::thread::yield_now),
            Idle::Spin | Idle::Sleep => start_ns,
        };
        let wait_ns = until_ns.saturating_sub(left_ns);
        if wait_ns > 0 && !self.ready.any() {
            std::thread::park_timeout(Duration::from_nanos(wait_ns.max(SLEEP_NS_MIN)));
        }
        self.recorder.idle(self.clock.now_ns().saturating_sub(start_ns));
    }

    /// Stays awake until a client has something to say, or `until_ns`; says when that was.
    fn look_until(&self, until_ns: u64, between: impl Fn()) -> u64 {
        loop {
            let now_ns = self.clock.now_ns();
            if now_ns >= until_ns || self.ready.any() {
                return now_ns;
            }
            between();
        }
    }

    /// Ends the thread's work and hands over what it knows.
    pub fn finish(mut self, error: Option<anyhow::Error>) -> LoadOutcome {
        let ended_ns = self.clock.now_ns();
        self.recorder.at(ended_ns);
        let recorder = &mut self.recorder;
        let producers =
            self.producers.into_iter().map(|p| p.finish(&self.timeline, recorder, ended_ns)).collect();
        let consumers = self.consumers.into_iter().map(Consumer::finish).collect();
        LoadOutcome { producers, consumers, recorded: self.recorder.finish(), ended_ns, error }
    }
}
