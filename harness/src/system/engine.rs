//! The embedded engine as a system: it runs in this process, without a protocol. Records are copied once, into a batch.

mod member;

use super::Inside;
use super::{
    Ack, ConsumerSpec, Description, FetchSink, FetchedInfo, InRecord, Joined, LocalSystem, LocalWork,
    MemberSpec, OutRecord, ProducerSpec, RecordError, STAMP_HEADER, SendError, System, SystemConsumer,
    SystemMember, SystemProducer,
};
use crate::measure::events::SystemEvent;
use crate::measure::events::SystemEventKind;
use crate::measure::shards::ShardStats;
use crate::num;
use crate::result::ErrorKind;
use crate::result::provenance::CoresUsed;
use crate::workload::{self, Workload};
use anyhow::Context as _;
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use member::EngineMember;
use std::path::Path;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use vnotch_engine::client::{
    Consumer, ConsumerConfig, CrcCheck, Fetched, LocalShard, OffsetReset, Partitioner, Port, Producer,
    ProducerConfig, TrySendError,
};
use vnotch_engine::config::{EngineConfig, GroupsConfig, TopicConfig};
use vnotch_engine::engine::Engine;
use vnotch_engine::error::AppendError;
use vnotch_engine::events::EventKind;
use vnotch_engine::record::{HeaderRef, Record, RecordRef};
use vnotch_engine::types::{Durability, IoMode, PollMode, Preallocate};

/// Longest time that a shard keeps a fetch that finds no records. It answers as soon as a record arrives.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// Time that the first rebalance of a group waits for more members, ms. All members join at the same time.
const INITIAL_REBALANCE_DELAY_MS: u64 = 200;

/// Kind of this system in results.
pub(super) const KIND: &str = "engine";

/// An open engine, and the settings of the topics that it creates.
pub struct EngineSystem {
    engine: Engine,
    topic: TopicConfig,
    io: workload::Io,
}

impl EngineSystem {
    /// Opens an engine in `data_dir` with the workload's settings.
    ///
    /// # Errors
    /// The settings are invalid, the machine does not support them, or the directory cannot be used.
    pub fn open(workload: &Workload, cores: &CoresUsed, data_dir: &Path) -> anyhow::Result<Self> {
        let (engine, topic) = configuration(workload, cores, data_dir)?;
        Ok(Self { engine: Engine::open(engine)?, topic, io: workload.engine.io })
    }
}

/// Returns the configuration that a workload asks for: of the engine, and of each topic.
///
/// # Errors
/// A size is larger than this machine can address.
pub(crate) fn configuration(
    workload: &Workload,
    cores: &CoresUsed,
    data_dir: &Path,
) -> anyhow::Result<(EngineConfig, TopicConfig)> {
    Ok((engine_config(workload, cores, data_dir)?, topic_config(workload)?))
}

/// Scans the data directory of a closed engine. Returns each defect in a sentence.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn scan(data_dir: &Path) -> anyhow::Result<Vec<String>> {
    let report = vnotch_engine::verify::verify(data_dir, &mut |_| {})?;
    let defect = |it: &vnotch_engine::verify::Defect| {
        format!("{} at byte {}: {}", it.path.display(), it.position, it.message)
    };
    Ok(report.defects.iter().map(defect).collect())
}

fn engine_config(workload: &Workload, cores: &CoresUsed, data_dir: &Path) -> anyhow::Result<EngineConfig> {
    let settings = &workload.engine;
    Ok(EngineConfig {
        shards: settings.shards,
        cores: cores.shards.iter().copied().map(num::index).collect(),
        io: match settings.io {
            workload::Io::Direct => IoMode::Direct,
            workload::Io::Buffered => IoMode::Buffered,
        },
        poll: match settings.poll {
            workload::Poll::Adaptive => PollMode::Adaptive,
            workload::Poll::Busy => PollMode::Busy,
            workload::Poll::Park => PollMode::Park,
        },
        arena_bytes: length(settings.arena_bytes)?,
        write_bytes_max: length(settings.write_bytes_max)?,
        write_depth: num::index(settings.write_depth),
        fetch_pinned_bytes: length(settings.fetch_pinned_bytes)?,
        groups: GroupsConfig {
            group_initial_rebalance_delay_ms: INITIAL_REBALANCE_DELAY_MS,
            ..GroupsConfig::default()
        },
        ..EngineConfig::new(data_dir)
    })
}

fn topic_config(workload: &Workload) -> anyhow::Result<TopicConfig> {
    let log = &workload.log;
    Ok(TopicConfig {
        durability: match workload.durability {
            workload::Durability::Appended => Durability::Appended,
            workload::Durability::Written => Durability::Written,
            workload::Durability::Synced => Durability::Synced,
        },
        segment_bytes: log.segment_bytes.0,
        segment_ms: log.segment_ms.0.map(ms),
        retention_bytes: log.retention_bytes.0.map(|bytes| bytes.0),
        retention_ms: log.retention_ms.0.map(ms),
        preallocate: match log.preallocate {
            workload::Preallocate::Auto => Preallocate::Auto,
            workload::Preallocate::None => Preallocate::None,
            workload::Preallocate::Fallocate => Preallocate::Fallocate,
            workload::Preallocate::Recycle => Preallocate::Recycle,
        },
        index_interval_bytes: u32::try_from(log.index_interval_bytes.0).context("index_interval_bytes")?,
        max_message_bytes: length(log.max_message_bytes)?,
        message_timestamp_after_max_ms: log.message_timestamp_after_max_ms.0.map(ms),
    })
}

/// The meaning of an ack.
const fn ack_in_words(durability: Durability, io: workload::Io) -> &'static str {
    match (durability, io) {
        (Durability::Appended, _) => "the record is in the memory of the process; nothing is written yet",
        (Durability::Written, workload::Io::Direct) => {
            "the device has the bytes (O_DIRECT); its cache is not flushed"
        }
        (Durability::Written, workload::Io::Buffered) => "in the page cache; nothing is flushed",
        (Durability::Synced, _) => "a completed sync covers the record, which may serve several appends",
    }
}

fn ms(span: workload::TimeSpan) -> u64 {
    u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX)
}

fn length(bytes: workload::Bytes) -> anyhow::Result<usize> {
    Ok(usize::try_from(bytes.0)?)
}

/// The capabilities of the embedded engine.
pub(super) const CAPABILITIES: workload::Capabilities = workload::Capabilities {
    system: workload::Target::ENGINE,
    missing: None,
    settings: Some("engine"),
    durabilities: &[
        workload::Durability::Appended,
        workload::Durability::Written,
        workload::Durability::Synced,
    ],
    runs_colocated_load: true,
    can_be_stalled: true,
    drops_caches: true,
    reports_retention: true,
    has_groups: true,
    stamps_completion: true,
};

impl System for EngineSystem {
    fn describe(&self) -> Description {
        let config = self.engine.config();
        let is_registered = self.engine.stats().iter().all(|shard| shard.is_arena_registered);
        let fact = |name: &str, value: String| (name.to_owned(), value);
        Description {
            kind: KIND,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            facts: vec![
                fact("ack", ack_in_words(self.topic.durability, self.io).to_owned()),
                fact("network", "none: it runs in the process of the load".to_owned()),
                fact("arena_registered", is_registered.to_string()),
                fact("mailbox_bytes", config.mailbox_bytes.to_string()),
                fact("stuck_after_s", config.stuck_after.as_secs_f64().to_string()),
            ],
        }
    }

    fn create_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()> {
        Ok(self.engine.create_topic(name, partitions, self.topic.clone())?)
    }

    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer + Send>> {
        Ok(Box::new(EngineProducer(self.engine.producer(&spec.topic, producer_config(spec)?)?)))
    }

    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer + Send>> {
        Ok(Box::new(EngineConsumer(self.engine.consumer(assignment(spec), consumer_config(spec)?)?)))
    }

    fn member(&self, spec: &MemberSpec) -> anyhow::Result<Box<dyn SystemMember + Send>> {
        Ok(Box::new(EngineMember::new(self.engine.group_clients()?, spec)?))
    }

    fn inside(&self) -> Option<&dyn Inside> {
        Some(self)
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        Ok(self.engine.close()?)
    }
}

impl Inside for EngineSystem {
    fn shards_of(&self, topic: &str) -> anyhow::Result<Vec<u32>> {
        Ok(self.engine.describe_topic(topic)?.partitions.iter().map(|partition| partition.shard).collect())
    }

    fn colocate(&self, shard: u32, work: LocalWork) -> anyhow::Result<Joined> {
        let running = self.engine.run_on(shard, |local| work(Rc::new(EngineShard(local))))?;
        Ok(Box::new(move || Ok(running.wait()?)))
    }

    fn shard_stats(&self) -> Vec<ShardStats> {
        self.engine.stats().into_iter().map(shard_stats).collect()
    }

    fn drain_events(&self) -> Vec<SystemEvent> {
        let event_of = |event: vnotch_engine::shard::ShardEvent| SystemEvent {
            at: event.event.at,
            kind: kind_of(event.event.kind),
            shard: event.shard,
            partition: Some((event.partition.topic.to_string(), event.partition.partition)),
        };
        self.engine.take_events().into_iter().map(event_of).collect()
    }

    fn stall(&self, shard: u32, length: Duration) -> anyhow::Result<()> {
        Ok(self.engine.stall_shard(shard, length)?)
    }

    fn drop_caches(&self) -> anyhow::Result<()> {
        Ok(self.engine.drop_caches()?)
    }
}

fn kind_of(kind: EventKind) -> SystemEventKind {
    match kind {
        EventKind::Roll => SystemEventKind::Roll,
        EventKind::Seal => SystemEventKind::Seal,
        EventKind::Retention => SystemEventKind::Retention,
        EventKind::Sync => SystemEventKind::Sync,
        EventKind::NoSpare => SystemEventKind::NoSpare,
        EventKind::Recovery => SystemEventKind::Recovery,
    }
}

fn shard_stats(shard: vnotch_engine::shard::ShardStats) -> ShardStats {
    let sizes = shard.writes.sizes.iter().map(|(bytes, count)| (num::count(*bytes), *count));
    ShardStats {
        shard: shard.shard,
        work_ns: shard.work_ns,
        colocated_ns: shard.colocated_ns,
        poll_ns: shard.poll_ns,
        parked_ns: shard.parked_ns,
        write_bytes: shard.writes.bytes,
        writes: shard.writes.count,
        write_sizes: sizes.collect(),
        write_busy_ns: shard.writes.busy_ns,
        write_depth_ns: shard.writes.depth_ns,
        syncs: shard.writes.syncs,
        overwrites: shard.writes.overwrites,
        shared: shard.writes.shared,
        shared_flushes: shard.writes.shared_flushes,
        read_bytes: shard.reads.bytes,
        reads: shard.reads.count,
        read_busy_ns: shard.reads.busy_ns,
        read_depth_ns: shard.reads.depth_ns,
    }
}

fn producer_config(spec: &ProducerSpec) -> anyhow::Result<ProducerConfig> {
    Ok(ProducerConfig {
        batch_size: usize::try_from(spec.batch_bytes_max)?,
        batch_records_max: spec.batch_records_max,
        // The load closes batches itself when their linger time is over.
        linger: None,
        in_flight_bytes_max: usize::try_from(spec.in_flight_bytes_max)?,
        partitioner: Partitioner::RoundRobin,
        durability: None,
    })
}

fn consumer_config(spec: &ConsumerSpec) -> anyhow::Result<ConsumerConfig> {
    fetch_config(spec.fetch_bytes_max)
}

fn fetch_config(fetch_bytes_max: u64) -> anyhow::Result<ConsumerConfig> {
    Ok(ConsumerConfig {
        fetch_bytes_max: usize::try_from(fetch_bytes_max)?,
        max_wait: FETCH_WAIT,
        crc: CrcCheck::Verify,
        offset_reset: OffsetReset::Earliest,
    })
}

fn assignment(spec: &ConsumerSpec) -> impl Iterator<Item = (&str, u32, i64)> {
    spec.assignment.iter().map(|(topic, partition)| (topic.as_str(), *partition, 0))
}

/// A shard's own thread, seen as a [`LocalSystem`].
struct EngineShard(LocalShard);

impl LocalSystem for EngineShard {
    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer>> {
        Ok(Box::new(EngineProducer(self.0.producer(&spec.topic, producer_config(spec)?)?)))
    }

    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer>> {
        Ok(Box::new(EngineConsumer(self.0.consumer(assignment(spec), consumer_config(spec)?)?)))
    }

    fn sleep_until(&self, until: Instant) -> LocalBoxFuture<'static, ()> {
        self.0.sleep_until(until).boxed_local()
    }

    fn yield_now(&self) -> LocalBoxFuture<'static, ()> {
        self.0.yield_now().boxed_local()
    }
}

struct EngineProducer<P: Port>(Producer<P>);

impl<P: Port> SystemProducer for EngineProducer<P> {
    fn try_send(&mut self, partition: u32, record: &OutRecord<'_>) -> Result<(), SendError> {
        // The empty list of a record without headers allocates nothing.
        let headers: Vec<HeaderRef<'_>> =
            record.headers.iter().map(|(key, value)| HeaderRef { key, value: Some(value) }).collect();
        let record = RecordRef {
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            value: Some(record.value),
            headers: &headers,
        };
        match self.0.try_send(Some(partition), &record) {
            Ok(_) => Ok(()),
            Err(TrySendError::Full) => Err(SendError::Full),
            Err(error) => {
                let kind = match &error {
                    TrySendError::TooLarge(_) => ErrorKind::TooLarge,
                    TrySendError::UnknownPartition { .. } => ErrorKind::UnknownPartition,
                    TrySendError::NotOwner { .. } | TrySendError::Full => ErrorKind::Other,
                };
                Err(SendError::Refused(RecordError::new(kind, error.to_string())))
            }
        }
    }

    fn flush(&mut self) {
        self.0.flush();
    }

    fn poll_ack(&mut self, context: &mut Context<'_>) -> Poll<Ack> {
        self.0.poll_ack(context).map(|ack| Ack {
            partition: ack.partition,
            base_offset: ack.result.as_ref().map_or(0, |offset| offset.unsigned_abs()),
            count: ack.count,
            encoded_bytes: num::count(ack.bytes),
            completed_at: Some(ack.at),
            result: ack.result.map(|_| ()).map_err(|error| record_error(&error)),
        })
    }
}

fn record_error(error: &AppendError) -> RecordError {
    let kind = match error {
        AppendError::TooLarge { .. } => ErrorKind::TooLarge,
        AppendError::Invalid(_) | AppendError::InvalidTimestamp { .. } => ErrorKind::Invalid,
        AppendError::NoSpace(_) => ErrorKind::NoSpace,
        AppendError::StorageFailed(_) | AppendError::Corrupt(_) => ErrorKind::Storage,
        AppendError::UnknownPartition => ErrorKind::UnknownPartition,
        AppendError::ShardStuck { .. } => ErrorKind::Stuck,
        AppendError::TooManyOpenFiles(_) | AppendError::Closed => ErrorKind::Other,
    };
    RecordError::new(kind, error.to_string())
}

struct EngineConsumer<P: Port>(Consumer<P>);

impl<P: Port> SystemConsumer for EngineConsumer<P> {
    fn poll_fetch(
        &mut self,
        context: &mut Context<'_>,
        sink: &mut dyn FetchSink,
    ) -> Poll<anyhow::Result<()>> {
        self.0.poll_fetch(context).map(|fetched| {
            let fetched = fetched?;
            show(fetched.assignment, &fetched, sink)
        })
    }
}

fn show(assignment: usize, fetched: &Fetched, sink: &mut dyn FetchSink) -> anyhow::Result<()> {
    sink.begin(&FetchedInfo {
        assignment,
        bytes: num::count(fetched.bytes),
        high_watermark: fetched.high_watermark.unsigned_abs(),
        skipped: fetched.skipped,
    });
    for record in fetched.records() {
        let record = record?;
        sink.record(&InRecord {
            offset: record.offset.unsigned_abs(),
            key: record.key,
            value: record.value.unwrap_or_default(),
            stamp_header: stamp_header(&record)?,
        });
    }
    Ok(())
}

fn stamp_header<'a>(record: &Record<'a>) -> anyhow::Result<Option<&'a [u8]>> {
    if record.headers.count_left() == 0 {
        return Ok(None);
    }
    for header in record.headers.clone() {
        let header = header?;
        if header.key == STAMP_HEADER {
            return Ok(header.value);
        }
    }
    Ok(None)
}
