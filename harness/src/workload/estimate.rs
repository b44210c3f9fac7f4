//! Estimates of what a workload will cost: time, disk and memory. They follow from the file alone, and each field says
//! what it assumes.

mod time;

use super::limits::{self, POOL_BYTES_MAX, POOL_ENTRIES_MIN, STAMP_BYTES};
use super::{
    Backlog, Bytes, Ceiling, Durability, Host, KeyDistribution, LoadMode, PayloadSource, Preallocate,
    Profile, Rate, Study, Workload,
};
use crate::num::{count, f64_of, u64_of};
use std::collections::BTreeSet;
use std::time::Duration;
use time::Case;

/// The estimated cost of a run.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Number of points in the result: one per pass of every combination.
    pub points: u64,
    /// Number of trials of each point.
    pub trials: u32,
    /// Expected length of the whole run, in seconds, on two virtual cores with a disk that takes 600 MiB/s. It assumes that
    /// `phases.drain` ends at once and that the device is idle between trials. Under an open load one trial in five is assumed to
    /// be measured again, because its generator was late.
    pub seconds: f64,
    /// The longest that the run can take, in seconds.
    pub seconds_max: f64,
    /// The most disk space that is taken at any time, in bytes: one trial's log, its preallocated segments, and the
    /// files of the ceiling.
    pub disk_peak_bytes: u64,
    /// The most segments that one trial's log has at any time. Each is a file that may be open.
    pub segments: u64,
    /// Memory of the whole process, in bytes.
    pub memory_bytes: u64,
    /// Encoded bytes per second with which `disk_peak_bytes` is computed.
    pub bytes_per_s: u64,
    /// The reason for `bytes_per_s`, in one sentence.
    pub bytes_per_s_because: String,
}

/// The most bytes that encoding adds to a record's value: lengths, deltas, attributes, header count, and a key of 8 B.
const RECORD_OVERHEAD_BYTES_MAX: u64 = 36;

/// Bytes that encoding usually adds to a record's value.
const RECORD_OVERHEAD_BYTES: f64 = 12.0;

/// The most bytes of the header that carries the stamp of a record of real data.
const STAMP_HEADER_BYTES_MAX: u64 = 34;

/// Bytes of memory for each line of a payload file, in addition to the line itself.
const PAYLOAD_LINE_BYTES: u64 = 24;

/// Bytes of the header of a RecordBatch v2.
const BATCH_HEADER_BYTES: u64 = 61;

/// Highest write rate that is assumed of a disk. Fast disks reach less when they write into fallocated space.
const DISK_BYTES_PER_S: f64 = 2.0 * 1024.0 * 1024.0 * 1024.0;

/// Disk space of the committed offsets of all groups: the engine keeps them below four segments of 16 MiB.
const OFFSETS_BYTES: u64 = 64 << 20;

/// Partitions of the topic of committed offsets.
const OFFSETS_PARTITIONS: u64 = 16;

/// Bytes of the indexes for each `index_interval_bytes` of log: an entry of the offset index (8 B) and of the time
/// index (12 B).
const INDEX_ENTRY_BYTES: f64 = 20.0;

/// Memory of the binary, stacks, histograms and queues, in bytes.
const PROCESS_BYTES: u64 = 96 << 20;

/// Bytes that one side keeps for each producer and partition: sequence numbers, and what is missing.
const TRACK_BYTES: u64 = 256;

/// Unit in which memory is used, in bytes.
const PAGE_BYTES: u64 = 4096;

/// Time by which retention may delete a segment late.
const RETENTION_LATE: Duration = Duration::from_secs(1);

impl Workload {
    /// Estimates the cost of running this workload without its sweep.
    pub fn estimate(&self) -> Estimate {
        let (bytes_per_s, bytes_per_s_because) = self.highest_rate();
        let once = self.once().saturating_add(self.start());
        let [seconds, seconds_max] = [Case::Expected, Case::Longest]
            .map(|case| once.saturating_add(self.points_time(case)).as_secs_f64());
        Estimate {
            points: self.passes().len() as u64,
            trials: self.trials,
            seconds,
            seconds_max,
            disk_peak_bytes: self.disk_peak_bytes(bytes_per_s),
            segments: self.segments(bytes_per_s),
            memory_bytes: self.memory_bytes(),
            bytes_per_s: u64_of(bytes_per_s),
            bytes_per_s_because,
        }
    }

    /// Returns the mean encoded bytes of a record, including its share of the batch header.
    pub fn encoded_record_bytes(&self) -> f64 {
        let record = self.mean_record_bytes();
        record + f64_of(BATCH_HEADER_BYTES) / self.records_per_batch(record)
    }

    /// Returns the largest encoded size of a batch that holds one record.
    pub(super) fn largest_batch_of_one(&self) -> Bytes {
        let overhead = BATCH_HEADER_BYTES + RECORD_OVERHEAD_BYTES_MAX;
        let largest = match &self.payload.source {
            PayloadSource::Random { .. } => self.message_size.largest().0 + self.stamp_header_bytes(),
            PayloadSource::File(file) => {
                file.sizes().map_or(0, |sizes| sizes.largest_bytes) + self.stamp_header_bytes()
            }
        };
        Bytes(largest.saturating_add(overhead))
    }

    /// Returns the mean size of a record's value, in bytes.
    pub(super) fn mean_value_bytes(&self) -> f64 {
        match &self.payload.source {
            PayloadSource::Random { .. } => self.message_size.mean_bytes(),
            PayloadSource::File(file) => {
                file.sizes().map_or(0.0, |sizes| f64_of(sizes.bytes) / f64_of(sizes.records.max(1)))
            }
        }
    }

    /// Returns the mean encoded bytes of a record, without the batch header.
    fn mean_record_bytes(&self) -> f64 {
        self.mean_value_bytes() + f64_of(self.stamp_header_bytes()) + RECORD_OVERHEAD_BYTES
    }

    /// Whether a record's stamp is in a header: real data stays unchanged, and a small random value has no room for it.
    pub fn has_stamp_header(&self) -> bool {
        match &self.payload.source {
            PayloadSource::Random { .. } => self.message_size.smallest().0 < count(STAMP_BYTES),
            PayloadSource::File(_) => true,
        }
    }

    fn stamp_header_bytes(&self) -> u64 {
        if self.has_stamp_header() { STAMP_HEADER_BYTES_MAX } else { 0 }
    }

    /// Returns the number of different random values: what the workload asks for, or what fits the pool's memory.
    pub fn pool_entries(&self, wanted: u32) -> u64 {
        let affordable = POOL_BYTES_MAX / self.message_size.largest().0.max(1);
        u64::from(wanted).min(affordable.max(POOL_ENTRIES_MIN)).max(1)
    }

    /// Returns the number of records that fill a batch.
    fn records_per_batch(&self, record_bytes: f64) -> f64 {
        let room = f64_of(self.batch.max_bytes.0) - f64_of(BATCH_HEADER_BYTES);
        (room / record_bytes).floor().clamp(1.0, f64::from(self.batch.max_records.max(1)))
    }

    /// Returns the bytes that producers add while a backlog is consumed.
    fn produced_while_catching_up(&self, backlog: Backlog) -> f64 {
        let Rate::Absolute(rate) = backlog.drain_producer_rate else { return 0.0 };
        rate.records_per_s() * self.encoded_record_bytes() * self.phases.measure.0.as_secs_f64()
    }

    /// Returns the longest time that the warm-up can last.
    fn warmup_max(&self) -> Duration {
        let warmup = self.phases.warmup.0;
        if self.require.is_empty() { warmup } else { limits::requirement_wait(warmup) }
    }

    /// Returns the highest possible rate of encoded bytes per second, and the reason for it.
    fn highest_rate(&self) -> (f64, String) {
        let disk = (DISK_BYTES_PER_S, "the disk is assumed to take at most 2 GiB/s".to_owned());
        let trip = self.shortest_round_trip();
        let in_flight = self.in_flight_bytes();
        let acks = (
            self.acked_bytes_per_s(),
            format!(
                "{} in flight, and an ack takes at least {} µs",
                Bytes(u64_of(in_flight)),
                trip.as_micros()
            ),
        );
        let offered = match self.load.mode {
            LoadMode::Open { rate: rate @ Rate::Absolute(records), profile, .. } => {
                // The mean over warm-up and window, so that bytes per second times both gives the bytes produced.
                let [warmup_s, window_s] =
                    [self.phases.warmup, self.phases.measure].map(|span| span.0.as_secs_f64());
                let offered = profile.first() * warmup_s + profile.integral(window_s, window_s);
                let mean = offered / (warmup_s + window_s).max(f64::MIN_POSITIVE);
                let shape = match profile {
                    Profile::Constant => String::new(),
                    _ => format!(", {mean:.2} times that on average over its {}", profile.name()),
                };
                (
                    records.records_per_s() * mean * self.encoded_record_bytes(),
                    format!("the load is {rate}{shape}"),
                )
            }
            _ => (f64::INFINITY, String::new()),
        };
        [disk, acks, offered].into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
    }

    /// Returns the highest rate of encoded bytes per second that acks allow with so many bytes in flight.
    fn acked_bytes_per_s(&self) -> f64 {
        self.in_flight_bytes() / self.shortest_round_trip().as_secs_f64()
    }

    /// Returns the shortest time between handing over a batch and its ack, for the devices that are common today.
    const fn shortest_round_trip(&self) -> Duration {
        match self.durability {
            Durability::Appended => Duration::from_micros(5),
            Durability::Written => Duration::from_micros(20),
            Durability::Synced => Duration::from_micros(100),
        }
    }

    /// Returns the most bytes that are unacked at any time.
    fn in_flight_bytes(&self) -> f64 {
        let bound = f64_of(self.load.in_flight_bytes.0);
        match self.load.mode {
            LoadMode::Closed { in_flight } => {
                let record = self.mean_record_bytes();
                let batch = self.records_per_batch(record) * record + f64_of(BATCH_HEADER_BYTES);
                bound.min(f64::from(in_flight) * f64_of(self.producers()) * batch)
            }
            LoadMode::Max | LoadMode::Open { .. } => bound,
        }
    }

    fn disk_peak_bytes(&self, bytes_per_s: f64) -> u64 {
        if !self.deployment().is_on_this_machine() {
            return 0;
        }
        let ceiling = match self.ceiling {
            Ceiling::Auto => limits::CEILING_BYTES_MAX,
            Ceiling::Off => 0,
        };
        let offsets = if self.consume.has_members() { OFFSETS_BYTES } else { 0 };
        self.log_peak_bytes(bytes_per_s).saturating_add(ceiling).saturating_add(offsets)
    }

    /// Returns the most segments at any time: the full ones, and one per partition that is not full.
    fn segments(&self, bytes_per_s: f64) -> u64 {
        let full = self.log_peak_bytes(bytes_per_s).div_ceil(self.log.segment_bytes.0.max(1));
        let of_offsets = if self.consume.has_members() { OFFSETS_PARTITIONS } else { 0 };
        full.saturating_add(self.partitions()).saturating_add(of_offsets)
    }

    /// Returns the most disk space that a trial's log takes at any time, in bytes.
    fn log_peak_bytes(&self, bytes_per_s: f64) -> u64 {
        let index_share = INDEX_ENTRY_BYTES / f64_of(self.log.index_interval_bytes.0.max(1));
        let produced = self.backlog.map_or_else(
            || bytes_per_s * (self.warmup_max() + self.phases.measure.0).as_secs_f64(),
            |backlog| f64_of(backlog.build.0) + self.produced_while_catching_up(backlog),
        );
        let produced = u64_of(produced * (1.0 + index_share));
        // Retention deletes whole segments, and only sealed ones. If deleting takes long, appends wait.
        let kept = self.log.retention_bytes.0.map(|retention| {
            let partition = retention.0.saturating_add(2 * self.log.segment_bytes.0);
            u64_of(f64_of(self.partitions().saturating_mul(partition)) * (1.0 + index_share))
        });
        let kept = kept.into_iter().chain(self.kept_by_age(bytes_per_s * (1.0 + index_share))).min();
        // Space in addition to the produced bytes: the rest of the active segment, and a file that is held ready.
        // `kept` includes both.
        let ahead = match self.log.preallocate {
            Preallocate::None => 0,
            Preallocate::Auto | Preallocate::Fallocate => 1,
            Preallocate::Recycle => 2,
        };
        let beside = self.partitions().saturating_mul(self.log.segment_bytes.0).saturating_mul(ahead);
        kept.unwrap_or(u64::MAX).min(produced.saturating_add(beside))
    }

    /// Returns the bytes that retention by age keeps, at most. `None` without it. A segment goes when its newest record is old
    /// enough, so each partition keeps up to two segments beside.
    fn kept_by_age(&self, bytes_per_s: f64) -> Option<u64> {
        let age = self.log.retention_ms.0?.0 + RETENTION_LATE;
        let at_peak = bytes_per_s * self.load.mode.peak().max(1.0);
        let beside = self.partitions().saturating_mul(self.log.segment_bytes.0.saturating_mul(2));
        Some(u64_of(at_peak * age.as_secs_f64()).saturating_add(beside))
    }

    fn memory_bytes(&self) -> u64 {
        let deployment = self.deployment();
        let system = match deployment.host {
            Host::Process => u64::from(deployment.shards).saturating_mul(self.engine.arena_bytes.0),
            Host::Started => u64::from(self.kafka.brokers).saturating_mul(self.kafka.heap.0),
            Host::Elsewhere => 0,
        };
        let pool = match &self.payload.source {
            PayloadSource::Random { pool, .. } => {
                u64_of(f64_of(self.pool_entries(*pool)) * self.message_size.mean_bytes())
            }
            PayloadSource::File(file) => {
                file.sizes().map_or(0, |sizes| sizes.bytes + sizes.records * PAYLOAD_LINE_BYTES)
            }
        };
        [system, self.load.in_flight_bytes.0, pool, self.open_batches_bytes()]
            .into_iter()
            .fold(PROCESS_BYTES, u64::saturating_add)
    }

    /// Returns the memory for producers × partitions: a batch that fills up for each partition that a producer sends to, and what
    /// both sides keep to check that nothing is lost.
    fn open_batches_bytes(&self) -> u64 {
        let pairs = self.producers().saturating_mul(u64::from(self.partitions_per_topic));
        let open = match self.key_distribution {
            KeyDistribution::None => self.producers(),
            _ => pairs,
        };
        // A buffer takes whole pages, and its edges lie within pages.
        let batch = self
            .batch_bytes_reached()
            .div_ceil(PAGE_BYTES)
            .saturating_mul(PAGE_BYTES)
            .saturating_add(PAGE_BYTES / 2);
        let groups = u64::from(self.subscriptions_per_topic).saturating_add(1);
        let tracked = pairs.saturating_mul(groups).saturating_mul(TRACK_BYTES);
        open.saturating_mul(batch).saturating_add(tracked)
    }

    /// Returns the most bytes that a batch reaches: `batch.max_bytes`, or less if a producer's share of
    /// `load.in_flight_bytes` is less. A producer that spreads its records has a batch for each partition.
    pub(super) fn batch_bytes_reached(&self) -> u64 {
        let share = self.load.in_flight_bytes.0 / self.producers().max(1);
        let batches = match self.key_distribution {
            KeyDistribution::None => 1,
            _ => u64::from(self.partitions_per_topic),
        };
        let reached = (share / batches).max(self.largest_batch_of_one().0);
        self.batch.max_bytes.0.min(reached)
    }
}

impl Study {
    /// Number of different Kafkas that are started.
    fn broker_setups(&self) -> usize {
        let started = self.combinations.iter().map(|combination| &combination.workload);
        let started = started.filter(|workload| workload.deployment().host == Host::Started);
        let setup = |workload: &Workload| {
            let kafka = &workload.kafka;
            (kafka.version.number(), kafka.brokers, kafka.heap)
        };
        started.map(setup).collect::<BTreeSet<_>>().len()
    }

    /// Estimates the cost of running all combinations. The disk is that of the combination that takes most.
    pub fn estimate(&self) -> Estimate {
        let has_setups = self.broker_setups() > 1;
        let each = self.combinations.iter().map(|combination| {
            let mut one = combination.workload.estimate();
            let own_once = combination.workload.once().as_secs_f64();
            (one.seconds, one.seconds_max) = (one.seconds - own_once, one.seconds_max - own_once);
            if has_setups {
                // Each trial has another setup than the one before, and one Kafka runs at a time.
                let starts = f64_of(one.points * u64::from(one.trials)) - 1.0;
                let again = starts * combination.workload.start().as_secs_f64();
                (one.seconds, one.seconds_max) = (one.seconds + again, one.seconds_max + again);
            }
            one
        });
        // Brokers are started and warmed for the first combination that has them.
        let mut starts = self.combinations.iter().map(|it| it.workload.start().as_secs_f64());
        let mut is_started = starts.next().is_some_and(|start| start > 0.0);
        let sum = each.reduce(|sum, one| {
            let start = starts.next().unwrap_or(0.0);
            let again = if is_started && !has_setups { start } else { 0.0 };
            is_started = is_started || start > 0.0;
            let (points, memory_bytes) = (sum.points + one.points, sum.memory_bytes.max(one.memory_bytes));
            let segments = sum.segments.max(one.segments);
            let seconds = sum.seconds + one.seconds - again;
            let seconds_max = sum.seconds_max + one.seconds_max - again;
            let largest = if one.disk_peak_bytes > sum.disk_peak_bytes { one } else { sum };
            Estimate { points, segments, memory_bytes, seconds, seconds_max, ..largest }
        });
        // The device's best is measured once, if any combination is compared with it.
        let once =
            self.combinations.iter().map(|it| it.workload.once()).max().unwrap_or_default().as_secs_f64();
        let sum = sum.map(|sum| Estimate {
            seconds: sum.seconds + once,
            seconds_max: sum.seconds_max + once,
            ..sum
        });
        sum.unwrap_or_else(|| self.workload.estimate())
    }
}
