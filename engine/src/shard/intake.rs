//! The messages that a shard takes: appends into their logs, fetches and calls. This file also bounds how many are
//! taken at a time and in a turn.

use super::clients::mailbox::{Append, Call, FetchRequest};
use super::timers::TimerKind;
use super::{AppendOutcome, FetchOutcome, Partition, Shard};
use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

/// Most messages of a kind that are taken before the device gets the writes they ask for.
///
/// The device then has work while the next messages are copied, and a busy device does not need to be notified of each
/// write: to notify a virtual device takes 25 µs. Measured with 4 KiB on each of 64 partitions: 1.21 times the time of
/// the raw writes with 4 messages, 1.28 times with 8, 1.37 times with 16. Not below the committer's `SHARED_FROM`.
const MESSAGES_AT_ONCE: usize = 4;

/// Most times that messages are taken in a turn. Completions are reaped once a turn, so appends that are taken in one
/// turn can share a flush.
pub(super) const TAKES_A_TURN: usize = 16;

/// Time in a turn after which no more messages are taken, so that completions never wait for long.
pub(super) const TURN_MAX: Duration = Duration::from_millis(1);

/// Most bytes of appends taken in one turn from other threads, and as many from the shard's own tasks. The last append
/// may exceed it. A turn copies these bytes in about 60 µs. The writes in flight must not run out meanwhile: 8 of 256
/// KiB last about 1 ms.
const APPEND_BYTES_A_TURN: usize = 512 << 10;

/// The appends that a turn may still take. Other threads and the shard's own tasks have separate bytes, so that neither
/// keeps the other waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct TurnBudget {
    /// How often the turn may still take appends while a caller's task runs.
    early_takes: usize,
    /// The time after which the turn takes no more appends while a caller's task runs.
    early_until: Instant,
    /// Bytes of appends that the turn may still take from other threads.
    remote_bytes: usize,
    /// Bytes of appends that the turn may still take from the shard's own tasks.
    local_bytes: usize,
}

impl TurnBudget {
    /// The budget of a turn that begins at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            early_takes: TAKES_A_TURN,
            early_until: now + TURN_MAX,
            remote_bytes: APPEND_BYTES_A_TURN,
            local_bytes: APPEND_BYTES_A_TURN,
        }
    }
}

impl Shard {
    /// Takes some of the waiting messages of each kind. Returns whether there were any.
    pub(super) fn take_messages(self: &Rc<Self>, now: Instant) -> bool {
        let mut taken = 0;
        while taken < MESSAGES_AT_ONCE
            && let Some(call) = self.mailbox.pop_call()
        {
            taken += 1;
            self.note_call_taken();
            match call {
                Call::Fetch(request) => self.fetch(request, now),
                Call::Group(call) => self.group_call(*call),
                Call::Run(task) => self.spawn(task(Rc::clone(self))),
            }
        }
        taken += self.take_appends(|budget| &mut budget.remote_bytes, || self.mailbox.pop_append());
        taken += self.take_own_fetches(now);
        taken += self.take_own_appends();
        if taken > 0 {
            self.mailbox.wake_waiting_clients();
        }
        taken > 0
    }

    fn take_own_fetches(self: &Rc<Self>, now: Instant) -> usize {
        let mut taken = 0;
        while taken < MESSAGES_AT_ONCE
            && let Some(request) = self.local_queues.pop_fetch()
        {
            taken += 1;
            self.fetch(request, now);
        }
        taken
    }

    fn take_own_appends(&self) -> usize {
        self.take_appends(|budget| &mut budget.local_bytes, || self.local_queues.pop_append())
    }

    /// Whether the shard may take some of `waiting` appends while a caller's task runs. Not if there are only a few,
    /// and not once the turn has taken much.
    pub(super) fn may_take_early(&self, waiting: usize) -> bool {
        let budget = self.turn_budget.get();
        waiting >= MESSAGES_AT_ONCE
            && budget.early_takes > 0
            && budget.local_bytes > 0
            && Instant::now() < budget.early_until
    }

    /// Takes some of the appends that the shard's own tasks have sent. Submits the writes that follow, and wakes
    /// producers for their acks.
    pub(super) fn take_early(self: &Rc<Self>) {
        let budget = self.turn_budget.get();
        self.turn_budget.set(TurnBudget { early_takes: budget.early_takes - 1, ..budget });
        self.take_own_appends();
        self.mailbox.wake_waiting_clients();
        self.drive_listed(Instant::now());
        self.hand_over(&mut Context::from_waker(&self.waker()));
    }

    /// Takes some appends while the turn's budget has bytes for them. Returns their number.
    fn take_appends(
        &self,
        bytes_left: fn(&mut TurnBudget) -> &mut usize,
        pop: impl Fn() -> Option<Append>,
    ) -> usize {
        let (mut taken, mut budget) = (0, self.turn_budget.get());
        while taken < MESSAGES_AT_ONCE
            && *bytes_left(&mut budget) > 0
            && let Some(append) = pop()
        {
            taken += 1;
            let bytes_left = bytes_left(&mut budget);
            *bytes_left = bytes_left.saturating_sub(append.batch.len());
            self.append(append);
        }
        self.turn_budget.set(budget);
        taken
    }

    pub(super) fn append(&self, append: Append) {
        let slot = append.slot;
        let Some(partition) = self.open_at(slot) else {
            self.mailbox.release_bytes(append.batch.len());
            self.answer(append.reply, Err(self.not_open_errors().0));
            return;
        };
        if self.refuses_new.get() {
            partition.late.borrow_mut().push_back(append);
            return;
        }
        self.list(slot);
        if partition.waiting.borrow().is_empty() {
            if let Some(append) = self.put(slot, &partition, append) {
                partition.waiting.borrow_mut().push_back(append);
            }
        } else {
            partition.waiting.borrow_mut().push_back(append);
        }
    }

    /// Puts an append into its log. Returns the append if the log cannot take it now. An append that needs memory waits
    /// behind those that already wait for memory.
    fn put(&self, slot: usize, partition: &Partition, append: Append) -> Option<Append> {
        if self.memory.has_starved() && partition.log.memory_for(append.batch.len()).is_some() {
            self.starve(slot);
            return Some(append);
        }
        self.put_now(slot, partition, append)
    }

    /// Puts an append into its log, even if others wait for memory. Returns the append if the log cannot take it now.
    pub(super) fn put_now(&self, slot: usize, partition: &Partition, append: Append) -> Option<Append> {
        #[cfg(feature = "delayed-appends")]
        delay();
        let bytes = append.batch.len();
        let mut outcome = partition.append(append);
        if let AppendOutcome::NoMemory(append) = outcome {
            let needed = partition.log.memory_for(bytes);
            if needed.is_some_and(|bytes| !self.find_room(bytes)) {
                self.starve(slot);
                return Some(append);
            }
            outcome = partition.append(append);
        }
        match outcome {
            AppendOutcome::Taken => {
                self.note_memory_use(slot, bytes);
                self.mailbox.release_bytes(bytes);
                None
            }
            AppendOutcome::Failed(reply, error) => {
                self.mailbox.release_bytes(bytes);
                // Acks before refusals, so that answers come in the order of the appends.
                self.deliver(partition);
                self.answer(reply, Err(error));
                None
            }
            AppendOutcome::NotNow(append) => Some(append),
            AppendOutcome::NoMemory(append) => {
                self.starve(slot);
                Some(append)
            }
        }
    }

    pub(super) fn fetch(self: &Rc<Self>, request: FetchRequest, now: Instant) {
        let slot = request.slot;
        let Some(partition) = self.open_at(slot).filter(|_| !self.refuses_new.get()) else {
            request.answer(Err(self.not_open_errors().1));
            return;
        };
        match partition.fetch(request, now) {
            FetchOutcome::Done => {}
            FetchOutcome::Waiting(until) => {
                self.timers.set(slot, &partition.timers, TimerKind::Fetches, until);
            }
            FetchOutcome::FromDisk(request) => {
                self.find_read_room(slot);
                let (shard, reader) = (Rc::clone(self), Rc::clone(&partition));
                self.spawn_for(slot, &partition, async move {
                    let bytes = reader.fetch_from_disk(request).await;
                    // While it read, the log may have been asked for memory, and so may have left the list of memory
                    // holders.
                    shard.note_memory_use(slot, bytes);
                });
            }
        }
    }

    /// Puts waiting appends into the log until the log takes no more, or until this turn's bytes are used.
    pub(super) fn put_waiting(&self, slot: usize, partition: &Partition) {
        let mut taken_bytes = 0;
        loop {
            if taken_bytes >= APPEND_BYTES_A_TURN {
                self.list(slot);
                break;
            }
            let Some(append) = partition.waiting.borrow_mut().pop_front() else { break };
            let bytes = append.batch.len();
            if let Some(append) = self.put(slot, partition, append) {
                partition.waiting.borrow_mut().push_front(append);
                break;
            }
            taken_bytes += bytes;
        }
        if taken_bytes > 0 {
            self.mailbox.wake_waiting_clients();
        }
    }
}

/// Waits as long as the environment variable `VNOTCH_APPEND_DELAY_NS` says, without giving up the core.
#[cfg(feature = "delayed-appends")]
fn delay() {
    static DELAY: std::sync::LazyLock<std::time::Duration> = std::sync::LazyLock::new(|| {
        let text = std::env::var("VNOTCH_APPEND_DELAY_NS").unwrap_or_default();
        std::time::Duration::from_nanos(text.parse().unwrap_or(0))
    });
    let begun = Instant::now();
    while begun.elapsed() < *DELAY {
        std::hint::spin_loop();
    }
}
