//! Faults for this folder's tests: reads and writes end early or fail, as the kernel may let them at any time.

use std::cell::RefCell;
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

/// The faults of the next reads and writes, in order. A ring without any works as always.
#[derive(Debug, Default)]
pub(super) struct Faults(RefCell<VecDeque<Fault>>);

impl Faults {
    pub(super) fn add(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.borrow_mut().extend(faults);
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    /// The length to ask for instead of `len_bytes`, and the result to report instead of the kernel's.
    pub(super) fn next(&self, len_bytes: u32) -> (u32, Option<i32>) {
        match self.0.borrow_mut().pop_front() {
            None => (len_bytes, None),
            Some(Fault::Short { len_bytes: short }) => (len_bytes.min(short), None),
            Some(Fault::SaysLess { len_bytes: less }) => (len_bytes, Some(less)),
            Some(Fault::Fails { errno }) => (0, Some(-errno)),
        }
    }
}
