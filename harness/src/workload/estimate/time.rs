//! The time that a workload takes: expected, and at most.
//!
//! The expected time is that of a machine like the one of the published results: two virtual cores, and a disk that takes
//! about 600 MiB/s. A test compares the estimates of the published workloads with the times that they took.

use crate::num::f64_of;
use crate::workload::limits::requirement_wait;
use crate::workload::{Host, LoadMode, Pass, PassKind, Rate, Workload};
use std::time::Duration;

/// The case that a time is estimated for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// All goes as usual, on a machine like that of the published results.
    Expected,
    /// Everything takes as long as it may.
    Longest,
}

impl Case {
    /// Returns the time of this case.
    fn of(self, [expected, longest]: [Duration; 2]) -> Duration {
        match self {
            Self::Expected => expected,
            Self::Longest => longest,
        }
    }
}

/// Rate at which a disk is expected to take a log, in bytes per second.
const DISK_EXPECTED_BYTES_PER_S: f64 = 600.0 * 1024.0 * 1024.0;

/// Share of the trials of an open load that are expected to be measured again, because their generator was late. In the published
/// sweeps it was 19 of 92.
const LATE_SHARE: f64 = 0.2;

/// Time until the members of all groups have joined: usually, and at most.
const JOIN: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// Time from the moment when the conditions of `require` hold until the window opens: in short windows, and in long ones.
const OPENING: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// Rate at which a backlog is assumed to be built. At worst, building takes `BUILD_SLOWEST` times as long.
const BUILD_BYTES_PER_S: f64 = 1024.0 * 1024.0 * 1024.0;
const BUILD_SLOWEST: u32 = 10;

/// Rate at which a trial's log is assumed to be read back: scanned once, and then read record by record. On a machine of two cores it
/// was 0.6 GiB/s. Reading back may take `READ_BACK_SLOWEST` times as long.
const READ_BACK_BYTES_PER_S: f64 = 0.6 * 1024.0 * 1024.0 * 1024.0;
const READ_BACK_SLOWEST: u32 = 4;

/// Time to measure the device's best before and after the whole run.
const CEILING_ONCE: Duration = Duration::from_secs(10);

/// Time to calibrate a point's first ceiling.
const CALIBRATION: Duration = Duration::from_secs(3);

/// Time for the slices of the ceiling on both sides of each trial: two a side, and their files.
const CEILING_PER_TRIAL: Duration = Duration::from_secs(4);
/// Time for the slices of reads on both sides, where a backlog is read.
const CEILING_READS_PER_TRIAL: Duration = Duration::from_secs(2);

/// Time to open the system of a trial, to delete its data and to wait for the device: usually, and at most.
const BETWEEN_TRIALS: [Duration; 2] = [Duration::from_millis(800), Duration::from_secs(10)];

/// Time to start brokers, once their jars are there.
const BROKERS_START: Duration = Duration::from_secs(10);

impl Workload {
    /// Returns the time for work that is done once per run, no matter how many points there are.
    pub(super) fn once(&self) -> Duration {
        if self.has_device_best() { CEILING_ONCE } else { Duration::ZERO }
    }

    /// Returns the time to start the brokers of this workload, and to warm them; 0 if it needs none.
    pub(super) fn start(&self) -> Duration {
        if self.deployment().host != Host::Started {
            return Duration::ZERO;
        }
        BROKERS_START.saturating_add(self.kafka.warm.0)
    }

    /// Returns the time for all trials of all passes.
    pub(super) fn points_time(&self, case: Case) -> Duration {
        let passes = self.passes().into_iter().map(|pass| {
            let trials = self.trial_time(&pass, case).saturating_mul(self.trials);
            let again = match case {
                Case::Expected if self.late_retries_of(&pass) > 0 => trials.mul_f64(LATE_SHARE),
                Case::Expected => Duration::ZERO,
                // At most, the generator of each trial is late as often as `late_retries` allows.
                Case::Longest => trials.saturating_mul(self.late_retries_of(&pass)),
            };
            trials.saturating_add(again).saturating_add(self.calibration(&pass, case))
        });
        passes.fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Returns the time for one trial: what precedes its window, the window, and what follows.
    fn trial_time(&self, pass: &Pass, case: Case) -> Duration {
        let ceiling = match (self.has_ceiling(), self.backlog.is_some()) {
            (false, _) => Duration::ZERO,
            (true, false) => CEILING_PER_TRIAL,
            (true, true) => CEILING_PER_TRIAL + CEILING_READS_PER_TRIAL,
        };
        let parts = [
            if self.consume.has_members() { case.of(JOIN) } else { Duration::ZERO },
            self.before_window(pass, case),
            self.phases.measure.0,
            case.of([Duration::ZERO, self.phases.drain.0]),
            ceiling,
            self.read_back(pass, case),
            case.of(BETWEEN_TRIALS),
        ];
        parts.into_iter().fold(Duration::ZERO, Duration::saturating_add)
    }

    /// Returns how often a late trial of a pass may be measured again.
    fn late_retries_of(&self, pass: &Pass) -> u32 {
        let may_be_late = pass.kind == PassKind::Open && self.backlog.is_none();
        if may_be_late { self.late_retries } else { 0 }
    }

    /// Returns the time to calibrate the first ceiling of a pass. The calibration waits for the conditions of `require`, too.
    fn calibration(&self, pass: &Pass, case: Case) -> Duration {
        match (self.has_ceiling(), self.require.is_empty()) {
            (false, _) => Duration::ZERO,
            (true, true) => CALIBRATION,
            (true, false) => CALIBRATION.saturating_add(self.before_window(pass, case)),
        }
    }

    /// Returns the time before the window of a trial: its warm-up, the build of its backlog, and until the conditions of `require`
    /// hold.
    fn before_window(&self, pass: &Pass, case: Case) -> Duration {
        let warmup = self.phases.warmup.0;
        if let Some(backlog) = self.backlog {
            let build = Duration::from_secs_f64(f64_of(backlog.build.0) / BUILD_BYTES_PER_S);
            return case.of([build, build.saturating_mul(BUILD_SLOWEST)]);
        }
        if self.require.is_empty() {
            return warmup;
        }
        let longest = requirement_wait(warmup);
        let wait = case.of([self.fill().min(longest), longest]);
        // Under an open load the log is filled as fast as acks allow, and the warm-up at the offered rate follows.
        let filled = if pass.kind == PassKind::Open { wait.saturating_add(warmup) } else { wait.max(warmup) };
        filled.saturating_add(case.of(OPENING))
    }

    /// Returns the expected time until retention deletes the first segment of each partition, as fast as acks allow.
    fn fill(&self) -> Duration {
        let by_age = self.log.retention_ms.0.map(|age| age.0);
        let by_size = self.log.retention_bytes.0.map(|retention| {
            let partition = retention.0.saturating_add(self.log.segment_bytes.0);
            let bytes = f64_of(self.partitions().saturating_mul(partition));
            Duration::try_from_secs_f64(bytes / self.acked_bytes_per_s().min(DISK_EXPECTED_BYTES_PER_S))
                .unwrap_or(Duration::MAX)
        });
        by_age.into_iter().chain(by_size).min().unwrap_or_default()
    }

    /// Returns the time to read back the log of a trial; zero where it is not read back.
    fn read_back(&self, pass: &Pass, case: Case) -> Duration {
        if !self.is_read_back() {
            return Duration::ZERO;
        }
        let of_max = match pass.load.mode {
            LoadMode::Open { rate: Rate::Share(percent), .. } => percent / 100.0,
            _ => 1.0,
        };
        let highest = self.highest_rate().0;
        let (rate, slowest) = match case {
            Case::Expected => (highest.min(DISK_EXPECTED_BYTES_PER_S), 1),
            Case::Longest => (highest, READ_BACK_SLOWEST),
        };
        let bytes = self.log_peak_bytes(rate * of_max);
        Duration::from_secs_f64(f64_of(bytes) / READ_BACK_BYTES_PER_S).saturating_mul(slowest)
    }
}
