//! A consumer of fixed partitions: one client of librdkafka that is assigned its partitions and joins no group.
//!
//! Each partition has a queue of its own. The client's threads note a queue that gets its first record, and wake the load
//! thread.

use super::errors::{Noting, is_final};
use crate::num;
use crate::system::{ConsumerSpec, FetchSink, FetchedInfo, InRecord, STAMP_HEADER, SystemConsumer};
use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Does not wait for a record.
const AT_ONCE: Duration = Duration::ZERO;

/// The queues that hold records, and the waker of the load thread. Clones share them.
#[derive(Debug, Clone, Default)]
struct Ready(Arc<Mutex<ReadyState>>);

#[derive(Debug, Default)]
struct ReadyState {
    queues: VecDeque<usize>,
    waker: Option<Waker>,
}

impl Ready {
    fn state(&self) -> MutexGuard<'_, ReadyState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a queue holds records. The client calls it while it holds the queue's lock, so nothing here uses the client.
    fn note(&self, queue: usize) {
        let mut state = self.state();
        if !state.queues.contains(&queue) {
            state.queues.push_back(queue);
        }
        let waker = state.waker.take();
        drop(state);
        waker.into_iter().for_each(Waker::wake);
    }

    /// Returns a queue that may hold records. If there is none, keeps the waker.
    fn take(&self, context: &Context<'_>) -> Option<usize> {
        let mut state = self.state();
        let queue = state.queues.pop_front();
        if queue.is_none() {
            state.waker = Some(context.waker().clone());
        }
        queue
    }
}

/// A partition that a consumer is assigned.
#[derive(Debug, Clone)]
pub(super) struct Begin {
    /// The topic's name in the cluster.
    pub(super) topic: String,
    /// Number of the partition.
    pub(super) partition: i32,
    /// Offset of the first record to read; `None` for the first that there is.
    pub(super) offset: Option<u64>,
}

/// One assigned partition.
struct Assigned {
    queue: PartitionQueue<Noting>,
    topic: String,
    partition: i32,
    /// The offset that the next record should have.
    next_offset: u64,
}

/// A consumer of fixed partitions.
pub(super) struct KafkaConsumer {
    assigned: Vec<Assigned>,
    client: Arc<BaseConsumer<Noting>>,
    ready: Ready,
    fetch_bytes_max: u64,
    /// A record after a gap in the offsets. It begins the next fetch, so that the gap is told before it.
    held: Option<(usize, OwnedMessage)>,
}

impl KafkaConsumer {
    /// Makes a client, and assigns it the partitions with their names in the cluster.
    pub(super) fn new(
        config: &ClientConfig,
        assignment: Vec<Begin>,
        spec: &ConsumerSpec,
    ) -> anyhow::Result<Self> {
        let ready = Ready::default();
        let client: BaseConsumer<Noting> =
            config.create_with_context(Noting::default()).context("cannot make a Kafka consumer")?;
        let mut client = client;
        // Wakes the load thread for errors. The queue has the number after those of the partitions, and holds no records.
        let (others, own) = (ready.clone(), assignment.len());
        client.set_nonempty_callback(move || others.note(own));
        let client = Arc::new(client);
        let mut partitions = TopicPartitionList::with_capacity(assignment.len());
        for Begin { topic, partition, offset } in &assignment {
            let offset = offset.map(i64::try_from).transpose()?.map_or(Offset::Beginning, Offset::Offset);
            partitions.add_partition_offset(topic, *partition, offset)?;
        }
        client.assign(&partitions).context("cannot assign partitions")?;
        let assigned = assignment.into_iter().enumerate().map(|(number, begin)| {
            let Begin { topic, partition, offset } = begin;
            let queue = client.split_partition_queue(&topic, partition);
            let mut queue = queue.with_context(|| format!("there is no partition {topic}-{partition}"))?;
            let ready = ready.clone();
            queue.set_nonempty_callback(move || ready.note(number));
            Ok(Assigned { queue, topic, partition, next_offset: offset.unwrap_or(0) })
        });
        let assigned = assigned.collect::<anyhow::Result<Vec<_>>>()?;
        // Records may have arrived before the callbacks were set.
        (0..assigned.len()).for_each(|number| ready.note(number));
        Ok(Self { assigned, client, ready, fetch_bytes_max: spec.fetch_bytes_max, held: None })
    }

    /// Handles the events of the client, and records that arrived before their partition had a queue of its own.
    fn poll_client(&mut self) -> anyhow::Result<()> {
        if self.held.is_some() {
            return Ok(());
        }
        match self.client.poll(AT_ONCE) {
            None => Ok(()),
            Some(Err(error)) => judge(&self.client, &error),
            Some(Ok(message)) => {
                let is_of =
                    |it: &Assigned| it.topic == message.topic() && it.partition == message.partition();
                let number =
                    self.assigned.iter().position(is_of).context("a record of a foreign partition")?;
                self.held = Some((number, message.detach()));
                Ok(())
            }
        }
    }

    /// Passes on the records of one queue. Returns false if it had none.
    fn fetch(&mut self, number: usize, sink: &mut dyn FetchSink) -> anyhow::Result<bool> {
        let Some(assigned) = self.assigned.get_mut(number) else { return Ok(false) };
        let (mut bytes, mut has_begun) = (0, false);
        while bytes < self.fetch_bytes_max {
            let Some(polled) = assigned.queue.poll(AT_ONCE) else { return Ok(has_begun) };
            let message = match polled {
                Ok(message) => message,
                Err(error) => {
                    judge(&self.client, &error)?;
                    continue;
                }
            };
            let offset = offset_of(&message)?;
            if !has_begun {
                sink.begin(&info(number, offset.saturating_sub(assigned.next_offset)));
                has_begun = true;
            } else if offset > assigned.next_offset {
                self.held = Some((number, message.detach()));
                break;
            }
            assigned.next_offset = offset + 1;
            bytes += num::count(message.payload_len() + message.key_len());
            pass_on(&message, offset, sink);
        }
        self.ready.note(number);
        Ok(has_begun)
    }
}

/// Returns the error if the client cannot recover from it.
fn judge(client: &BaseConsumer<Noting>, error: &KafkaError) -> anyhow::Result<()> {
    if is_final(error) {
        anyhow::bail!("cannot fetch: {error}{}", client.client().context().0.because());
    }
    Ok(())
}

fn offset_of(message: &impl Message) -> anyhow::Result<u64> {
    u64::try_from(message.offset()).context("a record without an offset")
}

fn info(assignment: usize, skipped: u64) -> FetchedInfo {
    FetchedInfo { assignment, bytes: 0, high_watermark: 0, skipped }
}

fn pass_on(message: &impl Message, offset: u64, sink: &mut dyn FetchSink) {
    let stamp_header = message.headers().and_then(|headers| {
        headers.iter().find(|header| header.key == STAMP_HEADER).and_then(|header| header.value)
    });
    sink.record(&InRecord {
        offset,
        key: message.key(),
        value: message.payload().unwrap_or_default(),
        stamp_header,
    });
}

impl SystemConsumer for KafkaConsumer {
    fn poll_fetch(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<()>> {
        if let Err(error) = self.poll_client() {
            return Poll::Ready(Err(error));
        }
        if let Some((number, message)) = self.held.take() {
            let passed = offset_of(&message).map(|offset| {
                let assigned = &mut self.assigned[number];
                sink.begin(&info(number, offset.saturating_sub(assigned.next_offset)));
                assigned.next_offset = offset + 1;
                pass_on(&message, offset, sink);
            });
            return Poll::Ready(passed);
        }
        while let Some(number) = self.ready.take(context) {
            match self.fetch(number, sink) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Pending
    }
}
