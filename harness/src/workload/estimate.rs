//! What a workload will cost: time, disk and memory. Upper bounds from the file alone; each says what it assumes.

use super::limits::{self, WARMUP_TIMES_MAX};
use super::{
    Backlog, Bytes, Ceiling, Durability, LoadMode, PassKind, PayloadSource, Preallocate, Profile, Rate,
    Study, Workload,
};
use crate::num::{f64_of, u64_of};

use std::time::Duration;

/// What a run is expected to cost.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Estimate {
    /// Points in the result: one a pass, of every combination.
    pub points: u64,
    /// Trials of each point.
    pub trials: u32,
    /// Expected length of the whole run in seconds: drains that end at once, an idle device between trials.
    pub seconds: f64,
    /// The longest it can take, in seconds.
    pub seconds_max: f64,
    /// The most disk that is taken at any time, in bytes: one trial's log, its preallocated segments, and the files
    /// of the ceiling.
    pub disk_peak_bytes: u64,
    /// The most segments that one trial's log has at any time: each is a file that may be open.
    pub segments: u64,
    /// Memory of the whole process, in bytes.
    pub memory_bytes: u64,
    /// Encoded bytes per second that `disk_peak_bytes` counts with.
    pub bytes_per_s: u64,
    /// Why `bytes_per_s` is what it is, in one sentence.
    pub bytes_per_s_because: String,
}

/// Encoding a record takes at most this beside its value: lengths, deltas, attributes, header count, and a key of 8 B.
const RECORD_OVERHEAD_BYTES_MAX: u64 = 36;

/// Encoding a record takes about this beside its value.
const RECORD_OVERHEAD_BYTES: f64 = 12.0;

/// Beside real data a record carries its stamp in a header, which takes at most this.
const STAMP_HEADER_BYTES_MAX: u64 = 34;

/// What is kept of a line of a payload file in memory, beside the line.
const PAYLOAD_LINE_BYTES: u64 = 24;

/// Header of a RecordBatch v2.
const BATCH_HEADER_BYTES: u64 = 61;

/// What a disk is assumed to take: more than a fast one does into fallocated space.
const DISK_BYTES_PER_S: f64 = 2.0 * 1024.0 * 1024.0 * 1024.0;

/// How fast a backlog is assumed to be built, and how many times longer it may take.
const BUILD_BYTES_PER_S: f64 = 1024.0 * 1024.0 * 1024.0;
const BUILD_SLOWEST: u32 = 10;

/// Offset index (8 B an entry) and time index (12 B an entry), for each `index_interval_bytes`.
const INDEX_ENTRY_BYTES: f64 = 20.0;

/// Binary, stacks, histograms and queues.
const PROCESS_BYTES: u64 = 96 << 20;

/// The device's best before and after the whole run.
const CEILING_ONCE: Duration = Duration::from_secs(3);

/// The calibration of a point's first ceiling.
const CALIBRATION: Duration = Duration::from_secs(3);

/// Two slices bracket each trial.
const CEILING_PER_TRIAL: Duration = Duration::from_secs(1);

/// Deleting a trial's data and waiting for the device: as a rule, and at most.
const BETWEEN_TRIALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(10)];

impl Workload {
    /// What running this will cost, its sweep left out of account.
    pub fn estimate(&self) -> Estimate {
        let (bytes_per_s, bytes_per_s_because) = self.highest_rate();
        let once = self.once();
        let [seconds, seconds_max] =
            self.points_seconds().map(|points| once.saturating_add(points).as_secs_f64());
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

    /// Mean encoded bytes of a record, its share of the batch header included.
    pub fn encoded_record_bytes(&self) -> f64 {
        let record = self.mean_record_bytes();
        record + f64_of(BATCH_HEADER_BYTES) / self.records_per_batch(record)
    }

    /// The largest encoding of a batch that holds one record.
    pub(super) fn largest_batch_of_one(&self) -> Bytes {
        let overhead = BATCH_HEADER_BYTES + RECORD_OVERHEAD_BYTES_MAX;
        let largest = match &self.payload.source {
            PayloadSource::Random { .. } => self.message_size.largest().0,
            PayloadSource::File(file) => {
                file.sizes().map_or(0, |sizes| sizes.largest_bytes) + STAMP_HEADER_BYTES_MAX
            }
        };
        Bytes(largest.saturating_add(overhead))
    }

    /// Mean size of a record's value.
    pub(super) fn mean_value_bytes(&self) -> f64 {
        match &self.payload.source {
            PayloadSource::Random { .. } => self.message_size.mean_bytes(),
            PayloadSource::File(file) => {
                file.sizes().map_or(0.0, |sizes| f64_of(sizes.bytes) / f64_of(sizes.records.max(1)))
            }
        }
    }

    /// Mean encoded bytes of a record.
    fn mean_record_bytes(&self) -> f64 {
        let stamp_bytes = match &self.payload.source {
            PayloadSource::Random { .. } => 0,
            PayloadSource::File(_) => STAMP_HEADER_BYTES_MAX,
        };
        self.mean_value_bytes() + f64_of(stamp_bytes) + RECORD_OVERHEAD_BYTES
    }

    /// Records that fill a batch.
    fn records_per_batch(&self, record_bytes: f64) -> f64 {
        let room = f64_of(self.batch.max_bytes.0) - f64_of(BATCH_HEADER_BYTES);
        (room / record_bytes).floor().clamp(1.0, f64::from(self.batch.max_records.max(1)))
    }

    /// What is done once, however many points there are.
    fn once(&self) -> Duration {
        match self.ceiling {
            Ceiling::Auto => CEILING_ONCE,
            Ceiling::Off => Duration::ZERO,
        }
    }

    /// All trials of all passes: with drains that end at once, and at most.
    fn points_seconds(&self) -> [Duration; 2] {
        let (calibration, per_trial) = match self.ceiling {
            Ceiling::Auto => (CALIBRATION, CEILING_PER_TRIAL),
            Ceiling::Off => (Duration::ZERO, Duration::ZERO),
        };
        let before = self.backlog.map_or(self.phases.warmup.0, |backlog| {
            Duration::from_secs_f64(f64_of(backlog.build.0) / BUILD_BYTES_PER_S)
        });
        let longest = match self.backlog {
            Some(_) => before.saturating_mul(BUILD_SLOWEST),
            None => self.warmup_max(),
        };
        let trial = self.phases.measure.0.saturating_add(per_trial);
        let [befores, drains] = [[before, longest], [Duration::ZERO, self.phases.drain.0]];
        std::array::from_fn(|i| {
            let one =
                trial.saturating_add(befores[i]).saturating_add(drains[i]).saturating_add(BETWEEN_TRIALS[i]);
            let passes = self.passes().into_iter().map(|pass| {
                // At most each trial's generator is late as often as it may be.
                let may_be_late = pass.kind == PassKind::Open && self.backlog.is_none();
                let retries = if i == 1 && may_be_late { self.late_retries } else { 0 };
                let trials = self.trials.saturating_mul(retries.saturating_add(1));
                one.saturating_mul(trials).saturating_add(calibration)
            });
            passes.fold(Duration::ZERO, Duration::saturating_add)
        })
    }

    /// Bytes that producers add while a backlog is consumed.
    fn produced_while_draining(&self, backlog: Backlog) -> f64 {
        let Rate::Absolute(rate) = backlog.drain_producer_rate else { return 0.0 };
        f64_of(rate) * self.encoded_record_bytes() * self.phases.measure.0.as_secs_f64()
    }

    /// The longest that the warm-up can last.
    fn warmup_max(&self) -> Duration {
        let times = if self.require.is_empty() { 1 } else { WARMUP_TIMES_MAX };
        self.phases.warmup.0.saturating_mul(times)
    }

    /// The fastest that encoded bytes can be produced, and why.
    fn highest_rate(&self) -> (f64, String) {
        let disk = (DISK_BYTES_PER_S, "no disk is assumed to take more than 2 GiB/s".to_owned());
        let trip = self.shortest_round_trip();
        let in_flight = self.in_flight_bytes();
        let acks = (
            in_flight / trip.as_secs_f64(),
            format!(
                "{} in flight, and an ack takes at least {} µs",
                Bytes(u64_of(in_flight)),
                trip.as_micros()
            ),
        );
        let offered = match self.load.mode {
            LoadMode::Open { rate: rate @ Rate::Absolute(records), profile, .. } => {
                // Over warm-up and window, so that bytes a second × both is what is produced.
                let [warmup_s, window_s] =
                    [self.phases.warmup, self.phases.measure].map(|span| span.0.as_secs_f64());
                let offered = profile.first() * warmup_s + profile.integral(window_s, window_s);
                let mean = offered / (warmup_s + window_s).max(f64::MIN_POSITIVE);
                let shape = match profile {
                    Profile::Constant => String::new(),
                    _ => format!(", {mean:.2} times that in the mean of its {}", profile.name()),
                };
                (f64_of(records) * mean * self.encoded_record_bytes(), format!("the load is {rate}{shape}"))
            }
            _ => (f64::INFINITY, String::new()),
        };
        [disk, acks, offered].into_iter().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default()
    }

    /// The least time between handing a batch over and its ack, by the kind of device that is common today.
    const fn shortest_round_trip(&self) -> Duration {
        match self.durability {
            Durability::Appended => Duration::from_micros(5),
            Durability::Written => Duration::from_micros(20),
            Durability::Synced => Duration::from_micros(100),
        }
    }

    /// The most that is ever unacked.
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
        let ceiling = match self.ceiling {
            Ceiling::Auto => limits::CEILING_BYTES_MAX,
            Ceiling::Off => 0,
        };
        self.log_peak_bytes(bytes_per_s).saturating_add(ceiling)
    }

    /// Every partition may have one that is not full.
    fn segments(&self, bytes_per_s: f64) -> u64 {
        let full = self.log_peak_bytes(bytes_per_s).div_ceil(self.log.segment_bytes.0.max(1));
        full.saturating_add(self.partitions())
    }

    /// The most disk that a trial's log takes at any time, in bytes.
    fn log_peak_bytes(&self, bytes_per_s: f64) -> u64 {
        let index_share = INDEX_ENTRY_BYTES / f64_of(self.log.index_interval_bytes.0.max(1));
        let produced = self.backlog.map_or_else(
            || bytes_per_s * (self.warmup_max() + self.phases.measure.0).as_secs_f64(),
            |backlog| f64_of(backlog.build.0) + self.produced_while_draining(backlog),
        );
        let produced = u64_of(produced * (1.0 + index_share));
        // Whole segments go, and only once they are sealed; appends wait where that takes long.
        let kept = self.log.retention_bytes.0.map(|retention| {
            let partition = retention.0.saturating_add(2 * self.log.segment_bytes.0);
            u64_of(f64_of(self.partitions().saturating_mul(partition)) * (1.0 + index_share))
        });
        // Beside what is produced: the rest of the active segment, and a file held ready. What is kept counts both.
        let ahead = match self.log.preallocate {
            Preallocate::None => 0,
            Preallocate::Auto | Preallocate::Fallocate => 1,
            Preallocate::Recycle => 2,
        };
        let beside = self.partitions().saturating_mul(self.log.segment_bytes.0).saturating_mul(ahead);
        kept.unwrap_or(u64::MAX).min(produced.saturating_add(beside))
    }

    fn memory_bytes(&self) -> u64 {
        let arenas = u64::from(self.engine.shards).saturating_mul(self.engine.arena_bytes.0);
        let pool = match &self.payload.source {
            PayloadSource::Random { pool, .. } => u64_of(f64::from(*pool) * self.message_size.mean_bytes()),
            PayloadSource::File(file) => {
                file.sizes().map_or(0, |sizes| sizes.bytes + sizes.records * PAYLOAD_LINE_BYTES)
            }
        };
        [arenas, self.load.in_flight_bytes.0, pool].into_iter().fold(PROCESS_BYTES, u64::saturating_add)
    }
}

impl Study {
    /// What running all combinations will cost; the disk is that of the combination that takes most.
    pub fn estimate(&self) -> Estimate {
        let each = self.combinations.iter().map(|combination| combination.workload.estimate());
        let once = self.workload.once().as_secs_f64();
        let sum = each.reduce(|sum, one| {
            let (points, memory_bytes) = (sum.points + one.points, sum.memory_bytes.max(one.memory_bytes));
            let segments = sum.segments.max(one.segments);
            let seconds = sum.seconds + one.seconds - once;
            let seconds_max = sum.seconds_max + one.seconds_max - once;
            let largest = if one.disk_peak_bytes > sum.disk_peak_bytes { one } else { sum };
            Estimate { points, segments, memory_bytes, seconds, seconds_max, ..largest }
        });
        sum.unwrap_or_else(|| self.workload.estimate())
    }
}
