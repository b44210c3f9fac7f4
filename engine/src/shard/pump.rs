//! The pump: a shard's turns, and its waits between them.

use super::intake::{TAKES_A_TURN, TURN_MAX, TurnBudget};
use super::pulse::Phase;
use super::{Partition, Shard, TimeStats};
use crate::num::ns_of;
use crate::types::PollMode;
use futures_util::stream::StreamExt as _;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Longest time that a shard polls for a completion after it last had work.
const POLL_IN_FLIGHT: Duration = Duration::from_millis(1);

/// Longest time that a shard polls for messages when nothing is in flight.
const POLL_IDLE: Duration = Duration::from_micros(50);

/// Shortest wait for which the pump parks. It polls through shorter ones: to park and to be woken takes about as long.
const PARK_LEAST: Duration = Duration::from_micros(100);

/// How often glommio's reactor gets a turn while the pump polls. Without its turns, timers would never fire. A turn
/// takes some 15 µs, and serves only the heartbeat, which fires every 10 ms while there is work.
const REACTOR_EVERY: Duration = Duration::from_millis(1);

impl Shard {
    /// Runs turns until [`Shard::end`], or until the shard's handle is gone.
    pub(super) async fn pump(self: Rc<Self>) {
        let waker = self.waker();
        let mut last_work = Instant::now();
        let mut last_reactor = last_work;
        let mut now = last_work;
        while !self.is_ending.get() && !self.mailbox.is_closed() {
            let colocated_ns = self.times.get().colocated_ns;
            self.mailbox.pulse.begin_turn(self.ring.in_flight());
            let worked = self.turn(&waker, now) | self.pump_flag.lower();
            let begun = std::mem::replace(&mut now, Instant::now());
            let colocated = Duration::from_nanos(self.times.get().colocated_ns - colocated_ns);
            let own = (now - begun).saturating_sub(colocated);
            self.count(own, |times| if worked { &mut times.work_ns } else { &mut times.poll_ns });
            self.committer.borrow_mut().account_for(now - begun);
            if worked {
                last_work = now;
            }
            if now - last_reactor >= REACTOR_EVERY {
                last_reactor = now;
                self.mailbox.pulse.begin_wait(Phase::ReactorTurn, self.ring.in_flight());
                let _ = self.ring.reactor_turn().await;
            } else if !worked && self.may_park(now - last_work, now) && self.prepare_to_park() {
                self.mailbox.pulse.begin_wait(Phase::Parked, self.ring.in_flight());
                let _ = self.ring.park(self.wake_at(now)).await;
                self.mailbox.end_park();
                let begun = std::mem::replace(&mut now, Instant::now());
                self.count(now - begun, |times| &mut times.parked_ns);
                self.committer.borrow_mut().account_for(now - begun);
                (last_work, last_reactor) = (now, now);
            } else if !worked && self.ring.workers_in_flight() > 0 {
                // A kernel worker of the ring runs on this core. It may be ready to run, but this thread would keep the
                // core until it parks.
                std::thread::yield_now();
            }
        }
    }

    pub(super) fn waker(&self) -> Waker {
        Waker::from(Arc::clone(&self.pump_flag))
    }

    pub(super) fn count(&self, spent: Duration, which: impl Fn(&mut TimeStats) -> &mut u64) {
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
                idle >= patience && self.local_queues.next_due().is_none_or(|due| due > now + PARK_LEAST)
            }
        }
    }

    /// Announces that the shard is about to park. Returns `false` if there is work, so that it must not park.
    fn prepare_to_park(&self) -> bool {
        let may_park = self.mailbox.prepare_to_park();
        // This check comes after the announcement: work that arrives later wakes the shard.
        if may_park && self.has_work(Instant::now()) {
            self.mailbox.end_park();
            return false;
        }
        may_park
    }

    /// Whether the pump would find something to do in a turn at `now`.
    pub(super) fn has_work(&self, now: Instant) -> bool {
        self.mailbox.has_messages()
            || self.mailbox.is_closed()
            || self.is_ending.get()
            || !self.local_queues.is_empty()
            || self.local_queues.next_due().is_some_and(|due| due <= now)
            || self.colocated.is_woken()
            || self.memory.has_returned()
            || self.pump_flag.is_raised()
            || !self.listed.borrow().is_empty()
            || !self.new_tasks.borrow().is_empty()
            || self.ring.has_completions()
    }

    /// Runs one turn. Returns whether there was anything to do.
    fn turn(self: &Rc<Self>, waker: &Waker, now: Instant) -> bool {
        let context = &mut Context::from_waker(waker);
        let mut worked = (self.ring.reap() > 0) | self.fire_timers(now);
        if self.finish_jobs(context) | self.share_returned_memory() {
            worked = true;
            self.drive_listed(now);
        }
        // First the device gets the writes that wait: otherwise it would be idle while messages are copied.
        self.hand_over(context);
        self.turn_budget.set(TurnBudget::new(now));
        worked |= self.run_colocated(now);
        let begun = Instant::now();
        for _ in 0..TAKES_A_TURN {
            let has_taken = self.take_messages(now);
            worked |= has_taken | self.run_due_ticks() | self.drive_listed(now);
            worked |= self.poll_tasks(context);
            self.hand_over(context);
            if !has_taken || begun.elapsed() > TURN_MAX {
                break;
            }
        }
        worked
    }

    /// Submits the writes to the device, and wakes the producers that have acks.
    pub(super) fn hand_over(&self, context: &mut Context<'_>) {
        self.committer.borrow_mut().submit(context);
        self.ring.submit();
        for inbox in self.acked.borrow_mut().drain(..) {
            inbox.wake(self.id);
        }
    }

    fn finish_jobs(&self, context: &mut Context<'_>) -> bool {
        let mut finished = false;
        loop {
            let done = self.committer.borrow_mut().poll_done(context);
            let Some((slot, done)) = done else { break };
            finished = true;
            if let Some(partition) = self.partition(slot) {
                partition.log.job_done(done);
                self.points.note();
                self.memory.written(slot);
                self.list(slot);
            }
        }
        finished
    }

    /// Looks once at each partition that is listed now. Then starts jobs of the partitions that wait for the committer.
    pub(super) fn drive_listed(self: &Rc<Self>, now: Instant) -> bool {
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
        let next_job = |slot| {
            let partition = self.partition(slot)?;
            let job = partition.log.next_job();
            // While the log waited for the committer, its file may have been closed for another log's file. Nothing else would
            // have it opened again.
            if job.is_none() && partition.log.wants().reopen {
                self.list(slot);
            }
            job
        };
        self.committer.borrow_mut().start_queued(next_job);
        count > 0
    }

    /// Does everything that a partition can do now: takes waiting appends, starts jobs, delivers acks, starts
    /// background work.
    pub(super) fn drive(self: &Rc<Self>, slot: usize, partition: &Rc<Partition>) {
        // Before anything is appended: a log that was full takes no appends until the producers of the appends that it
        // dropped have their answers.
        self.deliver(partition);
        self.put_waiting(slot, partition);
        let may_have_more = self.committer.borrow_mut().start_some(slot, || partition.log.next_job());
        if may_have_more {
            self.list(slot);
        }
        self.deliver(partition);
        let wants = partition.log.wants();
        if wants.reopen {
            self.spawn_for(slot, partition, Rc::clone(&partition.log).reopen());
        }
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
        self.set_log_timers(slot, partition);
    }

    /// Drops the written part of every log's read tail, so that the next reads go to the files.
    pub(crate) fn shed_memory(&self) {
        for partition in self.partitions.borrow().iter().flatten() {
            partition.log.shed_memory();
        }
    }

    /// Sends the acks that are due to their producers.
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
            // Tasks start other tasks through `new_tasks` and never borrow `tasks`.
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
}
