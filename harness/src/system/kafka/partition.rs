//! One partition that a client reads: its queue, and the offset of its next record.

use super::errors::{Errors, is_final, missing_rights};
use super::ready::Ready;
use crate::num;
use crate::system::{FetchSink, FetchedInfo, InRecord, STAMP_HEADER};
use anyhow::Context as _;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message, OwnedMessage};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// Does not wait for a record.
const AT_ONCE: Duration = Duration::ZERO;

/// A partition that a client reads.
pub(super) struct Partition<C: ConsumerContext + 'static> {
    queue: PartitionQueue<C>,
    /// The number under which [`Ready`] and the sink know the partition.
    number: usize,
    /// The offset that the next record should have; `None` if each will do.
    next_offset: Option<u64>,
    /// Records that were taken from a queue and not passed on.
    held: VecDeque<OwnedMessage>,
}

/// The outcome of a fetch.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fetched {
    /// There are no records.
    Nothing,
    /// Records were passed on, and there may be more.
    Some,
    /// All records were passed on.
    All,
    /// The next record has the offset `to` instead of `from`. The next fetch passes it on.
    Gap { from: u64, to: u64 },
}

impl<C: ConsumerContext + 'static> Partition<C> {
    /// Gives a partition of `client` a queue of its own, which `ready` notes as `number`. `next_offset` is the offset of the first
    /// record, if it is known.
    ///
    /// # Errors
    /// The name of the topic is none.
    pub(super) fn new(
        client: &Arc<BaseConsumer<C>>,
        (topic, partition): (&str, i32),
        ready: &Ready,
        (number, next_offset): (usize, Option<u64>),
    ) -> anyhow::Result<Self> {
        let queue = client.split_partition_queue(topic, partition);
        let mut queue = queue.with_context(|| format!("there is no partition {topic}-{partition}"))?;
        let own = ready.clone();
        queue.set_nonempty_callback(move || own.note(number));
        // Records may have arrived before the callback was set.
        ready.put_back(number);
        Ok(Self { queue, number, next_offset, held: VecDeque::new() })
    }

    /// The offset after the last record that was passed on; `None` if that is not known.
    pub(super) const fn next_offset(&self) -> Option<u64> {
        self.next_offset
    }

    /// Keeps a record that came before the partition had a queue of its own.
    pub(super) fn hold(&mut self, message: OwnedMessage) {
        self.held.push_back(message);
    }

    /// Passes on the next records, up to `bytes_max` bytes. The sink hears that `skipped` records are missing before them.
    ///
    /// # Errors
    /// The client cannot read on.
    pub(super) fn fetch(
        &mut self,
        (skipped, bytes_max): (u64, u64),
        errors: &Errors,
        sink: &mut dyn FetchSink,
    ) -> anyhow::Result<Fetched> {
        let Self { queue, number, next_offset, held } = self;
        let mut run = Run { sink, assignment: *number, skipped, bytes: 0, has_begun: false };
        while run.bytes < bytes_max {
            if let Some(message) = held.pop_front() {
                match run.pass_on(&message, next_offset)? {
                    None => continue,
                    Some(gap) => {
                        held.push_front(message);
                        return Ok(gap);
                    }
                }
            }
            match queue.poll(AT_ONCE) {
                None => return Ok(if run.has_begun { Fetched::All } else { Fetched::Nothing }),
                Some(Err(error)) => judge(errors, &error)?,
                Some(Ok(message)) => {
                    if let Some(gap) = run.pass_on(&message, next_offset)? {
                        held.push_front(message.detach());
                        return Ok(gap);
                    }
                }
            }
        }
        Ok(Fetched::Some)
    }
}

/// The records of one fetch.
struct Run<'a> {
    sink: &'a mut dyn FetchSink,
    assignment: usize,
    skipped: u64,
    /// Bytes of keys and values that were passed on.
    bytes: u64,
    has_begun: bool,
}

impl Run<'_> {
    /// Passes a record on, unless it comes after a gap in the offsets. Then the fetch ends with the returned outcome, before the gap
    /// or with it.
    fn pass_on(
        &mut self,
        message: &impl Message,
        next_offset: &mut Option<u64>,
    ) -> anyhow::Result<Option<Fetched>> {
        let offset = u64::try_from(message.offset()).context("a record without an offset")?;
        if let Some(from) = next_offset.filter(|next| offset > *next) {
            if self.has_begun {
                return Ok(Some(Fetched::Some));
            }
            *next_offset = Some(offset);
            return Ok(Some(Fetched::Gap { from, to: offset }));
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            let Self { assignment, skipped, .. } = *self;
            self.sink.begin(&FetchedInfo { assignment, bytes: 0, high_watermark: 0, skipped });
        }
        *next_offset = Some(offset + 1);
        let (key, value) = (message.key(), message.payload().unwrap_or_default());
        self.bytes += num::count(value.len() + key.map_or(0, <[u8]>::len));
        let stamp_header = message.headers().and_then(|headers| {
            headers.iter().find(|header| header.key == STAMP_HEADER).and_then(|header| header.value)
        });
        self.sink.record(&InRecord { offset, key, value, stamp_header });
        Ok(None)
    }
}

/// Returns the error if the client cannot recover from it.
pub(super) fn judge(errors: &Errors, error: &KafkaError) -> anyhow::Result<()> {
    if is_final(error) {
        let rights = error.rdkafka_error_code().map_or("", missing_rights);
        anyhow::bail!("cannot fetch: {error}{}{rights}", errors.because());
    }
    Ok(())
}
