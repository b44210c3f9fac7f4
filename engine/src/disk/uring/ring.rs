//! A raw io_uring ring driven inside a glommio executor: submission, completion, parking.
//!
//! glommio has no registered writes, no RWF_DSYNC and no way to hand its buffers to other threads, so the shard's I/O
//! goes through a ring of its own beside the executor's. One eventfd wakes the shard: the ring signals it at each
//! completion, and other threads write to it when they have put something into the mailbox.

use super::UringFile;
use crate::buffer::{Arena, ReadBuffer};
use crate::disk::WriteData;
use glommio::io::BufferedFile;
use glommio::timer::Timer;
use io_uring::squeue::Entry;
use io_uring::{IoUring, opcode};
use rustix::event::{EventfdFlags, eventfd};
use slab::Slab;
use std::cell::{Cell, RefCell};
use std::ffi::CString;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

/// Entries of the submission queue; a full one is submitted early, so this bounds nothing but batching.
const RING_ENTRIES: u32 = 256;

/// Largest buffer the kernel takes in one registration, bytes.
const REGISTERED_BYTES_MAX: usize = 1 << 30;

/// What an operation owns until its completion, even if nobody waits for it any more.
#[derive(Debug, Default)]
#[allow(dead_code, reason = "files and paths are owned so that the kernel can use them, not to be read")]
pub(super) struct Keep {
    pub(super) file: Option<UringFile>,
    pub(super) data: Option<WriteData>,
    pub(super) buffer: Option<ReadBuffer>,
    pub(super) paths: Vec<CString>,
}

enum Slot {
    InFlight { keep: Keep, waker: Option<Waker>, is_orphan: bool },
    Done { result: i32, keep: Keep },
}

struct Inner {
    ring: RefCell<IoUring>,
    slots: RefCell<Slab<Slot>>,
    in_flight: Cell<usize>,
    unsubmitted: Cell<usize>,
    /// While the shard is parked nobody else submits, so a push does it itself.
    is_parked: Cell<bool>,
    event: Arc<OwnedFd>,
    /// The same, as glommio waits for it.
    event_file: BufferedFile,
    /// Always readable: waiting for it through glommio is one turn of its reactor.
    always_file: BufferedFile,
    /// Address of the registered arena.
    registered: Cell<Option<usize>>,
    read_bytes: Cell<u64>,
}

/// See the module. Clones share the ring; it stays on the thread that made it.
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
    /// Makes the shard's next, or current, park return.
    pub fn wake(&self) {
        // A full counter is as good as a wake, and nothing else can fail on an eventfd.
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
        let always = eventfd(u32::MAX - 1, EventfdFlags::CLOEXEC | EventfdFlags::SEMAPHORE)?;
        Ok(Self {
            inner: Rc::new(Inner {
                ring: RefCell::new(ring),
                slots: RefCell::new(Slab::with_capacity(RING_ENTRIES as usize)),
                in_flight: Cell::new(0),
                unsubmitted: Cell::new(0),
                is_parked: Cell::new(false),
                event_file: glommio_file(&event)?,
                always_file: glommio_file(&always)?,
                event: Arc::new(event),
                registered: Cell::new(None),
                read_bytes: Cell::new(0),
            }),
        })
    }

    /// Registers the arena, so that the kernel need not pin its pages at each operation. Without room under
    /// RLIMIT_MEMLOCK it works unregistered; the answer says which.
    pub fn register_arena(&self, arena: &Arena) -> bool {
        let (base, bytes) = arena.mapping();
        let pieces: Vec<libc::iovec> = (0..bytes)
            .step_by(REGISTERED_BYTES_MAX)
            .map(|at| libc::iovec {
                iov_base: base.wrapping_add(at).cast_mut().cast(),
                iov_len: (bytes - at).min(REGISTERED_BYTES_MAX),
            })
            .collect();
        // SAFETY: the pieces cover the arena's mapping. Slices own it, operations in flight own slices, and the ring is
        // torn down with the shard after its last operation, so the mapping outlives every use by the kernel.
        let registered = unsafe { self.inner.ring.borrow().submitter().register_buffers(&pieces) };
        self.inner.registered.set(registered.is_ok().then(|| base.addr()));
        registered.is_ok()
    }

    /// Has the ring hold `lock`: a file lock on it lasts until the ring's last write is done, also after a kill.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn hold(&self, lock: BorrowedFd<'_>) -> io::Result<()> {
        self.inner.ring.borrow().submitter().register_files(&[lock.as_raw_fd()])
    }

    /// Index of the registered buffer that `address` lies in, if the arena is registered.
    pub(super) fn buffer_index(&self, address: usize) -> Option<u16> {
        let base = self.inner.registered.get()?;
        u16::try_from((address - base) / REGISTERED_BYTES_MAX).ok()
    }

    /// What wakes this ring's shard.
    pub fn waker(&self) -> RingWaker {
        RingWaker { event: Arc::clone(&self.inner.event) }
    }

    /// Bytes read from files so far.
    pub fn read_bytes(&self) -> u64 {
        self.inner.read_bytes.get()
    }

    /// Counts what a read brought.
    pub(super) fn count_read(&self, bytes: usize) {
        self.inner.read_bytes.set(self.inner.read_bytes.get() + bytes as u64);
    }

    /// Operations submitted or about to be, and not completed.
    pub fn in_flight(&self) -> usize {
        self.inner.in_flight.get()
    }

    /// Queues an operation; it is submitted with the next [`Ring::submit`].
    ///
    /// # Safety
    /// Everything `entry` points to is owned by `keep` and stays in place until the completion.
    pub(super) unsafe fn start(&self, entry: Entry, keep: Keep) -> Operation {
        let key =
            self.inner.slots.borrow_mut().insert(Slot::InFlight { keep, waker: None, is_orphan: false });
        let entry = entry.user_data(key as u64);
        let mut pushed = self.try_push(&entry);
        while !pushed {
            self.submit();
            pushed = self.try_push(&entry);
        }
        self.inner.in_flight.set(self.inner.in_flight.get() + 1);
        self.inner.unsubmitted.set(self.inner.unsubmitted.get() + 1);
        if self.inner.is_parked.get() {
            self.submit();
        }
        Operation { inner: Rc::clone(&self.inner), key: Some(key) }
    }

    fn try_push(&self, entry: &Entry) -> bool {
        let mut ring = self.inner.ring.borrow_mut();
        // SAFETY: `start`'s contract: what the entry points to is kept in its slot until the completion was reaped.
        unsafe { ring.submission().push(entry).is_ok() }
    }

    /// Hands queued operations to the kernel.
    ///
    /// # Panics
    /// If the kernel rejects the ring itself: nothing could be written any more.
    pub fn submit(&self) {
        if self.inner.unsubmitted.get() > 0 {
            self.enter();
        }
    }

    fn enter(&self) {
        match self.inner.ring.borrow().submit() {
            Ok(_) => self.inner.unsubmitted.set(0),
            // Interrupted or short of memory: the entries stay queued, the next turn tries again.
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(libc::EINTR | libc::EAGAIN | libc::EBUSY | libc::ENOMEM)
                ) => {}
            Err(error) => panic!("io_uring_enter failed: {error}"),
        }
    }

    /// Takes completions and wakes who waits for them; returns how many there were.
    ///
    /// # Panics
    /// As [`Ring::submit`] does.
    pub fn reap(&self) -> usize {
        let mut reaped = 0;
        if self.has_held_back() {
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

    /// Whether the kernel has completions that it hands over only to who enters it.
    fn has_held_back(&self) -> bool {
        let mut ring = self.inner.ring.borrow_mut();
        let queue = ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Waits for every operation in flight. An operation owns its file and a file its ring, so a ring that is given up
    /// with operations under way is drained first.
    pub fn drain(&self) {
        while self.in_flight() > 0 {
            if self.inner.ring.borrow().submit_and_wait(1).is_err() {
                return;
            }
            self.inner.unsubmitted.set(0);
            self.reap();
        }
    }

    /// Sleeps until an operation completes, a [`RingWaker`] is used, or `until` comes; the first two since the last park
    /// count.
    ///
    /// # Errors
    /// glommio could not read the eventfd.
    pub async fn park(&self, until: Option<Instant>) -> io::Result<()> {
        self.submit();
        self.inner.is_parked.set(true);
        // One wake source: a read given up for a timer might still take another's wake.
        let alarm = until.map(|until| {
            let waker = self.waker();
            glommio::spawn_local(async move {
                Timer::new(until.saturating_duration_since(Instant::now())).await;
                waker.wake();
            })
        });
        let outcome = take_event(&self.inner.event_file).await;
        // Dropping a task of glommio's cancels it.
        drop(alarm);
        self.inner.is_parked.set(false);
        outcome
    }

    /// Gives glommio's reactor a turn, so that its timers fire while the shard polls.
    ///
    /// # Errors
    /// glommio could not read the eventfd.
    pub async fn reactor_turn(&self) -> io::Result<()> {
        self.inner.is_parked.set(true);
        self.submit();
        let outcome = take_event(&self.inner.always_file).await;
        self.inner.is_parked.set(false);
        outcome
    }
}

/// A ring of one thread. A completion that is finished by a worker of the kernel's waits until this thread enters the kernel,
/// and the ring says so: otherwise each would interrupt the thread, which polls in user space, with an IPI; for 64 small
/// writes on a virtual machine that is 16 µs each.
fn builder() -> io_uring::Builder {
    let mut builder = IoUring::builder();
    builder.setup_single_issuer().setup_coop_taskrun().setup_taskrun_flag();
    builder
}

/// An eventfd as glommio reads it: a descriptor of its own, closed by glommio.
fn glommio_file(event: &OwnedFd) -> io::Result<BufferedFile> {
    let own = event.try_clone()?;
    // SAFETY: `own` is open and given away here; the file is its only owner from now on.
    Ok(unsafe { BufferedFile::from_raw_fd(own.into_raw_fd()) })
}

/// Waits until an eventfd is readable and takes its value.
async fn take_event(file: &BufferedFile) -> io::Result<()> {
    file.read_at(0, 8).await.map(drop).map_err(io::Error::from)
}

impl Inner {
    fn complete(&self, key: usize, result: i32) -> Option<Waker> {
        let mut slots = self.slots.borrow_mut();
        let Slot::InFlight { keep, waker, is_orphan } = &mut slots[key] else {
            unreachable!("an operation completes once")
        };
        if *is_orphan {
            let _ = slots.remove(key);
            return None;
        }
        let (keep, waker) = (std::mem::take(keep), waker.take());
        slots[key] = Slot::Done { result, keep };
        waker
    }
}

/// An operation under way; resolves to its result and what it kept. Dropping it does not cancel anything.
pub(super) struct Operation {
    inner: Rc<Inner>,
    key: Option<usize>,
}

impl Future for Operation {
    type Output = (i32, Keep);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let key = self.key.expect("polled after completion");
        let mut slots = self.inner.slots.borrow_mut();
        if let Slot::InFlight { waker, .. } = &mut slots[key] {
            *waker = Some(context.waker().clone());
            return Poll::Pending;
        }
        let Slot::Done { result, keep } = slots.remove(key) else { unreachable!("checked above") };
        drop(slots);
        self.key = None;
        Poll::Ready((result, keep))
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let Some(key) = self.key else { return };
        let mut slots = self.inner.slots.borrow_mut();
        if let Slot::InFlight { is_orphan, waker, .. } = &mut slots[key] {
            *is_orphan = true;
            *waker = None;
        } else {
            let _ = slots.remove(key);
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The kernel may still be reading from or writing to what the slots own: wait for it before they go.
        while self.in_flight.get() > 0 {
            let ring = self.ring.get_mut();
            if ring.submit_and_wait(1).is_err() {
                // Nothing can be waited for: leak rather than free memory that the kernel may touch.
                std::mem::forget(std::mem::take(self.slots.get_mut()));
                return;
            }
            let completed: Vec<(u64, i32)> =
                ring.completion().map(|entry| (entry.user_data(), entry.result())).collect();
            self.in_flight.set(self.in_flight.get() - completed.len());
        }
    }
}

/// Whether the running kernel lets us have a ring with every operation we need.
///
/// # Errors
/// Why not.
pub fn probe() -> io::Result<()> {
    let too_old =
        || io::Error::new(io::ErrorKind::Unsupported, "the kernel is too old: run Linux 6.1 or newer");
    let ring = builder().build(8).map_err(|error| match error.kind() {
        // A flag that it does not know.
        io::ErrorKind::InvalidInput => too_old(),
        _ => error,
    })?;
    let mut probe = io_uring::Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    let needed = [
        opcode::WriteFixed::CODE,
        opcode::ReadFixed::CODE,
        opcode::Fsync::CODE,
        opcode::Fallocate::CODE,
        opcode::OpenAt::CODE,
        opcode::RenameAt::CODE,
        opcode::UnlinkAt::CODE,
        opcode::MkDirAt::CODE,
    ];
    if needed.iter().all(|code| probe.is_supported(*code)) { Ok(()) } else { Err(too_old()) }
}
