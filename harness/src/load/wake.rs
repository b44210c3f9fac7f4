//! The set of a load thread's clients that have something to return. Each client has a bit. Its waker sets the bit and
//! unparks the thread. A load thread polls only clients in this set, so a hundred idle clients cost nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Wake, Waker};
use std::thread::Thread;

/// The set of ready clients of one load thread.
#[derive(Debug)]
pub struct ReadySet {
    words: Arc<[AtomicU64]>,
    wakers: Vec<Waker>,
}

/// The waker of one client: sets the client's bit and wakes the thread that polls it.
#[derive(Debug)]
struct ClientWaker {
    words: Arc<[AtomicU64]>,
    client: usize,
    sleeper: Waker,
}

/// Wakes a thread that is parked.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        // This is a system call only if the thread sleeps. Otherwise it leaves a token, and the next park returns at
        // once.
        self.0.unpark();
    }
}

/// Returns a waker for a thread that parks while no client is ready.
pub fn waker_of(thread: &Thread) -> Waker {
    Waker::from(Arc::new(Unpark(thread.clone())))
}

impl Wake for ClientWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.words[self.client / 64].fetch_or(1 << (self.client % 64), Ordering::Release);
        self.sleeper.wake_by_ref();
    }
}

impl ReadySet {
    /// Makes a set of `clients` clients, all of them ready. `sleeper` wakes the thread or task that polls them.
    pub fn new(clients: usize, sleeper: &Waker) -> Self {
        let words: Arc<[AtomicU64]> = (0..clients.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        let waker_of = |client| {
            Waker::from(Arc::new(ClientWaker { words: Arc::clone(&words), client, sleeper: sleeper.clone() }))
        };
        let wakers: Vec<Waker> = (0..clients).map(waker_of).collect();
        for client in 0..clients {
            words[client / 64].fetch_or(1 << (client % 64), Ordering::Relaxed);
        }
        Self { words, wakers }
    }

    /// Returns the waker of one client.
    pub fn waker(&self, client: usize) -> &Waker {
        &self.wakers[client]
    }

    /// Returns whether `client` is ready, and removes it from the set.
    pub fn take(&self, client: usize) -> bool {
        let (word, bit) = (&self.words[client / 64], 1 << (client % 64));
        word.load(Ordering::Relaxed) & bit != 0 && word.fetch_and(!bit, Ordering::Acquire) & bit != 0
    }

    /// Puts a client back into the set, because it has more to do.
    pub fn put_back(&self, client: usize) {
        self.words[client / 64].fetch_or(1 << (client % 64), Ordering::Relaxed);
    }

    /// Returns whether any client is ready.
    pub fn any(&self) -> bool {
        self.words.iter().any(|word| word.load(Ordering::Acquire) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_is_seen_once_and_by_its_client_alone() {
        let ready = ReadySet::new(70, Waker::noop());
        for client in 0..70 {
            assert!(ready.take(client), "everyone starts ready");
        }
        assert!(!ready.any());
        ready.waker(65).wake_by_ref();
        assert!(ready.any());
        assert!(!ready.take(1));
        assert!(ready.take(65));
        assert!(!ready.take(65));
    }

    #[test]
    fn a_wake_before_the_park_is_not_lost() {
        let ready = ReadySet::new(1, &waker_of(&std::thread::current()));
        ready.waker(0).wake_by_ref();
        // This returns at once, because the waker left its token.
        std::thread::park();
        assert!(ready.take(0));
    }
}
