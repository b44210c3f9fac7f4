//! The systems that can be measured: the trait [`System`], and one file for each kind of system.
//!
//! Producers and consumers are polled, so that one load thread drives any number of them. A client that has nothing to
//! return keeps the waker, and wakes it as soon as it has something. Nothing in this folder measures: the load that
//! calls it takes the times.

#[cfg(test)]
mod conformance;
pub mod engine;
#[cfg(test)]
pub(crate) mod fake;
pub mod kafka;
mod leftover;
mod lender;
mod member;
mod record_error;

pub use leftover::{IN_USE_MAX, LeftInCluster, LeftKind, Newest};
pub use lender::Lender;
pub use member::{MemberEvent, MemberSpec, Membership, SystemMember};
pub use record_error::RecordError;

use crate::exit::UsageError;
use crate::measure::events::SystemEvent;
use crate::measure::shards::ShardStats;
use crate::result::provenance::CoresUsed;
use crate::result::provenance::SystemIdentity;
use crate::workload::{Capabilities, KafkaSettings, Target, Workload};
use futures_util::future::LocalBoxFuture;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// The systems that can be measured, with their capabilities.
pub const CAPABILITIES: &[Capabilities] = &[engine::CAPABILITIES, kafka::CAPABILITIES];

/// Opens systems. What serves several trials, such as brokers that the harness starts, runs until this value is dropped.
#[derive(Debug, Default)]
pub struct Systems {
    #[cfg(feature = "kafka")]
    kafka: std::cell::RefCell<kafka::Brokers>,
}

impl Systems {
    /// Opens the system that the workload measures. It keeps its data in `data_dir`, which is empty or holds the data of an
    /// earlier, closed system of the same workload.
    ///
    /// # Errors
    /// The system cannot be opened there.
    pub fn open(
        &self,
        workload: &Workload,
        cores: &CoresUsed,
        data_dir: &Path,
    ) -> anyhow::Result<Box<dyn System>> {
        match workload.target.system() {
            Target::ENGINE => Ok(Box::new(engine::EngineSystem::open(workload, cores, data_dir)?)),
            #[cfg(feature = "kafka")]
            Target::KAFKA => self.kafka.borrow_mut().open(workload, data_dir),
            // Workload files with another system are refused when they are read.
            other => anyhow::bail!("`{other}` cannot be measured"),
        }
    }

    /// Returns how long load must be put on the workload's system before its first trial; `None` if that was done, or is not
    /// needed.
    pub fn unwarmed(&self, workload: &Workload) -> Option<Duration> {
        #[cfg(feature = "kafka")]
        if workload.target.system() == Target::KAFKA {
            return self.kafka.borrow().unwarmed(workload);
        }
        let _ = workload;
        None
    }

    /// Ends what was started for the systems, such as brokers.
    pub fn end(self) {
        // Brokers end when they are dropped.
    }
}

/// Checks those settings of the workload that only the system itself can check.
///
/// # Errors
/// A [`UsageError`] for settings that the system does not have.
pub fn check(workload: &Workload) -> anyhow::Result<()> {
    #[cfg(feature = "kafka")]
    if workload.target.system() == Target::KAFKA {
        return kafka::check(workload);
    }
    let _ = workload;
    Ok(())
}

/// Returns the topics and consumer groups with names of runs in a cluster: topics first, each kind by name.
///
/// # Errors
/// A [`UsageError`] if the target is no cluster, or this build has no client for it. No broker answers, or a topic or the groups
/// cannot be looked at.
pub fn left_in_cluster(target: &Target, settings: &KafkaSettings) -> anyhow::Result<Vec<LeftInCluster>> {
    let workload = cluster(target, settings)?;
    #[cfg(feature = "kafka")]
    {
        kafka::leftovers::find(&workload)
    }
    #[cfg(not(feature = "kafka"))]
    {
        Err(missing(&workload))
    }
}

/// Removes topics and groups with names of runs from a cluster.
///
/// # Errors
/// The same as of [`left_in_cluster`]. A name is none of a run, or the cluster refuses it.
pub fn remove_from_cluster(
    target: &Target,
    settings: &KafkaSettings,
    left: &[&LeftInCluster],
) -> anyhow::Result<()> {
    let workload = cluster(target, settings)?;
    #[cfg(feature = "kafka")]
    {
        kafka::leftovers::remove(&workload, left)
    }
    #[cfg(not(feature = "kafka"))]
    {
        let _ = left;
        Err(missing(&workload))
    }
}

fn cluster(target: &Target, settings: &KafkaSettings) -> anyhow::Result<Workload> {
    if target.system() != Target::KAFKA || target.address().is_none() {
        return Err(UsageError::error(format!(
            "--target {target}: topics and groups are left in a running cluster; name it as kafka://host:port"
        )));
    }
    Ok(Workload { target: target.clone(), kafka: settings.clone(), ..Workload::default() })
}

#[cfg(not(feature = "kafka"))]
fn missing(workload: &Workload) -> anyhow::Error {
    let why = kafka::CAPABILITIES.missing.unwrap_or("this build has no Kafka client");
    UsageError::error(format!("--target {}: {why}", workload.target))
}

/// Scans the data of a closed system of this `kind`. Returns each defect in a sentence; `None` if such data cannot be
/// scanned, because it lies elsewhere or its format is not known.
///
/// # Errors
/// The data cannot be read.
pub fn scan(kind: &str, data_dir: &Path) -> anyhow::Result<Option<Vec<String>>> {
    (kind == engine::KIND).then(|| engine::scan(data_dir)).transpose()
}

/// A system that load can be put on: the embedded engine, or a cluster behind a protocol. It is opened with the
/// workload's durability, log and engine settings, so that the methods need only names and counts.
pub trait System: Send {
    /// Returns the system's kind, version and configuration, for the result.
    fn describe(&self) -> Description;

    /// Creates a topic with empty partitions. If the workload names an existing topic, that one gets this name instead.
    ///
    /// # Errors
    /// The topic exists, its settings are refused, or the storage fails. The existing one is missing, or is not as the workload
    /// needs it.
    fn create_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()>;

    /// Returns a producer for one topic. It may be moved to the thread that drives it.
    ///
    /// # Errors
    /// The topic is unknown or the settings are refused.
    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer + Send>>;

    /// Returns a consumer of the assigned partitions. It may be moved to the thread that drives it.
    ///
    /// # Errors
    /// A partition is unknown or the settings are refused.
    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer + Send>>;

    /// Returns a member of a consumer group. It may be moved to the thread that drives it.
    ///
    /// # Errors
    /// The system has no groups ([`Capabilities::has_groups`]), the topic is unknown, or the settings are refused.
    fn member(&self, spec: &MemberSpec) -> anyhow::Result<Box<dyn SystemMember + Send>> {
        anyhow::bail!("consumers of this system cannot be members of the group `{}`", spec.group)
    }

    /// The inside of the system; `None` if it does not run in this process.
    fn inside(&self) -> Option<&dyn Inside>;

    /// The group of the processes that the harness has started for this system; `None` if there are none.
    fn process_group(&self) -> Option<u32> {
        None
    }

    /// The directory of the data of those processes; `None` if there are none.
    fn data_dir(&self) -> Option<&Path> {
        None
    }

    /// Closes the system. Everything acked is then as durable as the topic's durability level promises.
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

/// The inside of a system that runs in this process. A system that lacks a part answers with an error; the workload file was
/// checked against its [`Capabilities`] before.
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

/// A shard's own thread, for load that runs on it. Clients made here stay on that thread, and reach only the partitions
/// of that shard.
pub trait LocalSystem {
    /// Returns a producer for one topic.
    ///
    /// # Errors
    /// The topic is unknown, this shard has none of its partitions, or the settings are refused.
    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer>>;

    /// Returns a consumer of the assigned partitions, which must all be on this shard.
    ///
    /// # Errors
    /// A partition is unknown or on another shard, or the settings are refused.
    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer>>;

    /// Waits until `until`. The shard works in the meantime.
    fn sleep_until(&self, until: Instant) -> LocalBoxFuture<'static, ()>;

    /// Waits until the shard has done its next turn.
    fn yield_now(&self) -> LocalBoxFuture<'static, ()>;
}

/// Work for a shard's own thread.
pub type LocalWork = Box<dyn FnOnce(Rc<dyn LocalSystem>) -> LocalBoxFuture<'static, ()> + Send>;

/// Waits until the work on a shard's thread has ended. Returns an error if that work was stopped before its end.
pub type Joined = Box<dyn FnOnce() -> anyhow::Result<()>>;

/// Identity and configuration of a system, for the result's provenance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Kind of system: `engine`, `kafka`…
    pub kind: &'static str,
    /// The system's own version.
    pub version: String,
    /// Facts that are needed to understand a figure, as (name, value): io_uring features in use, a broker's
    /// configuration.
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

/// Settings of a producer: its topic, when it closes a batch, and how many bytes it may have unacked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerSpec {
    /// The topic that the producer sends to.
    pub topic: String,
    /// Encoded size in bytes at which a batch closes.
    pub batch_bytes_max: u64,
    /// Number of records at which a batch closes.
    pub batch_records_max: u32,
    /// Encoded bytes that may be accepted and not yet acked. Beyond that, [`SystemProducer::try_send`] returns
    /// [`SendError::Full`].
    pub in_flight_bytes_max: u64,
}

/// Settings of a consumer: the partitions that it reads, and the size of its fetches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Id of the consumer's group. A system without a coordinator, where partitions are assigned by number, ignores it.
    pub group: String,
    /// Topic and partition of each log to read, each from its first offset. [`FetchedInfo::assignment`] is an index
    /// into this list.
    pub assignment: Vec<(String, u32)>,
    /// Largest number of bytes that one fetch returns.
    pub fetch_bytes_max: u64,
}

/// A record passed to [`SystemProducer::try_send`]. The system copies the bytes that it keeps.
#[derive(Debug, Clone, Copy)]
pub struct OutRecord<'a> {
    /// The record's timestamp, in milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The key, if the record has one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// Name and value of each record header.
    pub headers: &'a [(&'a str, &'a [u8])],
}

/// A producer: sends records to one topic. Within a partition, acks arrive in the order of the offsets.
pub trait SystemProducer {
    /// Adds a record to the open batch of `partition`, without waiting. The batch is sent when it is full or flushed.
    ///
    /// # Errors
    /// [`SendError::Full`] is back-pressure: try again after the next ack. [`SendError::Refused`] concerns this record alone.
    /// [`SendError::Failed`] ends the run.
    fn try_send(&mut self, partition: u32, record: &OutRecord<'_>) -> Result<(), SendError>;

    /// Closes the open batches and sends them.
    fn flush(&mut self);

    /// Returns the next ack. If there is none yet, keeps the waker and returns `Pending`. The acks have no end: a
    /// producer with nothing in flight stays pending.
    fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack>;
}

/// The reason why a record was not accepted.
#[derive(Debug)]
pub enum SendError {
    /// Too many bytes are in flight.
    Full,
    /// The record can never be accepted. Other records may be.
    Refused(RecordError),
    /// The system failed, and this producer can send nothing more.
    Failed(anyhow::Error),
}

/// The outcome of one batch.
#[derive(Debug)]
pub struct Ack {
    /// The partition that the batch was sent to.
    pub partition: u32,
    /// Offset of the batch's first record. It has no meaning if `result` is an error.
    pub base_offset: u64,
    /// Number of records in the batch.
    pub count: u32,
    /// Encoded size of the batch in bytes; 0 if the system does not report it.
    pub encoded_bytes: u64,
    /// The time at which the system had the outcome, if the system stamps it ([`Capabilities::stamps_completion`]).
    pub completed_at: Option<Instant>,
    /// `Ok` if the records have reached the topic's durability level; otherwise the reason why the batch failed.
    pub result: Result<(), RecordError>,
}

/// A consumer: reads its assigned partitions, each in offset order.
pub trait SystemConsumer {
    /// Passes the next fetched records of one partition to `sink`. Calls [`FetchSink::begin`] once, then
    /// [`FetchSink::record`] for every record in offset order. If nothing has been fetched yet, keeps the waker and
    /// returns `Pending` without a call of the sink.
    fn poll_fetch(&mut self, context: &mut Context<'_>, sink: &mut dyn FetchSink)
    -> Poll<anyhow::Result<()>>;
}

/// Receiver of fetched records. The records are borrowed from the system's own memory.
pub trait FetchSink {
    /// Called once for each fetch, before its records are read, so that the clock is read once for all of them.
    fn begin(&mut self, info: &FetchedInfo);
    /// Called for each record of the fetch.
    fn record(&mut self, record: &InRecord<'_>);
}

/// Description of a fetch, passed to the sink before its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchedInfo {
    /// Index into [`ConsumerSpec::assignment`].
    pub assignment: usize,
    /// Encoded size of the fetched records in bytes; 0 if the system does not report it.
    pub bytes: u64,
    /// The partition's high watermark at the time of the fetch; 0 if the system does not report it.
    pub high_watermark: u64,
    /// Number of records between the previous fetch and this one that retention deleted before they were read.
    pub skipped: u64,
}

/// A record that a consumer has fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InRecord<'a> {
    /// The record's offset.
    pub offset: u64,
    /// The key, if the record has one.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: &'a [u8],
    /// The value of the header that carries the stamp, if the record has one.
    pub stamp_header: Option<&'a [u8]>,
}

/// Name of the record header that carries the stamp if the values are real data.
pub const STAMP_HEADER: &str = "vnotch";
