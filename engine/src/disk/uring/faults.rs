//! Faults for unit tests. Reads and writes end early or fail, which the kernel may do at any time. A directory's sync
//! fails.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// A change to one read or write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The kernel transfers only a part of the bytes.
    Short { len_bytes: u32 },
    /// The kernel transfers all bytes, and the result reports fewer.
    SaysLess { len_bytes: i32 },
    /// The kernel transfers nothing, and the result is an error.
    Fails { errno: i32 },
}

/// The faults of a ring's next operations. A ring without faults works as usual.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Faults of the next reads and writes, in order.
    transfers: RefCell<VecDeque<Fault>>,
    /// The error of the next sync of a directory.
    directory_sync: Cell<Option<i32>>,
}

impl Faults {
    pub(super) fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.transfers.borrow_mut().extend(faults);
    }

    /// Returns how many faults of reads and writes are left.
    pub(super) fn len(&self) -> usize {
        self.transfers.borrow().len()
    }

    /// Lets the next sync of a directory fail with `errno`.
    pub(crate) fn fail_directory_sync(&self, errno: i32) {
        self.directory_sync.set(Some(errno));
    }

    /// Returns the error of a directory sync that begins now. `Ok`: it has no fault, and goes to the kernel.
    pub(super) fn next_directory_sync(&self) -> std::io::Result<()> {
        self.directory_sync.take().map_or(Ok(()), |errno| Err(std::io::Error::from_raw_os_error(errno)))
    }

    /// Returns the length to ask for instead of `len_bytes`, and the result to report instead of the kernel's.
    pub(super) fn next(&self, len_bytes: u32) -> (u32, Option<i32>) {
        match self.transfers.borrow_mut().pop_front() {
            None => (len_bytes, None),
            Some(Fault::Short { len_bytes: short }) => (len_bytes.min(short), None),
            Some(Fault::SaysLess { len_bytes: less }) => (len_bytes, Some(less)),
            Some(Fault::Fails { errno }) => (0, Some(-errno)),
        }
    }
}
