//! A consumer of fixed partitions: one client of librdkafka that is assigned its partitions and joins no group.

use super::errors::{Noting, is_of_group};
use super::events;
use super::partition::{Fetched, Partition, judge};
use super::ready::Ready;
use crate::system::{ConsumerSpec, FetchSink, SystemConsumer};
use anyhow::Context as _;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::sync::Arc;
use std::task::{Context, Poll};

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

/// A consumer of fixed partitions.
pub(super) struct KafkaConsumer {
    /// The partitions, in the order of the assignment, which `begins` has too.
    partitions: Vec<Partition<Noting>>,
    begins: Vec<Begin>,
    client: Arc<BaseConsumer<Noting>>,
    ready: Ready,
    fetch_bytes_max: u64,
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
        // Wakes the load thread for errors.
        let others = ready.clone();
        client.set_nonempty_callback(move || others.note_events());
        let client = Arc::new(client);
        let mut partitions = TopicPartitionList::with_capacity(assignment.len());
        for Begin { topic, partition, offset } in &assignment {
            let offset = offset.map(i64::try_from).transpose()?.map_or(Offset::Beginning, Offset::Offset);
            partitions.add_partition_offset(topic, *partition, offset)?;
        }
        client.assign(&partitions).context("cannot assign partitions")?;
        let partition = |(number, begin): (usize, &Begin)| {
            let first = begin.offset.unwrap_or(0);
            Partition::new(&client, (&begin.topic, begin.partition), &ready, (number, Some(first)))
        };
        let partitions = assignment.iter().enumerate().map(partition).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self { partitions, begins: assignment, client, ready, fetch_bytes_max: spec.fetch_bytes_max })
    }

    /// Handles the events of the client, and records that arrived before their partition had a queue of its own.
    fn poll_client(&mut self) -> anyhow::Result<()> {
        loop {
            let has_more = self.ready.take_events().is_some();
            match events::next(&self.client) {
                None if has_more => {}
                None => return Ok(()),
                // The client reads its partitions without the group that it never joins.
                Some(Err(error)) if is_of_group(&error) => {}
                Some(Err(error)) => judge(&self.client.client().context().errors, &error)?,
                Some(Ok(message)) => {
                    let is_of =
                        |it: &Begin| it.topic == message.topic() && it.partition == message.partition();
                    let number =
                        self.begins.iter().position(is_of).context("a record of a foreign partition")?;
                    self.partitions[number].hold(message.detach());
                    self.ready.put_back(number);
                }
            }
        }
    }

    /// Passes on the records of one queue. Returns false if it had none.
    fn fetch(&mut self, number: usize, sink: &mut dyn FetchSink) -> anyhow::Result<bool> {
        let Some(partition) = self.partitions.get_mut(number) else { return Ok(false) };
        let errors = &self.client.client().context().errors;
        let mut skipped = 0;
        loop {
            match partition.fetch((skipped, self.fetch_bytes_max), errors, sink)? {
                Fetched::Nothing => return Ok(false),
                Fetched::All => return Ok(true),
                Fetched::Some => {
                    self.ready.put_back(number);
                    return Ok(true);
                }
                Fetched::Gap { from, to } => skipped = to - from,
            }
        }
    }
}

impl SystemConsumer for KafkaConsumer {
    fn poll_fetch(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<()>> {
        self.ready.listen(context.waker());
        if let Err(error) = self.poll_client() {
            return Poll::Ready(Err(error));
        }
        while let Some(number) = self.ready.take() {
            match self.fetch(number, sink) {
                Ok(false) => {}
                Ok(true) => return Poll::Ready(Ok(())),
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Pending
    }
}
