//! What a shard takes in: appends into their logs, fetches, calls; how much of it at once, and in a turn.

use super::mailbox::{Append, Call, FetchRequest};
use super::timers::TimerKind;
use super::{AppendOutcome, FetchOutcome, Partition, Shard};
use std::rc::Rc;
use std::task::Context;
use std::time::{Duration, Instant};

/// Most messages of a kind taken before the device gets what they ask for: it has work while the next ones are copied, and
/// while it has, it need not be told of more (to tell a virtual one takes 25 µs). With 4 KiB on each of 64 partitions: 1.21
/// times the raw round with 4, 1.28 with 8, 1.37 with 16; not below the committer's `SHARED_FROM`.
const MESSAGES_AT_ONCE: usize = 4;

/// Most times that messages are taken in a turn. Completions are looked at once a turn, so whoever is taken in one turn
/// shares its flush.
pub(super) const TAKES_A_TURN: usize = 16;

/// After that nothing more is taken in a turn: completions are not to wait for long, whatever the work is.
pub(super) const TURN_MAX: Duration = Duration::from_millis(1);

/// Most bytes of appends taken in one turn from other threads, and as many from the shard's own tasks, but for the last
/// append. A turn copies them (some 60 µs), and the writes in flight must not run out meanwhile: 8 of 256 KiB last about 1 ms.
const APPEND_BYTES_A_TURN: usize = 512 << 10;

/// What a turn may still take: neither side keeps the other waiting.
#[derive(Debug, Clone, Copy)]
pub(super) struct Left {
    /// Takes while callers' tasks have their turn, and until when.
    early_takes: usize,
    early_until: Instant,
    /// Of appends from other threads.
    remote_bytes: usize,
    /// Of appends from the shard's own tasks.
    local_bytes: usize,
}

impl Left {
    /// Of a turn that begins.
    pub(super) fn of_turn(now: Instant) -> Self {
        Self {
            early_takes: TAKES_A_TURN,
            early_until: now + TURN_MAX,
            remote_bytes: APPEND_BYTES_A_TURN,
            local_bytes: APPEND_BYTES_A_TURN,
        }
    }
}

impl Shard {
    /// Takes some of what waits; whether there was anything.
    pub(super) fn take_messages(self: &Rc<Self>, now: Instant) -> bool {
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
        taken += self.take_appends(|left| &mut left.remote_bytes, || self.mailbox.pop_append());
        taken += self.take_own_fetches(now);
        taken += self.take_own_appends();
        if taken > 0 {
            self.mailbox.room_made();
        }
        taken > 0
    }

    fn take_own_fetches(self: &Rc<Self>, now: Instant) -> usize {
        let mut taken = 0;
        while taken < MESSAGES_AT_ONCE
            && let Some(request) = self.lanes.pop_fetch()
        {
            taken += 1;
            self.fetch(request, now);
        }
        taken
    }

    fn take_own_appends(&self) -> usize {
        self.take_appends(|left| &mut left.local_bytes, || self.lanes.pop_append())
    }

    /// Whether the shard may take some of `waiting` appends while a caller's task has its turn: not if there are only a few,
    /// nor once the turn has taken much.
    pub(super) fn may_take_early(&self, waiting: usize) -> bool {
        let left = self.left.get();
        waiting >= MESSAGES_AT_ONCE
            && left.early_takes > 0
            && left.local_bytes > 0
            && Instant::now() < left.early_until
    }

    /// Takes some of the appends that the shard's own tasks have put in, and hands over what comes of them.
    pub(super) fn take_early(self: &Rc<Self>) {
        let left = self.left.get();
        self.left.set(Left { early_takes: left.early_takes - 1, ..left });
        self.take_own_appends();
        self.mailbox.room_made();
        self.drive_listed(Instant::now());
        self.hand_over(&mut Context::from_waker(&self.waker()));
    }

    /// Takes some appends, as long as there are bytes left for them; how many.
    fn take_appends(&self, bytes: fn(&mut Left) -> &mut usize, pop: impl Fn() -> Option<Append>) -> usize {
        let (mut taken, mut left) = (0, self.left.get());
        while taken < MESSAGES_AT_ONCE
            && *bytes(&mut left) > 0
            && let Some(append) = pop()
        {
            taken += 1;
            let bytes = bytes(&mut left);
            *bytes = bytes.saturating_sub(append.batch.len());
            self.append(append);
        }
        self.left.set(left);
        taken
    }

    fn append(&self, append: Append) {
        let slot = append.slot;
        let Some(partition) = self.open_at(slot) else {
            self.mailbox.taken(append.batch.len());
            self.answer(append.reply, Err(self.gone().0));
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

    /// Puts an append into its log; it comes back if the log cannot take it now. One that needs memory waits behind those
    /// that wait for it already.
    fn put(&self, slot: usize, partition: &Partition, append: Append) -> Option<Append> {
        if self.memory.has_starved() && partition.log.memory_for(append.batch.len()).is_some() {
            self.starve(slot);
            return Some(append);
        }
        self.put_now(slot, partition, append)
    }

    /// Puts an append into its log, though others may wait for memory; it comes back if the log cannot take it now.
    pub(super) fn put_now(&self, slot: usize, partition: &Partition, append: Append) -> Option<Append> {
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
                self.memory.used(slot);
                self.mailbox.taken(bytes);
                None
            }
            AppendOutcome::Failed(reply, error) => {
                self.mailbox.taken(bytes);
                // Acks before refusals: answers come in order.
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
            request.answer(Err(self.gone().1));
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
                    reader.fetch_from_disk(request).await;
                    // It may have been asked to give memory back while it read.
                    shard.memory.used(slot);
                });
            }
        }
    }

    /// Puts appends that wait into the log, as far as it takes them.
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
            self.mailbox.room_made();
        }
    }
}
