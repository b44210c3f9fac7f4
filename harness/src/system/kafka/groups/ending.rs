//! The end of members' clients: a client leaves its group and closes, which takes a few round trips.
//!
//! A client that is closing may wait for a call that assigns or unassigns partitions. librdkafka does not answer such a call if its
//! group ends at that moment, and the caller waits for ever. So the call is made only when the client has said that it waits for it,
//! and its rebalances are not followed any more: there can be more of them than calls.

use super::account::Account;
use crate::system::kafka::events;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaResult;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for an event of a client that is closing.
const TICK: Duration = Duration::from_millis(10);

/// Number of times that a client has to ask for a call before the call is made. A client that waits asks twice at once, and then again
/// at least once a second. A client that has asked only once may stop waiting by itself: it does so if it has lost the coordinator.
const REQUESTS_MIN: u32 = 2;

/// Begins to close a client. If it is a member, it leaves its group.
///
/// # Errors
/// The client has closed, or has failed and cannot go on.
pub(super) fn begin(client: &BaseConsumer<Account>) -> KafkaResult<()> {
    client.context().note_closing();
    client.close_queue()
}

/// Makes the call that a closing client waits for. Returns false if it waits for none.
pub(super) fn answer(client: &BaseConsumer<Account>) -> bool {
    let awaits_call = client.context().requests() >= REQUESTS_MIN;
    if awaits_call {
        // The client asks again if the call fails.
        let _ = client.unassign();
        // What it said before the call was made does not ask for another one.
        while events::next(client).is_some() {}
        client.context().forget_requests();
    }
    awaits_call
}

/// The clients that are closing on threads of their own. Clones share them.
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
        *self.0.running.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        let shared = Arc::clone(&self.0);
        let end = move || {
            if begin(&client).is_ok() {
                while !client.closed() {
                    drop(client.poll(TICK));
                    while events::next(&client).is_some() {}
                    answer(&client);
                }
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
