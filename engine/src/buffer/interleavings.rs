//! Tests [`References`] in every order in which threads can interleave, and with every value that the memory model
//! allows them to see.

// The file is compiled twice on purpose: here with the primitives in the module `sync` below.
#[allow(clippy::duplicate_mod, reason = "loom's atomics take the place of the real ones here")]
#[path = "references.rs"]
mod references;

use loom::cell::UnsafeCell;
use loom::thread;
use references::References;
use std::sync::Arc;
use std::task::{Wake, Waker};

mod sync {
    pub(super) use loom::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering, fence};

    /// A stand-in for the queue, with a flag for each unit. It promises only this: everything before a push happens
    /// before everything after the pop of that unit. A pop may miss a push that another thread has just done.
    pub(super) struct ReturnQueue(Vec<AtomicBool>);

    impl ReturnQueue {
        pub(super) fn new(units: usize) -> Self {
            Self((0..units).map(|_| AtomicBool::new(false)).collect())
        }

        pub(super) fn push(&self, unit: u32) -> Result<(), u32> {
            let was_there = self.0[unit as usize].swap(true, Ordering::Release);
            if was_there { Err(unit) } else { Ok(()) }
        }

        pub(super) fn pop(&self) -> Option<u32> {
            let is_there =
                |flag: &AtomicBool| flag.load(Ordering::Relaxed) && flag.swap(false, Ordering::Acquire);
            self.0.iter().position(is_there).map(crate::num::u32_of)
        }
    }
}

/// A stand-in for the bytes of a chunk. Loom reports a read and a write of them if neither happens before the other.
struct Bytes(UnsafeCell<()>);

// SAFETY: the pointer to the contents is never followed.
unsafe impl Sync for Bytes {}

impl Bytes {
    fn read(&self) {
        self.0.with(|_| ());
    }

    fn write(&self) {
        self.0.with_mut(|_| ());
    }
}

#[test]
fn all_reads_of_a_chunk_happen_before_it_is_written_again() {
    loom::model(|| {
        let references = Arc::new(References::new(1));
        let bytes = Arc::new(Bytes(UnsafeCell::new(())));
        references.take(0, 1);
        bytes.write();
        references.retain(0);
        let readers = [0, 1].map(|_| {
            let (references, bytes) = (Arc::clone(&references), Arc::clone(&bytes));
            thread::spawn(move || {
                bytes.read();
                references.release(0);
            })
        });
        if let Some((unit, class)) = references.pop_returned() {
            assert_eq!((unit, class), (0, 1));
            references.take(unit, 2);
            bytes.write();
        }
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

/// A waker that records that it was woken.
#[derive(Default)]
struct Woken(std::sync::atomic::AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

#[test]
fn a_side_that_waits_sees_the_chunk_or_is_woken() {
    loom::model(|| {
        let references = Arc::new(References::new(1));
        let woken = Arc::new(Woken::default());
        references.set_notifier(Waker::from(Arc::clone(&woken)));
        references.take(0, 1);
        let releasing = {
            let references = Arc::clone(&references);
            thread::spawn(move || references.release(0))
        };
        references.want();
        let is_back = references.pop_returned().is_some();
        releasing.join().unwrap();
        assert!(is_back || woken.0.load(std::sync::atomic::Ordering::SeqCst), "a wake is lost");
    });
}
