//! Clients of members that are ending. A client leaves its group and ends its threads, which takes a while; no load thread waits.

use super::account::Account;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// The clients that are ending. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in crate::system::kafka) struct Endings(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    running: Mutex<usize>,
    changed: Condvar,
}

impl Endings {
    /// Ends a client on a thread of its own. If it is a member, it leaves its group.
    pub(super) fn end(&self, client: Arc<BaseConsumer<Account>>) {
        client.context().end();
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let shared = Arc::clone(&self.0);
        let end = move || {
            // A rebalance that nobody has followed would keep the client from closing. Now it lets all partitions go instead.
            if client.close_queue().is_ok() {
                let _ = client.unassign();
            }
            drop(client);
            *shared.running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
            shared.changed.notify_all();
        };
        std::thread::spawn(end);
    }

    /// Waits until all clients have ended, for `longest` at most. Returns whether they have.
    pub(in crate::system::kafka) fn wait(&self, longest: Duration) -> bool {
        let running = self.0.running.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.changed.wait_timeout_while(running, longest, |running| *running > 0);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == 0
    }
}
