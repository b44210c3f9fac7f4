//! The pump: a shard's turns, and how it waits between them.

use super::mailbox::{Append, Call, FetchRequest};
use super::{AppendOutcome, FetchOutcome, Partition, Shard, TimeStats};
use crate::num::ns_of;
use crate::types::PollMode;
use futures_util::stream::StreamExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

/// Longest that a shard polls for a completion after it last had work.
const POLL_IN_FLIGHT: Duration = Duration::from_millis(1);

/// Longest that it polls for messages when nothing is in flight.
const POLL_IDLE: Duration = Duration::from_micros(50);

/// Waits shorter than this are polled through: to park and to be woken takes about as long.
const PARK_LEAST: Duration = Duration::from_micros(100);

/// How often glommio's reactor gets a turn while the pump polls: without, timers starve. It takes some 15 µs, and serves
/// nothing but the heartbeat, every 10 ms.
const REACTOR_EVERY: Duration = Duration::from_millis(1);

/// Most messages of a kind taken before the device gets what they ask for: it has work while the next ones are copied, and
/// while it has, it need not be told of more (to tell a virtual one takes 25 µs). With 4 KiB on each of 64 partitions: 1.21
/// times the raw round with 4, 1.28 with 8, 1.37 with 16; not below the committer's `SHARED_FROM`.
const MESSAGES_AT_ONCE: usize = 4;

/// Most times that messages are taken in a turn. Completions are looked at once a turn, so whoever is taken in one turn
/// shares its flush.
const TAKES_A_TURN: usize = 16;

/// Most bytes of appends taken in one turn from other threads, and as many from the shard's own tasks, but for the last
/// append. A turn copies them (some 60 µs), and the writes in flight must not run out meanwhile: 8 of 256 KiB last about 1 ms.
const APPEND_BYTES_A_TURN: usize = 512 << 10;

/// Most jobs one partition starts before the next has its turn.
const JOBS_A_TURN: usize = 8;

/// What of its bytes a turn may still take: neither side keeps the other waiting.
struct Left {
    remote_bytes: usize,
    local_bytes: usize,
}

/// Remembers that some future of this shard wants to be polled.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Shard {
    /// Turns until [`Shard::end`].
    pub(super) async fn pump(self: Rc<Self>) {
        let flag = Arc::new(Flag::default());
        let waker = Waker::from(Arc::clone(&flag));
        let mut last_work = Instant::now();
        let mut last_reactor = last_work;
        let mut now = last_work;
        while !self.is_ending.get() {
            let colocated_ns = self.times.get().colocated_ns;
            let worked = self.turn(&waker, now) | flag.0.swap(false, Ordering::Acquire);
            let begun = std::mem::replace(&mut now, Instant::now());
            let colocated = Duration::from_nanos(self.times.get().colocated_ns - colocated_ns);
            let own = (now - begun).saturating_sub(colocated);
            self.count(own, |times| if worked { &mut times.work_ns } else { &mut times.poll_ns });
            self.committer.borrow_mut().passed(now - begun);
            if worked {
                last_work = now;
            }
            if now - last_reactor >= REACTOR_EVERY {
                last_reactor = now;
                let _ = self.ring.reactor_turn().await;
            } else if !worked && self.may_park(now - last_work, now) && self.prepare_to_park() {
                let _ = self.ring.park(self.lanes.next_due()).await;
                self.mailbox.unparked();
                let begun = std::mem::replace(&mut now, Instant::now());
                self.count(now - begun, |times| &mut times.parked_ns);
                self.committer.borrow_mut().passed(now - begun);
                (last_work, last_reactor) = (now, now);
            }
        }
    }

    fn count(&self, spent: Duration, which: impl Fn(&mut TimeStats) -> &mut u64) {
        let mut times = self.times.get();
        *which(&mut times) += ns_of(spent);
        self.times.set(times);
    }

    fn may_park(&self, idle: Duration, now: Instant) -> bool {
        let patience = if self.ring.in_flight() > 0 { POLL_IN_FLIGHT } else { POLL_IDLE };
        match self.poll {
            PollMode::Busy => false,
            PollMode::Park => true,
            PollMode::Adaptive => {
                idle >= patience && self.lanes.next_due().is_none_or(|due| due > now + PARK_LEAST)
            }
        }
    }

    /// Announces that the shard is going to park; `false` if there is something to do after all.
    fn prepare_to_park(&self) -> bool {
        let may_park = self.mailbox.prepare_to_park();
        // Looked at after the announcement: who raises it later wakes the shard.
        if may_park && (self.colocated.is_woken() || !self.lanes.is_empty()) {
            self.mailbox.unparked();
            return false;
        }
        may_park
    }

    /// One turn; whether there was anything to do.
    fn turn(self: &Rc<Self>, waker: &Waker, now: Instant) -> bool {
        let context = &mut Context::from_waker(waker);
        let mut worked = self.ring.reap() > 0;
        if self.finish_jobs(context) {
            worked = true;
            self.drive_listed(now);
        }
        // First of all the device gets what waits for it: it has nothing to do while messages are copied.
        self.hand_over(context);
        worked |= self.run_colocated(now);
        let mut left = Left { remote_bytes: APPEND_BYTES_A_TURN, local_bytes: APPEND_BYTES_A_TURN };
        for _ in 0..TAKES_A_TURN {
            let has_taken = self.take_messages(now, &mut left);
            worked |= has_taken | self.drive_listed(now);
            worked |= self.poll_tasks(context);
            self.hand_over(context);
            if !has_taken {
                break;
            }
        }
        worked
    }

    /// Gives the device its writes and the clients their acks.
    fn hand_over(&self, context: &mut Context<'_>) {
        self.committer.borrow_mut().submit(context);
        self.ring.submit();
        for inbox in self.acked.borrow_mut().drain(..) {
            inbox.waker.wake();
        }
    }

    /// Gives callers' tasks that want it their turn.
    fn run_colocated(&self, now: Instant) -> bool {
        self.lanes.fire(now);
        let is_woken = self.colocated.is_woken();
        if is_woken {
            let begun = Instant::now();
            self.colocated.poll();
            self.count(begun.elapsed(), |times| &mut times.colocated_ns);
        }
        is_woken
    }

    fn finish_jobs(&self, context: &mut Context<'_>) -> bool {
        let mut finished = false;
        loop {
            let done = self.committer.borrow_mut().poll_done(context);
            let Some((slot, done)) = done else { break };
            finished = true;
            if let Some(partition) = self.partition(slot) {
                partition.log.job_done(done);
                self.list(slot);
            }
        }
        if finished {
            for slot in self.starved.take() {
                self.list(slot);
            }
        }
        finished
    }

    /// Takes some of what waits; whether there was anything.
    fn take_messages(self: &Rc<Self>, now: Instant, left: &mut Left) -> bool {
        let mut taken = 0;
        while taken < MESSAGES_AT_ONCE
            && let Some(call) = self.mailbox.pop_call()
        {
            taken += 1;
            match call {
                Call::Fetch(request) => self.fetch(request, now),
                Call::Run(task) => self.spawn(task(Rc::clone(self))),
            }
        }
        taken += self.take_appends(&mut left.remote_bytes, || self.mailbox.pop_append());
        taken += self.take_local(now, &mut left.local_bytes);
        if taken > 0 {
            self.mailbox.room_made();
        }
        taken > 0
    }

    /// What the shard's own tasks have put in.
    fn take_local(self: &Rc<Self>, now: Instant, bytes: &mut usize) -> usize {
        let mut taken = 0;
        while taken < MESSAGES_AT_ONCE
            && let Some(request) = self.lanes.pop_fetch()
        {
            taken += 1;
            self.fetch(request, now);
        }
        taken + self.take_appends(bytes, || self.lanes.pop_append())
    }

    /// Takes some appends, as long as there are `bytes` left; how many.
    fn take_appends(&self, bytes: &mut usize, pop: impl Fn() -> Option<Append>) -> usize {
        let mut taken = 0;
        while taken < MESSAGES_AT_ONCE
            && *bytes > 0
            && let Some(append) = pop()
        {
            taken += 1;
            *bytes = bytes.saturating_sub(append.batch.len());
            self.append(append);
        }
        taken
    }

    fn append(&self, append: Append) {
        let slot = append.slot;
        let Some(partition) = self.open_at(slot) else {
            self.mailbox.taken(append.batch.len());
            self.answer(append.reply, Err(self.gone().0));
            return;
        };
        self.list(slot);
        if partition.waiting.borrow().is_empty() {
            if let Some(append) = self.put(&partition, append) {
                partition.waiting.borrow_mut().push_back(append);
            }
        } else {
            partition.waiting.borrow_mut().push_back(append);
        }
    }

    /// Puts an append into its log; it comes back if the log cannot take it now.
    fn put(&self, partition: &Partition, append: Append) -> Option<Append> {
        let bytes = append.batch.len();
        match partition.append(append) {
            AppendOutcome::Taken => {
                self.mailbox.taken(bytes);
                None
            }
            AppendOutcome::Failed(reply, error) => {
                self.mailbox.taken(bytes);
                self.answer(reply, Err(error));
                None
            }
            AppendOutcome::NotNow(append) => Some(append),
        }
    }

    fn fetch(self: &Rc<Self>, request: FetchRequest, now: Instant) {
        let slot = request.slot;
        let Some(partition) = self.open_at(slot) else {
            request.answer(Err(self.gone().1));
            return;
        };
        if let FetchOutcome::FromDisk(request) = partition.fetch(request, now) {
            let (shard, reader) = (Rc::clone(self), Rc::clone(&partition));
            self.spawn_for(slot, &partition, async move {
                if !reader.fetch_from_disk(request).await {
                    // What other logs have read ahead may be all there is, and nobody else would ever let go of it.
                    shard.shed_memory();
                }
            });
        }
    }

    /// Looks once at each partition that is listed now.
    fn drive_listed(self: &Rc<Self>, now: Instant) -> bool {
        let count = self.listed.borrow().len();
        for _ in 0..count {
            let Some(slot) = self.listed.borrow_mut().pop_front() else { break };
            let Some(partition) = self.partition(slot) else { continue };
            partition.is_listed.set(false);
            self.drive(slot, &partition);
            for request in partition.take_ready_fetches() {
                self.fetch(request, now);
            }
        }
        count > 0
    }

    /// Moves a partition on: waiting appends, jobs, acks, background work.
    pub(super) fn drive(self: &Rc<Self>, slot: usize, partition: &Rc<Partition>) {
        // Acks before refusals: answers come in order.
        self.deliver(partition);
        self.put_waiting(slot, partition);
        let mut started = 0;
        while started < JOBS_A_TURN && self.committer.borrow().has_room() {
            let Some(job) = partition.log.next_job() else { break };
            self.committer.borrow_mut().start(slot, job);
            started += 1;
        }
        if started == JOBS_A_TURN {
            self.list(slot);
        } else if !self.committer.borrow().has_room() {
            self.starved.borrow_mut().push(slot);
        }
        self.deliver(partition);
        let wants = partition.log.wants();
        if wants.roll {
            self.spawn_for(slot, partition, Rc::clone(&partition.log).roll());
        }
        if wants.seal {
            self.spawn_for(slot, partition, Rc::clone(&partition.log).seal());
        }
        if wants.retain {
            self.spawn_for(slot, partition, Rc::clone(&partition.log).retain());
        }
        if wants.cut {
            self.spawn_for(slot, partition, Rc::clone(&partition.log).cut());
        }
        if wants.spare {
            self.spawn_for(slot, partition, Rc::clone(&partition.log).prepare_spare());
        }
    }

    fn put_waiting(&self, slot: usize, partition: &Partition) {
        let (mut has_shed, mut taken_bytes) = (false, 0);
        loop {
            if taken_bytes >= APPEND_BYTES_A_TURN {
                self.list(slot);
                break;
            }
            let Some(append) = partition.waiting.borrow_mut().pop_front() else { break };
            let bytes = append.batch.len();
            let Some(append) = self.put(partition, append) else {
                taken_bytes += bytes;
                continue;
            };
            partition.waiting.borrow_mut().push_front(append);
            if has_shed || partition.log.wants_roll() {
                break;
            }
            // Not for the want of a segment, so of memory.
            has_shed = true;
            self.shed_memory();
            self.starved.borrow_mut().push(slot);
        }
        if taken_bytes > 0 {
            self.mailbox.room_made();
        }
    }

    /// What the logs keep for readers goes, as far as it is written: the arena is used up, or readers are to find it cold.
    pub(crate) fn shed_memory(&self) {
        for partition in self.partitions.borrow().iter().flatten() {
            partition.log.shed_memory();
        }
    }

    /// Hands out acks that are due.
    pub(super) fn deliver(&self, partition: &Partition) {
        let mut acks = Vec::new();
        partition.log.take_acks(&mut acks);
        for (reply, outcome) in acks {
            self.answer(reply, outcome);
        }
    }

    fn poll_tasks(&self, context: &mut Context<'_>) -> bool {
        let mut worked = false;
        loop {
            let new = self.new_tasks.take();
            worked |= !new.is_empty();
            // Tasks begin others through `new_tasks` and never touch `tasks`.
            let mut tasks = self.tasks.borrow_mut();
            tasks.extend(new);
            while let Poll::Ready(Some(())) = tasks.poll_next_unpin(context) {
                worked = true;
            }
            drop(tasks);
            if self.new_tasks.borrow().is_empty() {
                return worked;
            }
        }
    }

    /// Lets every log see whether records have outlived their age.
    pub(super) fn look_at_retention(&self) {
        let mut is_due = false;
        for slot in self.slots() {
            let Some(partition) = self.open_at(slot) else { continue };
            partition.log.look_at_retention();
            if partition.log.wants().retain {
                self.list(slot);
                is_due = true;
            }
        }
        if is_due {
            // The pump may be parked, and nothing else would tell it.
            self.mailbox.rouse();
        }
    }

    /// Lets logs that found the disk full try again, those whose time it is.
    pub(super) fn retry(&self) {
        let mut is_due = false;
        for slot in self.slots() {
            if self.partition(slot).is_some_and(|partition| partition.log.retry()) {
                self.list(slot);
                is_due = true;
            }
        }
        if is_due {
            self.mailbox.rouse();
        }
    }

    /// Answers fetches whose time is up.
    pub(super) fn expire_fetches(&self, now: Instant) {
        for partition in self.partitions.borrow().iter().flatten() {
            partition.expire_fetches(now);
        }
    }
}
