//! What is measured: one trait, and one file a kind of target.
//!
//! Clients are polled, so that one load thread drives any number of them; a client with nothing to say keeps the waker
//! and wakes it once it has. Nothing here measures: times are taken by whoever drives.

pub mod engine;
#[cfg(test)]
pub(crate) mod fake;

use crate::measure::events::SystemEvent;
use crate::measure::shards::ShardStats;
use crate::result::provenance::CoresUsed;
use crate::result::provenance::SystemIdentity;
use crate::workload::{Capabilities, Target, Workload};
use futures_util::future::LocalBoxFuture;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The systems that can be measured, with their capabilities.
pub const CAPABILITIES: &[Capabilities] = &[engine::CAPABILITIES];

/// Opens what the workload measures, with its data in `data_dir`, which is empty.
///
/// # Errors
/// The target cannot be opened there.
pub fn open(workload: &Workload, cores: &CoresUsed, data_dir: &Path) -> anyhow::Result<Box<dyn System>> {
    match workload.target.system() {
        Target::ENGINE => Ok(Box::new(engine::EngineSystem::open(workload, cores, data_dir)?)),
        // Workload files with another system are refused when they are read.
        other => anyhow::bail!("`{other}` cannot be measured"),
    }
}

/// A system that can be driven: the embedded engine, or a cluster behind a protocol. It is opened with the workload's
/// durability, log and engine settings, so that only names and counts are left to say here.
pub trait System: Send {
    /// What it is and how it is configured, for the result.
    fn describe(&self) -> Description;

    /// Makes a topic with empty partitions.
    ///
    /// # Errors
    /// The topic exists, its settings are refused, or the storage fails.
    fn create_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()>;

    /// A producer of one topic; it may be moved to the thread that drives it.
    ///
    /// # Errors
    /// The topic is unknown or the settings are refused.
    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer + Send>>;

    /// A consumer of assigned partitions; it may be moved to the thread that drives it.
    ///
    /// # Errors
    /// A partition is unknown or the settings are refused.
    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer + Send>>;

    /// What only a system in this process offers; `None` for any other.
    fn inside(&self) -> Option<&dyn Inside>;

    /// Closes the system, with everything acked as durable as its level says.
    ///
    /// # Errors
    /// The storage fails on the last writes.
    fn close(self: Box<Self>) -> anyhow::Result<()>;
}

/// The inside of a system.
///
/// # Errors
/// The system does not run in this process.
pub fn inside(system: &dyn System) -> anyhow::Result<&dyn Inside> {
    system.inside().ok_or_else(|| anyhow::anyhow!("the system does not run in this process"))
}

/// What a system offers that runs in this process. A system that lacks a part answers with an error; the workload file was
/// checked against its [`Capabilities`](crate::workload::Capabilities) before.
pub trait Inside {
    /// The shard of each partition of a topic.
    ///
    /// # Errors
    /// The topic is unknown, or the system has no shards.
    fn shards_of(&self, topic: &str) -> anyhow::Result<Vec<u32>>;

    /// Runs `work` on the thread of a shard. It must not block there, and it ends before the system is closed.
    ///
    /// # Errors
    /// There is no such shard, or the system runs no work of others.
    fn colocate(&self, shard: u32, work: LocalWork) -> anyhow::Result<Joined>;

    /// The counters of each shard since the system was opened; empty without shards.
    fn shard_stats(&self) -> Vec<ShardStats>;

    /// The events inside the system since the last call.
    fn drain_events(&self) -> Vec<SystemEvent>;

    /// Stops a shard for a while, so that everything that waits for it waits longer. Returns before the stall is over.
    ///
    /// # Errors
    /// There is no such shard, or it cannot be stopped.
    fn stall(&self, shard: u32, length: Duration) -> anyhow::Result<()>;

    /// Drops the parts of the log that are kept in memory, so that the next reads go to the disk.
    ///
    /// # Errors
    /// A shard does not answer, or the system cannot do it.
    fn drop_caches(&self) -> anyhow::Result<()>;
}

/// A shard's own thread, as load on it sees it. Its clients stay there, and reach the shard's partitions alone.
pub trait LocalSystem {
    /// A producer of one topic.
    ///
    /// # Errors
    /// The topic is unknown, none of it is here, or the settings are refused.
    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer>>;

    /// A consumer of assigned partitions, all of them here.
    ///
    /// # Errors
    /// A partition is unknown or elsewhere, or the settings are refused.
    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer>>;

    /// Comes back at `until`; the shard works in the meantime.
    fn sleep_until(&self, until: Instant) -> LocalBoxFuture<'static, ()>;

    /// Comes back after the shard's next turn.
    fn yield_now(&self) -> LocalBoxFuture<'static, ()>;
}

/// Work for a shard's own thread.
pub type LocalWork = Box<dyn FnOnce(Rc<dyn LocalSystem>) -> LocalBoxFuture<'static, ()> + Send>;

/// Waits until a shard's work has ended; an error if it was cut short.
pub type Joined = Box<dyn FnOnce() -> anyhow::Result<()>>;

/// What a target is, for the result's provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// `engine`, `kafka`…
    pub kind: &'static str,
    /// Its own version.
    pub version: String,
    /// Facts that shape what a figure means, as (name, value): io_uring features in use, a broker's configuration.
    pub facts: Vec<(String, String)>,
}

impl From<Description> for SystemIdentity {
    fn from(description: Description) -> Self {
        Self {
            kind: description.kind.to_owned(),
            version: description.version,
            facts: description.facts.into_iter().collect(),
        }
    }
}

/// How a producer batches and how much it may have unacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSpec {
    /// The topic it produces to.
    pub topic: String,
    /// Encoded bytes after which a batch closes.
    pub batch_bytes_max: u64,
    /// Records after which a batch closes.
    pub batch_records_max: u32,
    /// Encoded bytes accepted and not yet acked beyond which [`SystemProducer::try_send`] answers [`SendError::Full`].
    pub in_flight_bytes_max: u64,
}

/// What a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Topic and partition, each from its first offset; [`FetchedInfo::assignment`] is an index into this.
    pub assignment: Vec<(String, u32)>,
    /// Most bytes one fetch returns.
    pub fetch_bytes_max: u64,
}

/// A record handed over; the target copies what it keeps.
#[derive(Debug, Clone, Copy)]
pub struct OutRecord<'a> {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// Name and value of each header.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// Sends records of one topic. Within a partition acks come in the order of the offsets.
pub trait SystemProducer {
    /// Hands a record over for `partition`, without waiting. It may sit in an open batch until that is full or flushed.
    ///
    /// # Errors
    /// [`SendError::Full`] is back-pressure: try again after the next ack. Anything else ends the run.
    fn try_send(&mut self, partition: u32, record: &OutRecord<'_>) -> Result<(), SendError>;

    /// Closes the open batches: what was handed over travels now.
    fn flush(&mut self);

    /// The next ack; `Pending` keeps the waker. Never ends: a producer with nothing in flight stays pending.
    fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack>;
}

/// Why a record was not taken.
#[derive(Debug)]
pub enum SendError {
    /// Too much in flight.
    Full,
    /// The target failed.
    Failed(anyhow::Error),
}

/// The fate of one batch.
#[derive(Debug)]
pub struct Ack {
    /// The partition it went to.
    pub partition: u32,
    /// Offset of its first record; meaningless where `result` is an error.
    pub base_offset: u64,
    /// How many records.
    pub count: u32,
    /// Its encoded size; 0 if the target does not tell.
    pub encoded_bytes: u64,
    /// Whether the records have reached the topic's durability level.
    pub result: anyhow::Result<()>,
}

/// Reads assigned partitions in offset order.
pub trait SystemConsumer {
    /// Shows the next fetched records of one partition to `sink`: once [`FetchSink::begin`], then every record in
    /// offset order. `Pending` keeps the waker; the sink was not called then.
    fn poll_fetch(&mut self, context: &mut Context<'_>, sink: &mut dyn FetchSink)
    -> Poll<anyhow::Result<()>>;
}

/// Where fetched records go. Records are borrowed from the target's own memory.
pub trait FetchSink {
    /// A fetch has arrived; called before its records are looked at, so that a clock can be read once for all of them.
    fn begin(&mut self, info: &FetchedInfo);
    /// One record of it.
    fn record(&mut self, record: &InRecord<'_>);
}

/// What a fetch is, before its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedInfo {
    /// Index into [`ConsumerSpec::assignment`].
    pub assignment: usize,
    /// Encoded bytes; 0 if the target does not tell.
    pub bytes: u64,
    /// The partition's high watermark at the time.
    pub high_watermark: u64,
    /// Records between the fetch before and this one that retention has deleted unread.
    pub skipped: u64,
}

/// A record in the consumer's hands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InRecord<'a> {
    /// Its offset.
    pub offset: u64,
    /// The key, if it has one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// The value of the header that carries the stamp, if the record has one.
    pub stamp_header: Option<&'a [u8]>,
}

/// Name of the record header that carries the stamp where the payload is real data.
pub const STAMP_HEADER: &str = "vnotch";
