//! One timer for all lingering batches of an engine. It wakes a producer when the producer's oldest batch is due. A
//! producer has at most one entry.

use crate::shard::wake_caller;
use crossbeam::channel::{self, RecvTimeoutError};
use futures_util::task::AtomicWaker;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

/// Fewest entries for which those of dropped producers are looked for.
const SWEEP_MIN: usize = 64;

struct Entry {
    due: Instant,
    waker: Weak<AtomicWaker>,
}

/// A handle to the timer's thread. The thread ends when the last clone is dropped.
#[derive(Debug, Clone)]
pub(crate) struct LingerTimer {
    entries: channel::Sender<Entry>,
}

impl LingerTimer {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<(Self, JoinHandle<()>)> {
        let (entries, arriving) = channel::unbounded();
        let thread = std::thread::Builder::new().name("linger".into()).spawn(move || run(&arriving))?;
        Ok((Self { entries }, thread))
    }

    /// Wakes `waker` at `due`.
    pub(crate) fn wake_at(&self, due: Instant, waker: &Arc<AtomicWaker>) {
        // The thread runs while any sender exists, so sending succeeds.
        let _ = self.entries.send(Entry { due, waker: Arc::downgrade(waker) });
    }
}

fn run(arriving: &channel::Receiver<Entry>) {
    let mut entries: BinaryHeap<Reverse<Entry>> = BinaryHeap::new();
    let mut sweep_at = SWEEP_MIN;
    loop {
        let now = Instant::now();
        while let Some(Reverse(Entry { due, .. })) = entries.peek()
            && *due <= now
            && let Some(Reverse(entry)) = entries.pop()
        {
            if let Some(waker) = entry.waker.upgrade() {
                wake_caller(&waker);
            }
        }
        let arrived = match entries.peek() {
            Some(Reverse(next)) => arriving.recv_deadline(next.due),
            None => arriving.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match arrived {
            Ok(entry) => {
                entries.push(Reverse(entry));
                if entries.len() >= sweep_at {
                    // Entries of dropped producers may be due only after a long time.
                    entries.retain(|Reverse(entry)| entry.waker.strong_count() > 0);
                    sweep_at = SWEEP_MIN.max(2 * entries.len());
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}
