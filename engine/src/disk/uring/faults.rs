//! Faults for unit tests: reads and writes end early or fail, as the kernel may let them at any time, and a directory's sync
//! fails.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

/// A change to one read or write.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// The kernel does a part only.
    Short { len_bytes: u32 },
    /// The kernel does all, and the result says that it was less.
    SaysLess { len_bytes: i32 },
    /// The kernel does nothing, and the result is an error.
    Fails { errno: i32 },
}

/// The faults of a ring's next operations. A ring without any works as always.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Of the next reads and writes, in order.
    transfers: RefCell<VecDeque<Fault>>,
    /// The error of the next sync of a directory.
    directory_sync: Cell<Option<i32>>,
}

impl Faults {
    pub(super) fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.transfers.borrow_mut().extend(faults);
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.transfers.borrow().len()
    }

    /// Lets the next sync of a directory fail with `errno`.
    pub(crate) fn fail_directory_sync(&self, errno: i32) {
        self.directory_sync.set(Some(errno));
    }

    /// The outcome of a sync of a directory that begins now, unless the kernel decides it.
    pub(super) fn next_directory_sync(&self) -> std::io::Result<()> {
        self.directory_sync.take().map_or(Ok(()), |errno| Err(std::io::Error::from_raw_os_error(errno)))
    }

    /// The length to ask for instead of `len_bytes`, and the result to report instead of the kernel's.
    pub(super) fn next(&self, len_bytes: u32) -> (u32, Option<i32>) {
        match self.transfers.borrow_mut().pop_front() {
            None => (len_bytes, None),
            Some(Fault::Short { len_bytes: short }) => (len_bytes.min(short), None),
            Some(Fault::SaysLess { len_bytes: less }) => (len_bytes, Some(less)),
            Some(Fault::Fails { errno }) => (0, Some(-errno)),
        }
    }
}
