//! Recordings that look like real ones, generated from a seed.

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use vnotch::result::latency::{Counting, KeptInterval, Measure, TrialHistograms, new_histogram};
use vnotch::result::{
    Batches, CeilingFigures, CpuPart, CpuSeconds, DsyncFigures, Event, Flow, IntegrityFigures, Kind,
    LatencyFigures, Limit, LimitKind, OfCeiling, Offered, Point, PumpShares, Recording, Resources, RunResult,
    SCHEMA_VERSION, SeriesRow, ShardFigures, Trial, TrialRecord, Verdict, VerdictFlag, WriteShape, Writes,
};
use vnotch::stats;
use vnotch::workload::{Durability, Io, PassKind, Poll};

/// Properties of one generated pass.
pub(crate) struct PassSpec {
    pub pass: PassKind,
    pub records_per_s: f64,
    pub ceiling_bytes_per_s: f64,
    pub median_ns: f64,
    pub trials: usize,
    pub window_s: f64,
    pub rolls: usize,
    pub seed: u64,
}

pub(crate) const MAX: PassSpec = PassSpec {
    pass: PassKind::Max,
    records_per_s: 1_450_000.0,
    ceiling_bytes_per_s: 1.65e9,
    median_ns: 8.4e6,
    trials: 3,
    window_s: 10.0,
    rolls: 12,
    seed: 7,
};

pub(crate) const OPEN: PassSpec =
    PassSpec { pass: PassKind::Open, records_per_s: 725_000.0, median_ns: 310e3, rolls: 6, seed: 11, ..MAX };

/// Returns a typical recording of `quickstart`: a pass at `max`, then an open one at half that rate.
pub(crate) fn quickstart() -> Recording {
    recording(&[MAX, OPEN])
}

pub(crate) fn recording(specs: &[PassSpec]) -> Recording {
    let mut trials = Vec::new();
    let mut points = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let (point, records) = point(index, spec);
        points.push(point);
        trials.extend(records);
    }
    let mut verdict = Verdict::default();
    points.iter().for_each(|point: &Point| verdict.absorb(&point.verdict));
    let result = RunResult {
        schema_version: SCHEMA_VERSION,
        kind: Kind::Run,
        name: "quickstart".into(),
        question: Some("does everything work here, and what does a durable append cost on this disk?".into()),
        elapsed_s: 38.4,
        environment: serde_json::from_value(environment()).unwrap(),
        environment_at_end: None,
        provenance: serde_json::from_value(provenance()).unwrap(),
        workload: workload(),
        workloads: vec![workload()],
        verdict,
        points,
    };
    Recording { result, trials }
}

fn point(index: usize, spec: &PassSpec) -> (Point, Vec<TrialRecord>) {
    let (trials, records): (Vec<_>, Vec<_>) =
        (0..spec.trials).map(|trial| self::trial(index, trial, spec)).unzip();
    let mut verdict = Verdict::default();
    if spec.pass == PassKind::Max {
        verdict.flag(
            VerdictFlag::NoisyDisk,
            "the disk's own ceiling ranged over 1.6 × between slices: 1.22 GiB/s to 1.93 GiB/s",
        );
    }
    let point = Point {
        settings: Default::default(),
        workload: 0,
        pass: spec.pass,
        target: "engine".into(),
        system: None,
        durability: Durability::Written,
        io: Some(Io::Direct),
        poll: Some(Poll::Adaptive),
        verdict,
        summary: stats::summarise(&trials),
        first_attempts: stats::summarise_first(&trials),
        trials,
    };
    (point, records)
}

fn trial(point: usize, trial: usize, spec: &PassSpec) -> (Trial, TrialRecord) {
    let mut random = Random(spec.seed * 1000 + trial as u64);
    let drift = 1.0 + 0.06 * (trial as f64 - 1.0);
    let (series, latency) = over_time(spec, drift, &mut random);
    let histograms = whole_trial(&latency);
    let events = rolls(spec, &mut random);
    let record = TrialRecord { point, trial, series, events, latency, histograms, ..TrialRecord::default() };
    let inside = record.series.iter().filter(|row| row.t_s > -1e-9 && row.t_s < spec.window_s - 1e-9);
    let acked: u64 = inside.clone().map(|row| row.achieved).sum();
    let consumed: u64 = inside.map(|row| row.consumed).sum();
    let encoded = |records: u64| Some(records * 1040);
    let open = spec.pass == PassKind::Open;
    let ceiling = spec.ceiling_bytes_per_s * (1.0 + 0.1 * (trial as f64 - 1.0));
    let written = (acked * 1044) as f64 / spec.window_s;
    let offered = (spec.records_per_s * spec.window_s) as u64;
    let mut figures = Trial {
        window_start_s: 4.0 + 14.0 * (trial + 3 * point) as f64,
        window_s: spec.window_s,
        clock_zero_unix_ms: Some(1_795_492_444_000 + 14_000 * (trial + 3 * point) as i64),
        ceiling: CeilingFigures {
            write_bytes_per_s: Some(ceiling),
            device_write_bytes_per_s: Some(3.1e9),
            device_read_bytes_per_s: Some(1.9e9),
            dsync_4k_ns: DsyncFigures { p50: Some(113_000) },
            write_slices_bytes_per_s: vec![ceiling * 0.93, ceiling * 1.07],
            write_shape: Some(WriteShape {
                block_bytes: 262_144,
                sizes: vec![(262_144, acked / 250)],
                depth: 6.13,
                files: 4,
                extent: "fallocated".into(),
                overwrites: Some(0.0),
                dsync: false,
                shared: Some(0.0),
                shared_writes_mean: None,
                flush_every_bytes: Some(1 << 30),
            }),
            ..CeilingFigures::default()
        },
        of_ceiling: OfCeiling {
            write: Some(written / ceiling),
            read: None,
            combined: Some(written / ceiling),
        },
        of_device: Some(written / 3.1e9),
        offered: open.then(|| Offered {
            records: offered,
            records_per_s: spec.records_per_s,
            achieved: (acked as f64 / offered as f64).min(1.0),
        }),
        produce: Flow::over(spec.window_s, acked, acked * 1024, encoded(acked)),
        consume: Some(Flow::over(spec.window_s, consumed, consumed * 1024, encoded(consumed))),
        batches: Batches { records_mean: Some(61.8), bytes_p50: Some(64_333) },
        writes: Writes { bytes_p50: Some(262_144), depth_mean: Some(6.13) },
        per_shard: vec![ShardFigures {
            shard: 0,
            work_s: 3.1,
            poll_s: 6.4,
            parked_s: 0.5,
            write_bytes: acked * 1044,
            writes: acked / 250,
            write_bytes_p50: Some(262_144),
            write_depth_mean: Some(6.13),
            syncs: 12,
            overwrites: 0,
            read_bytes: 0,
        }],
        resources: Resources {
            cpu_s_per_gib: None,
            cpu_s: CpuSeconds {
                load: Some(CpuPart { user_s: 7.9, kernel_s: 0.8 }),
                shard: Some(CpuPart { user_s: 8.1, kernel_s: 1.4 }),
                io_workers: Some(CpuPart { user_s: 0.0, kernel_s: 0.2 }),
                harness: Some(CpuPart { user_s: 0.3, kernel_s: 0.1 }),
                process: Some(CpuPart { user_s: 16.3, kernel_s: 2.5 }),
            },
            pump: Some(PumpShares { work: 0.31, poll: 0.64, parked: 0.05, colocated: 0.0 }),
            rss_max_bytes: Some(612 << 20),
            data_max_bytes: Some(1300 << 20),
            device_write_bytes: Some(acked * 1044),
            device_read_bytes: Some(0),
            write_amplification: Some(1.02),
            syncs: Some(12),
            device_flushes: Some(3),
            steal_share: Some(0.004),
            others_cores: Some(0.11),
            throttled_s: None,
            core_round_trip: None,
            load_busy: Some(0.62),
            warmed_bytes: Some(412 << 20),
            disk_interrupts: [(1, 40_120)].into(),
            processes: Vec::new(),
        },
        integrity: IntegrityFigures {
            checked: Some(consumed),
            gaps: Some(0),
            duplicates: Some(0),
            reorders: Some(0),
            corruptions: None,
            undrained: Some(0),
            lost_to_retention: None,
            defects: None,
            ..IntegrityFigures::default()
        },
        limit: (spec.pass == PassKind::Max).then_some(Limit {
            kind: LimitKind::InFlightBytes,
            disk: Some(written / ceiling),
            shard_cpu: Some(0.31),
            load_thread: Some(0.62),
            in_flight: Some(0.97),
        }),
        ..Trial::default()
    };
    set_latencies(&mut figures, &record, open);
    (figures, record)
}

fn set_latencies(figures: &mut Trial, record: &TrialRecord, open: bool) {
    let of = |measure| Some(latency_figures(&total(record, measure)));
    figures.latency_ns.service = of(Measure::Service);
    figures.latency_ns.blocked = of(Measure::Blocked);
    if open {
        figures.latency_ns.response = of(Measure::Response);
        figures.latency_ns.pacing_lag = of(Measure::PacingLag);
        figures.latency_ns.end_to_end = of(Measure::EndToEnd);
    }
}

fn total(record: &TrialRecord, measure: Measure) -> Histogram<u64> {
    let mut total = new_histogram();
    record.latency.iter().filter_map(|kept| kept.histogram(measure)).for_each(|it| total.add(&it).unwrap());
    total
}

fn latency_figures(histogram: &Histogram<u64>) -> LatencyFigures {
    let distinct = histogram.len() / 62;
    let at = |q: f64| {
        (distinct as f64 * (1.0 - q) >= 10.0 && !histogram.is_empty()).then(|| histogram.value_at_quantile(q))
    };
    LatencyFigures {
        count: histogram.len(),
        distinct: Some(distinct),
        min: Some(histogram.min()),
        mean: Some(histogram.mean()),
        p50: at(0.5),
        p90: at(0.9),
        p95: at(0.95),
        p99: at(0.99),
        p99_9: at(0.999),
        p99_99: at(0.9999),
        max: Some(histogram.max()),
        ..LatencyFigures::default()
    }
}

/// Returns the histograms of a whole trial whose acks are of 62 records each.
fn whole_trial(latency: &[KeptInterval]) -> TrialHistograms {
    let mut histograms = TrialHistograms::default();
    for measure in Measure::ALL {
        let (mut records, mut distinct) = (new_histogram(), new_histogram());
        latency.iter().filter_map(|kept| kept.histogram(measure)).for_each(|it| records.add(&it).unwrap());
        for value in records.iter_recorded() {
            distinct.record_n(value.value_iterated_to(), value.count_at_value() / 62).unwrap();
        }
        histograms.set(measure, Counting::Records, &records);
        histograms.set(measure, Counting::Distinct, &distinct);
    }
    histograms
}

/// Returns rows of 100 ms from 2 s before the window to its end, with a dip at every roll, and the histograms of each interval
/// in the window.
fn over_time(spec: &PassSpec, drift: f64, random: &mut Random) -> (Vec<SeriesRow>, Vec<KeptInterval>) {
    let (mut rows, mut kept) = (Vec::new(), Vec::new());
    let open = spec.pass == PassKind::Open;
    let (mut backlog, mut owed) = (0i64, 0.0);
    let intervals = (spec.window_s * 10.0).round() as i64;
    for i in -20..intervals {
        let t_s = i as f64 / 10.0;
        let rolling = spec.rolls > 0 && i % (intervals / spec.rolls as i64).max(1) == 5;
        let due = spec.records_per_s / 10.0;
        let stalled = if rolling { 0.62 } else { 1.0 };
        let achieved = if open {
            owed += due;
            let done = owed * stalled;
            owed -= done;
            done
        } else {
            due * drift * stalled * (0.94 + 0.12 * random.unit())
        };
        let consumed = (achieved + backlog as f64 * (0.6 + 0.3 * random.unit())).max(0.0) * 0.992;
        backlog += achieved as i64 - consumed as i64;
        let mut interval = KeptInterval::empty(t_s, 0.1);
        let slow = if rolling { 6.0 } else { 1.0 };
        let service = latencies(spec.median_ns * slow, random);
        interval.set(Measure::Service, &service);
        interval.set(Measure::Blocked, &latencies(if open { 300.0 } else { 2e6 }, random));
        if open {
            interval.set(Measure::Response, &latencies(spec.median_ns * 1.1 * slow, random));
            interval.set(Measure::PacingLag, &latencies(12e3, random));
            interval.set(Measure::EndToEnd, &latencies(spec.median_ns * 1.5 * slow, random));
        }
        if i >= 0 {
            kept.push(interval);
        }
        let headline = if open { latencies(spec.median_ns * 1.1 * slow, random) } else { service };
        rows.push(SeriesRow {
            t_s,
            interval_s: 0.1,
            offered: open.then_some(due as u64),
            achieved: achieved as u64,
            consumed: consumed as u64,
            backlog_records: Some(backlog.max(0) as u64),
            p50_ns: Some(headline.value_at_quantile(0.5)).filter(|_| i >= 0),
            p99_ns: Some(headline.value_at_quantile(0.99)).filter(|_| i >= 0),
            max_ns: Some(headline.max()).filter(|_| i >= 0),
            device_bytes: Some((achieved * 1044.0) as u64),
            cpu: Some(1.8 + 0.1 * random.unit()),
            rss_bytes: Some(600 << 20),
            data_bytes: Some(1200 << 20).filter(|_| i % 10 == 0),
            ..SeriesRow::default()
        });
    }
    (rows, kept)
}

/// Returns a histogram of latencies around a median, with a long tail.
fn latencies(median_ns: f64, random: &mut Random) -> Histogram<u64> {
    let mut histogram = new_histogram();
    for _ in 0..400 {
        let tail = if random.unit() < 0.01 { 5.0 } else { 1.0 };
        let ns = median_ns * tail * (0.35 * random.normal()).exp();
        histogram.record_n(ns.max(1.0) as u64, 62).unwrap();
    }
    histogram
}

fn rolls(spec: &PassSpec, random: &mut Random) -> Vec<Event> {
    let mut events: Vec<Event> = (0..spec.rolls)
        .map(|i| Event {
            t_s: (0.5 + i as f64 * spec.window_s / spec.rolls as f64) + 0.05 * random.unit(),
            kind: if i % 5 == 3 { "sync" } else { "roll" }.into(),
            shard: Some(0),
            topic: Some("topic-0".into()),
            partition: Some(i as u32 % 4),
            ..Event::default()
        })
        .collect();
    events.sort_by(|a, b| a.t_s.total_cmp(&b.t_s));
    events
}

/// A linear congruential generator, so that every call gives the same recording.
struct Random(u64);

impl Random {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

fn environment() -> Value {
    json!({
        "kernel": "Linux 6.18.5 #1 SMP x86_64",
        "cpu": {"model": "AMD EPYC 9554P", "cores_online": 2, "cores_allowed": [0, 1], "governors": [], "hypervisor": true},
        "memory": {"total_bytes": 25_769_803_776u64, "available_bytes": 21_474_836_480u64, "transparent_huge_pages": "madvise",
                   "memlock": {"limit_bytes": null, "exempt": true}},
        "io_uring": {"disabled_sysctl": 0, "probe": {"features": ["nodrop", "ext_arg"], "operations": ["write_fixed", "read"]},
                     "error": null},
        "storage": {"filesystem": "ext4", "mount_point": "/", "mount_options": "rw,relatime", "source": "/dev/vda1",
                    "device": {"name": "vda", "model": null, "stacked_on": [], "size_bytes": 107_374_182_400u64,
                               "scheduler": "none", "write_cache": "write back", "fua": false, "rotational": false,
                               "logical_block_bytes": 512}},
        "load": {"average_1m": 0.21, "steal_share_since_boot": 0.001}
    })
}

fn provenance() -> Value {
    json!({
        "build": {"version": "0.1.0", "git_revision": "4d1e8a6c0ffee4d1e8a6c0ffee4d1e8a6c0ffee0", "git_dirty": false,
                  "profile": "release", "rustc": "rustc 1.95.0", "target": "x86_64-unknown-linux-gnu"},
        "machine_id": "00112233445566778899aabbccddeeff",
        "started_at": "2026-11-24T03:54:04Z",
        "workload_sha256": "1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f809",
        "seed": 42, "order_seed": null,
        "target": {"kind": "engine", "version": "0.1.0", "facts": {"registered_buffers": "yes", "single_issuer": "yes"}},
        "cores": {"shards": [0], "load": [1]}, "tags": {}
    })
}

fn workload() -> Value {
    let workload = vnotch::workload::Workload {
        name: "quickstart".into(),
        partitions_per_topic: 4,
        ..vnotch::workload::Workload::default()
    };
    serde_json::to_value(workload).unwrap()
}
