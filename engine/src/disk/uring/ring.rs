//! A raw io_uring ring driven inside a glommio executor: submission, completion, parking (the thread sleeps until there is
//! work).
//!
//! glommio has no registered writes, no RWF_DSYNC and no way to hand its buffers to other threads. So each shard has a
//! second ring for its I/O, apart from glommio's. One eventfd wakes the shard. The ring signals it at each
//! completion, and other threads write to it when they have put a message into the mailbox.

use super::inner::{Inner, may_retry};
use super::keep::{Keep, Slot};
use super::operation::Operation;
use super::probe::builder;
use super::reads::{ReadInFlight, ReadStats, Reads};
use crate::buffer::Arena;
use glommio::io::BufferedFile;
use glommio::timer::Timer;
use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};
use rustix::event::{EventfdFlags, eventfd};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Entries of the submission queue. A full queue is submitted early, so this bounds only how many operations are
/// submitted together.
const RING_ENTRIES: u32 = 256;

/// Largest buffer that the kernel registers as one, bytes.
const REGISTERED_BYTES_MAX: usize = 1 << 30;

/// A shard's io_uring ring; see the module. Clones share the ring, which stays on the thread that made it.
#[derive(Clone)]
pub struct Ring {
    inner: Rc<Inner>,
}

/// Wakes the shard that parks on a ring, from any thread.
#[derive(Debug, Clone)]
pub struct RingWaker {
    event: Arc<OwnedFd>,
}

impl RingWaker {
    /// Wakes the shard. If it is not parked now, its next [`Ring::park`] returns at once.
    pub fn wake(&self) {
        // The result does not matter: if the write fails, the counter is not 0, the eventfd is readable, and the shard wakes.
        let _ = rustix::io::write(&*self.event, &1u64.to_ne_bytes());
    }
}

impl Ring {
    /// Makes a ring on this thread, which runs a glommio executor.
    ///
    /// # Errors
    /// The kernel has no io_uring, or forbids it.
    pub fn new() -> io::Result<Self> {
        let ring = builder().build(RING_ENTRIES)?;
        let event = eventfd(0, EventfdFlags::CLOEXEC)?;
        ring.submitter().register_eventfd(event.as_raw_fd())?;
        Ok(Self {
            inner: Rc::new(Inner {
                ring: RefCell::new(ring),
                slots: RefCell::new(Slab::with_capacity(RING_ENTRIES as usize)),
                in_flight: Cell::new(0),
                workers_in_flight: Cell::new(0),
                submits_at_once: Cell::new(false),
                event_file: RefCell::new(Some(Rc::new(glommio_file(&event)?))),
                event: Arc::new(event),
                registered: Cell::new(None),
                reads: Reads::default(),
                #[cfg(test)]
                faults: super::faults::Faults::default(),
                #[cfg(test)]
                most_in_flight: Cell::default(),
            }),
        })
    }

    /// Registers the arena, so that the kernel need not pin its pages at each operation. Returns false if the kernel
    /// refuses, as it does where RLIMIT_MEMLOCK is too low. The arena then works unregistered.
    pub fn register_arena(&self, arena: &Arena) -> bool {
        let (base, bytes) = arena.mapping();
        let pieces: Vec<libc::iovec> = (0..bytes)
            .step_by(REGISTERED_BYTES_MAX)
            .map(|at| libc::iovec {
                iov_base: base.wrapping_add(at).cast_mut().cast(),
                iov_len: (bytes - at).min(REGISTERED_BYTES_MAX),
            })
            .collect();
        // SAFETY: the pieces cover the arena's mapping, which lives as long as any `Slice` of it. Each operation in flight
        // holds a slice, and the ring is dropped after its last operation. So the mapping outlives every use by the kernel.
        let registered = unsafe { self.inner.ring.borrow().submitter().register_buffers(&pieces) };
        self.inner.registered.set(registered.is_ok().then(|| (base.addr(), bytes)));
        registered.is_ok()
    }

    /// Registers the locked file `lock_file` with the ring. The kernel then keeps the file open until it has finished the ring's
    /// writes. So the file lock is held that long, also after the process was killed.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn keep_open(&self, lock_file: BorrowedFd<'_>) -> io::Result<()> {
        self.inner.ring.borrow().submitter().register_files(&[lock_file.as_raw_fd()])
    }

    /// Returns the index of the registered buffer that `address` lies in. Returns `None` for memory that is not
    /// registered, such as another arena.
    pub(super) fn buffer_index(&self, address: usize) -> Option<u16> {
        let (base, bytes) = self.inner.registered.get()?;
        let position = address.checked_sub(base).filter(|position| *position < bytes)?;
        u16::try_from(position / REGISTERED_BYTES_MAX).ok()
    }

    /// Returns a waker of this ring's shard.
    pub fn waker(&self) -> RingWaker {
        RingWaker { event: Arc::clone(&self.inner.event) }
    }

    /// Replaces the eventfd that the shard waits for with one to which nothing is ever written. The shard then learns neither of
    /// completions nor of wakes.
    #[cfg(test)]
    pub(crate) fn lose_wakes(&self) {
        let silent = eventfd(0, EventfdFlags::CLOEXEC).expect("an eventfd");
        let file = glommio_file(&silent).expect("a descriptor");
        self.inner.event_file.replace(Some(Rc::new(file)));
    }

    #[cfg(test)]
    pub(crate) fn faults(&self) -> &super::faults::Faults {
        &self.inner.faults
    }

    #[cfg(test)]
    pub(crate) fn most_in_flight(&self) -> super::inner::MostInFlight {
        self.inner.most_in_flight.get()
    }

    #[cfg(test)]
    pub(super) fn event_fd(&self) -> std::os::fd::RawFd {
        self.inner.event.as_raw_fd()
    }

    /// Returns the counters of the reads from files since the ring was made.
    pub fn read_stats(&self) -> ReadStats {
        self.inner.reads.stats()
    }

    /// Counts a read as in flight until the returned value is dropped.
    pub(super) fn begin_read(&self) -> ReadInFlight<'_> {
        self.inner.reads.begin()
    }

    /// Returns the number of operations that are queued or submitted, and whose completion was not reaped yet.
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight.get()
    }

    /// Returns the number of operations in flight that kernel worker threads run, such as syncs. The workers of a
    /// pinned thread run on the same core. So a thread that polls must yield the core (`sched_yield`) while this is not 0.
    pub fn workers_in_flight(&self) -> usize {
        self.inner.workers_in_flight.get()
    }

    /// Queues an operation. [`Ring::submit`] submits it; while the shard is parked, this call does it itself.
    ///
    /// # Safety
    /// Everything `entry` points to is owned by `keep` and stays in place until the completion.
    pub(super) unsafe fn start(&self, entry: Entry, keep: Keep) -> Operation {
        let workers = &self.inner.workers_in_flight;
        workers.set(workers.get() + usize::from(keep.is_on_worker));
        let key =
            self.inner.slots.borrow_mut().insert(Slot::InFlight { keep, waker: None, is_orphan: false });
        let entry = entry.user_data(key as u64);
        let mut pushed = self.try_push(&entry);
        while !pushed {
            self.submit();
            pushed = self.try_push(&entry);
        }
        self.inner.in_flight.set(self.inner.in_flight.get() + 1);
        #[cfg(test)]
        self.inner.note_most_in_flight();
        if self.inner.submits_at_once.get() {
            self.submit();
        }
        Operation::new(Rc::clone(&self.inner), key)
    }

    /// Closes a file on a kernel worker thread. The last close of a removed file frees its blocks, which may wait for
    /// the file system's journal.
    pub(super) fn close_file(&self, file: OwnedFd) {
        let entry = opcode::Close::new(types::Fd(file.into_raw_fd())).build().flags(Flags::ASYNC);
        let keep = Keep { is_on_worker: true, ..Keep::default() };
        // SAFETY: the entry points to nothing; it owns the descriptor.
        drop(unsafe { self.start(entry, keep) });
    }

    fn try_push(&self, entry: &Entry) -> bool {
        let mut ring = self.inner.ring.borrow_mut();
        // SAFETY: by the contract of `start`, everything that the entry points to stays in its slot until the
        // completion was reaped.
        unsafe { ring.submission().push(entry).is_ok() }
    }

    /// Hands queued operations to the kernel. Some may stay queued if the kernel is busy or short of memory; the next call
    /// tries again.
    ///
    /// # Panics
    /// If the kernel rejects the ring itself. The shard cannot write any more in that case.
    pub fn submit(&self) {
        while self.has_unsubmitted() && self.enter() > 0 {}
    }

    /// Whether the kernel has not taken all queued operations yet.
    fn has_unsubmitted(&self) -> bool {
        !self.inner.ring.borrow_mut().submission().is_empty()
    }

    /// Enters the kernel once. Returns how many operations the kernel took. If it refuses one, it does not take those queued
    /// after it.
    fn enter(&self) -> usize {
        match self.inner.ring.borrow().submit() {
            Ok(taken) => taken,
            Err(error) if may_retry(&error) => 0,
            Err(error) => panic!("io_uring_enter failed: {error}"),
        }
    }

    /// Takes all completions and wakes the futures that wait for them. Returns how many completions there were.
    ///
    /// # Panics
    /// In the same case as [`Ring::submit`].
    pub fn reap(&self) -> usize {
        let mut reaped = 0;
        if self.has_undelivered() {
            self.enter();
        }
        loop {
            let completed = self.inner.ring.borrow_mut().completion().next();
            let Some(entry) = completed else { break };
            reaped += 1;
            let key = usize::try_from(entry.user_data()).expect("user_data is a slot's key");
            if let Some(waker) = self.inner.complete(key, entry.result()) {
                waker.wake();
            }
        }
        self.inner.in_flight.set(self.inner.in_flight.get() - reaped);
        reaped
    }

    /// Whether the kernel has completions that it delivers only during a system call of this thread.
    fn has_undelivered(&self) -> bool {
        let mut ring = self.inner.ring.borrow_mut();
        let queue = ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Whether there are completions to reap.
    pub fn has_completions(&self) -> bool {
        self.has_undelivered() || !self.inner.ring.borrow_mut().completion().is_empty()
    }

    /// Waits for every operation in flight; gives up if the kernel returns an error that will not pass. An operation owns its
    /// file, the file owns the ring, and the ring owns the operation. Because of this cycle, a ring that is dropped with
    /// operations in flight would never be freed. So call this before.
    pub fn drain(&self) {
        while self.in_flight() > 0 {
            let waited = self.inner.ring.borrow().submit_and_wait(1);
            if waited.is_err_and(|error| !may_retry(&error)) {
                return;
            }
            self.reap();
        }
    }

    /// Sleeps until an operation completes, a [`RingWaker`] wakes the shard, or the time `until` is reached.
    /// Returns at once if an operation has completed, or a wake has come, since the last park or reactor turn.
    ///
    /// # Errors
    /// glommio could not read the eventfd.
    pub async fn park(&self, until: Option<Instant>) -> io::Result<()> {
        self.submit();
        if self.has_unsubmitted() {
            // The caller has to try again soon.
            self.waker().wake();
        }
        // The timer wakes through the eventfd too. The read of the eventfd is not cancelled at the deadline: a cancelled read
        // can still consume the event, and a wake would be lost.
        let alarm = until.map(|until| {
            let waker = self.waker();
            glommio::spawn_local(async move {
                Timer::new(until.saturating_duration_since(Instant::now())).await;
                waker.wake();
            })
        });
        let outcome = self.take_event().await;
        // Dropping a glommio task cancels it.
        drop(alarm);
        outcome
    }

    /// Runs glommio's reactor once, so that its timers fire while the shard polls. This consumes earlier wakes, so the
    /// caller has to look for work again before it parks.
    ///
    /// # Errors
    /// glommio could not read the eventfd.
    pub async fn reactor_turn(&self) -> io::Result<()> {
        self.submit();
        // The eventfd is written first, so that the read does not wait.
        self.waker().wake();
        self.take_event().await
    }

    /// Waits until the eventfd is readable and resets it. While it waits, operations are submitted as soon as they start.
    async fn take_event(&self) -> io::Result<()> {
        let file = self.inner.event_file.borrow().clone();
        let file = file.ok_or_else(|| io::Error::other("the ring is closed"))?;
        self.inner.submits_at_once.set(true);
        let outcome = file.read_at(0, 8).await;
        self.inner.submits_at_once.set(false);
        outcome.map(drop).map_err(io::Error::from)
    }

    /// Drains the ring and closes glommio's descriptor of the eventfd. Nobody else would close it: glommio only queues
    /// the close of a dropped file, and an executor that ends does not submit its queue.
    pub async fn close(&self) {
        self.drain();
        let file = self.inner.event_file.take().and_then(Rc::into_inner);
        if let Some(file) = file
            && let Err(error) = file.close().await
        {
            tracing::warn!(%error, "one file descriptor leaked when a shard was closed; records are safe");
        }
    }
}

/// Duplicates an eventfd for glommio, which reads the duplicate and closes it.
fn glommio_file(event: &OwnedFd) -> io::Result<BufferedFile> {
    let own = event.try_clone()?;
    // SAFETY: `own` is open and given away here; the file is its only owner from now on.
    Ok(unsafe { BufferedFile::from_raw_fd(own.into_raw_fd()) })
}
