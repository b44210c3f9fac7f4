//! Which of a load thread's clients have something to say: a bit each, set by their wakers, and the thread unparked.
//! A load thread polls only those, so a hundred idle clients cost nothing.

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

#[derive(Debug)]
struct ClientWaker {
    words: Arc<[AtomicU64]>,
    client: usize,
    sleeper: Waker,
}

/// Wakes a thread that parks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        // A syscall only if the thread sleeps; the token it leaves otherwise makes the next park return at once.
        self.0.unpark();
    }
}

/// A waker of a thread that parks while nobody is ready.
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
    /// `clients` clients, all ready, polled by whom `sleeper` wakes.
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

    /// The waker of one client.
    pub fn waker(&self, client: usize) -> &Waker {
        &self.wakers[client]
    }

    /// Whether `client` was woken since it was last taken; it counts as taken now.
    pub fn take(&self, client: usize) -> bool {
        let (word, bit) = (&self.words[client / 64], 1 << (client % 64));
        word.load(Ordering::Relaxed) & bit != 0 && word.fetch_and(!bit, Ordering::Acquire) & bit != 0
    }

    /// Marks a client that was left with more to say.
    pub fn put_back(&self, client: usize) {
        self.words[client / 64].fetch_or(1 << (client % 64), Ordering::Relaxed);
    }

    /// Whether any client is ready.
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
        // Returns at once: the waker left its token.
        std::thread::park();
        assert!(ready.take(0));
    }
}
