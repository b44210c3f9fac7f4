//! A bare io_uring with its own buffers. It knows operations and completions only. It knows no files, laps or clocks.

use super::buffers::Buffers;
use super::{DeviceError, Reap, Registration};
use io_uring::{IoUring, opcode, types};
use rustix::io::Errno;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// Longest wait for the memory of rings that were just closed. Some kernels count that memory against memlock, and free
/// it some milliseconds after the ring was closed.
const MEMORY_WAIT_MAX: Duration = Duration::from_millis(300);
/// Time between two tries to make a ring in [`MEMORY_WAIT_MAX`].
const MEMORY_RETRY: Duration = Duration::from_millis(5);

/// The kind of an operation on a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Read,
    Write,
    WriteDsync,
}

/// The size of a ring and of its buffers.
#[derive(Debug, Clone, Copy)]
pub(super) struct RingSize {
    /// Largest number of operations in flight.
    pub(super) operations: u32,
    /// Bytes of each buffer: the largest operation.
    pub(super) buffer_bytes: u32,
    /// Number of buffers. Slot `n` uses buffer `n` modulo this number, which is less than `operations` only for writes:
    /// several writes may read one buffer.
    pub(super) buffers: u32,
}

/// One operation. It reads into the buffer of its slot, or writes from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    /// Number of the slot. No other operation in flight uses it.
    pub(super) slot: u32,
    /// Read or write.
    pub(super) direction: Direction,
    /// The file. It stays open until the operation has completed.
    pub(super) fd: RawFd,
    /// The byte in the file at which the slot's block begins.
    pub(super) position: u64,
    /// Bytes to move, those of `done` included.
    pub(super) length: u32,
    /// Bytes that an earlier, short completion has already moved. They are skipped in the buffer and in the file.
    pub(super) done: u32,
}

/// A ring, the buffers of its operations, and the number of operations that the kernel still holds.
pub(super) struct Ring {
    ring: ManuallyDrop<IoUring>,
    buffers: ManuallyDrop<Buffers>,
    size: RingSize,
    registration: Registration,
    in_flight: u32,
}

impl Ring {
    /// Makes a ring with its buffers.
    pub(super) fn new(size: RingSize) -> Result<Self, DeviceError> {
        let length = usize::try_from(u64::from(size.buffers) * u64::from(size.buffer_bytes))
            .map_err(|_| DeviceError::Spec { reason: "the buffers exceed the address space".to_owned() })?;
        let ring = make(size.operations.next_power_of_two())?;
        let buffers = Buffers::new(length)?;
        let whole = libc::iovec { iov_base: buffers.at(0).cast(), iov_len: buffers.len() };
        // SAFETY: the iovec names the whole mapping, which is unmapped only after the ring is closed (Drop).
        let registered = unsafe { ring.submitter().register_buffers(&[whole]) };
        let registration = match registered {
            Ok(()) => Registration::Registered,
            Err(_) => Registration::Unregistered,
        };
        Ok(Self {
            ring: ManuallyDrop::new(ring),
            buffers: ManuallyDrop::new(buffers),
            size,
            registration,
            in_flight: 0,
        })
    }

    /// Returns whether the buffers are registered with the ring.
    pub(super) fn registration(&self) -> Registration {
        self.registration
    }

    /// Returns the number of operations that were started and have not completed.
    pub(super) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Queues an operation. The next [`Ring::enter`] starts it. The caller keeps at most as many operations in flight as
    /// the ring was made for.
    pub(super) fn push(&mut self, operation: Operation) {
        assert!(operation.length <= self.size.buffer_bytes, "an operation fits its buffer");
        assert!(operation.done < operation.length, "an operation has bytes left to move");
        let buffer = u64::from(operation.slot % self.size.buffers);
        let offset = buffer * u64::from(self.size.buffer_bytes) + u64::from(operation.done);
        let offset =
            usize::try_from(offset).expect("an offset into buffers that are mapped fits the address space");
        let length = operation.length - operation.done;
        let address = self.buffers.at(offset);
        let position = operation.position + u64::from(operation.done);
        let entry = entry(operation, address, length, position, self.registration);
        // SAFETY: the address range lies in the mapping, which lives until every operation has completed (Drop). No
        // other operation writes to the slot's buffer: only writes share buffers, and they read them. The file stays
        // open until the completion (see Operation).
        let pushed = unsafe { self.ring.submission().push(&entry) };
        pushed.expect("the queue has as many entries as there are slots");
        self.in_flight += 1;
    }

    /// Queues an fdatasync of a file, which stays open until the operation has completed. `slot` is in no other operation.
    pub(super) fn push_flush(&mut self, slot: u32, fd: RawFd) {
        let flush = opcode::Fsync::new(types::Fd(fd)).flags(types::FsyncFlags::DATASYNC).build();
        let flush = flush.user_data(u64::from(slot));
        // SAFETY: the operation uses no memory of this process, and the file stays open until it has completed.
        let pushed = unsafe { self.ring.submission().push(&flush) };
        pushed.expect("the queue has as many entries as there are slots");
        self.in_flight += 1;
    }

    /// Submits the queued operations and lets completions arrive. With [`Reap::Wait`] it waits for at least one.
    pub(super) fn enter(&mut self, reap: Reap) -> Result<(), DeviceError> {
        let entered = match reap {
            Reap::Wait => self.ring.submit_and_wait(1),
            Reap::Busy if self.ring.submission().is_empty() => {
                // A synced write, or one into fallocated space, may be completed by a kernel worker on the core that
                // took the interrupt. A poller on that core that never yields makes the worker wait for the scheduler's
                // tick (4 ms).
                std::thread::yield_now();
                return Ok(());
            }
            Reap::Busy => self.ring.submit(),
        };
        match entered {
            Ok(_) => Ok(()),
            // The call was interrupted, or the kernel has no memory or no completion entries at the moment. Completions
            // free them, and the next call submits the rest.
            Err(error) if is_temporary(&error) => Ok(()),
            Err(source) => Err(DeviceError::Ring { action: "submit operations", source }),
        }
    }

    /// Returns the next completion that has arrived: its slot, and the bytes moved or the negated errno.
    pub(super) fn completion(&mut self) -> Option<(u32, i32)> {
        let completion = self.ring.completion().next()?;
        self.in_flight -= 1;
        let slot = u32::try_from(completion.user_data()).expect("user data is the slot that push put there");
        Some((slot, completion.result()))
    }

    /// Waits until the kernel uses none of the buffers any more.
    pub(super) fn drain(&mut self) -> Result<(), DeviceError> {
        while self.in_flight > 0 {
            self.enter(Reap::Wait)?;
            while self.completion().is_some() {}
        }
        Ok(())
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let drained = self.drain();
        if self.registration == Registration::Registered {
            // The kernel frees a closed ring later. Until then, the next ring would lack the memory that this one has
            // locked.
            let _ = self.ring.submitter().unregister_buffers();
        }
        // SAFETY: the ring is not used again. It is closed before its buffers are unmapped.
        unsafe { ManuallyDrop::drop(&mut self.ring) };
        // If the ring cannot be drained, the kernel may still read or write the buffers. So they are leaked then.
        if drained.is_ok() {
            // SAFETY: nothing is in flight and the registration ended with the ring; the buffers are not used again.
            unsafe { ManuallyDrop::drop(&mut self.buffers) };
        }
    }
}

/// Makes a plain ring, or returns the reason why it cannot be made. Such a ring announces completions by an interrupt
/// of the thread, so that [`Reap::Busy`] sees them without a system call.
pub(super) fn make(entries: u32) -> Result<IoUring, DeviceError> {
    let deadline = Instant::now() + MEMORY_WAIT_MAX;
    loop {
        match IoUring::new(entries).map_err(ring_error) {
            Err(DeviceError::RingMemory) if Instant::now() < deadline => std::thread::sleep(MEMORY_RETRY),
            made => return made,
        }
    }
}

fn ring_error(source: io::Error) -> DeviceError {
    match Errno::from_io_error(&source) {
        Some(Errno::NOSYS) => DeviceError::RingMissing,
        Some(Errno::PERM | Errno::ACCESS) => DeviceError::RingForbidden,
        Some(Errno::NOMEM) => DeviceError::RingMemory,
        _ => DeviceError::Ring { action: "be set up", source },
    }
}

fn is_temporary(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::INTR | Errno::AGAIN | Errno::BUSY))
}

fn entry(
    operation: Operation,
    address: *mut u8,
    length: u32,
    position: u64,
    registration: Registration,
) -> io_uring::squeue::Entry {
    let fd = types::Fd(operation.fd);
    let flags = match operation.direction {
        Direction::WriteDsync => libc::RWF_DSYNC,
        Direction::Read | Direction::Write => 0,
    };
    let entry = match (operation.direction, registration) {
        (Direction::Read, Registration::Registered) => {
            opcode::ReadFixed::new(fd, address, length, 0).offset(position).build()
        }
        (Direction::Read, Registration::Unregistered) => {
            opcode::Read::new(fd, address, length).offset(position).build()
        }
        (_, Registration::Registered) => {
            opcode::WriteFixed::new(fd, address, length, 0).offset(position).rw_flags(flags).build()
        }
        (_, Registration::Unregistered) => {
            opcode::Write::new(fd, address, length).offset(position).rw_flags(flags).build()
        }
    };
    entry.user_data(u64::from(operation.slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_ring_says_why() {
        let kind = |errno: Errno| ring_error(errno.into());
        assert!(matches!(kind(Errno::NOSYS), DeviceError::RingMissing));
        assert!(matches!(kind(Errno::PERM), DeviceError::RingForbidden));
        assert!(matches!(kind(Errno::NOMEM), DeviceError::RingMemory));
        assert!(matches!(kind(Errno::INVAL), DeviceError::Ring { .. }));
    }
}
