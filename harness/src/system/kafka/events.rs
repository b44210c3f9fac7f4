//! The events of a consuming client, taken until its queue is empty.
//!
//! [`BaseConsumer::poll`] returns `None` if the queue is empty, and also after it has passed an event to the client's context. Only an
//! empty queue wakes its reader for the next event. So contexts count what they are passed.

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::message::BorrowedMessage;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Does not wait for an event.
const AT_ONCE: Duration = Duration::ZERO;

/// Number of events that a context was passed.
#[derive(Debug, Default)]
pub(super) struct Handled(AtomicU64);

impl Handled {
    /// Counts an event.
    pub(super) fn count(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A context that counts every event that it is passed: lines of the log, statistics, errors, rebalances, and the results of commits
/// that the client makes by itself.
pub(super) trait Counting: ConsumerContext {
    /// The count.
    fn handled(&self) -> &Handled;
}

/// Lets a client handle its events, up to the next record or error that it returns. `None` means that the queue was empty, or that the
/// client has closed.
pub(super) fn next<C: Counting>(client: &BaseConsumer<C>) -> Option<KafkaResult<BorrowedMessage<'_>>> {
    let handled = || client.context().handled().0.load(Ordering::Relaxed);
    loop {
        let before = handled();
        let polled = client.poll(AT_ONCE);
        if polled.is_some() || handled() == before {
            return polled;
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::mocking::MockCluster;
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    /// Checks that a client with this context wakes its reader for the next event once its queue was found empty.
    pub(in crate::system::kafka) fn assert_a_reader_is_woken_for_the_next_event<C>()
    where
        C: Counting + Default + 'static,
    {
        let mock = MockCluster::new(1).unwrap();
        mock.create_topic("topic", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", mock.bootstrap_servers())
            .set("group.id", "test")
            .set("statistics.interval.ms", "500")
            .set("auto.commit.interval.ms", "20")
            .set("enable.auto.offset.store", "false");
        let mut client: BaseConsumer<C> = config.create_with_context(C::default()).unwrap();
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&wakes);
        client.set_nonempty_callback(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let at = |offset| {
            let mut list = TopicPartitionList::new();
            list.add_partition_offset("topic", 0, Offset::Offset(offset)).unwrap();
            list
        };
        client.assign(&at(0)).unwrap();
        // Each offset is committed by the client itself, while nobody takes the events.
        for offset in 1..=5 {
            client.store_offsets(&at(offset)).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        while next(&client).is_some() {}
        assert!(client.context().handled().0.load(Ordering::Relaxed) >= 3, "several events came");
        let (seen, begun) = (wakes.load(Ordering::SeqCst), Instant::now());
        while wakes.load(Ordering::SeqCst) == seen {
            assert!(begun.elapsed() < Duration::from_secs(20), "nobody is woken");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
