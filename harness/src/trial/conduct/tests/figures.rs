//! Figures that are computed from the measurements of a trial.

use super::*;
use crate::host::processes::ProcessUsage;
use crate::host::procfs::DiskCounters;
use crate::host::usage::CpuTime;
use crate::judge::figures::trial_of as figures_of;
use crate::measure::finished::Built;
use crate::measure::shards::ShardStats;
use crate::result::{CeilingFigures, Trial};
use crate::workload::{EngineSettings, Io, Placement};

fn figures(workload: &Workload, run: &TrialRun) -> Trial {
    figures_of(workload, run, CeilingFigures::default())
}

fn open(per_s: u64) -> LoadMode {
    LoadMode::Open { rate: Rate::per_s(per_s), arrival: Default::default(), profile: Default::default() }
}

/// Sets what the disk has read in the window.
fn set_disk_read(run: &mut TrialRun, read: Option<u64>) {
    run.observed.host.as_mut().unwrap().disk =
        read.map(|read| DiskCounters { read, ..DiskCounters::default() });
}

#[test]
fn the_busiest_load_thread_is_the_one_that_counts() {
    let mut run = trial(LoadMode::Closed { in_flight: 1 }, false);
    let busy = |run: &TrialRun| figures(&Workload::default(), run).resources.load_busy.unwrap();
    let window_ns = run.timeline.window_ns();
    run.harvest.idle_ns = vec![window_ns, window_ns / 10, window_ns / 2];
    assert!((busy(&run) - 0.9).abs() < 1e-6, "{}", busy(&run));
    run.placement = Placement::Colocated;
    let shard = |colocated_ns| ShardStats { colocated_ns, ..ShardStats::default() };
    run.observed.shards = vec![shard(window_ns / 4), shard(window_ns / 2)];
    assert!((busy(&run) - 0.5).abs() < 1e-6, "{}", busy(&run));
}

#[test]
fn the_cpu_time_of_started_processes_is_not_known_if_one_of_them_has_ended() {
    let mut run = trial(open(1000), false);
    let cpu = CpuTime { total_s: 2.0, kernel_s: 0.5 };
    let name = "broker-1".to_owned();
    run.observed.processes =
        vec![ProcessUsage { name, cpu, rss_max_bytes: None, io: None, collections: None }];
    let workload = Workload { target: "kafka".parse().unwrap(), ..Workload::default() };
    let per_gib = |run: &TrialRun| figures(&workload, run).resources.cpu_s_per_gib.unwrap();
    assert!(per_gib(&run).system.is_some_and(|seconds| seconds > 2.0));
    run.observed.has_lost_process = true;
    assert_eq!(per_gib(&run).system, None, "the rest is not the whole");
    assert!(per_gib(&run).client.is_some());
}

#[test]
fn the_share_of_a_backlog_that_came_from_the_disk_is_that_of_the_disks_own_counter() {
    let backlog =
        Backlog { build: Bytes::kib(256), cache: Default::default(), drain_producer_rate: Rate::per_s(0) };
    let mut run = trial_of(LoadMode::Max, Case { backlog: Some(backlog), ..Case::default() });
    let consumed = 1_000_000;
    run.observed.series.window.consumed_encoded_bytes = consumed;
    run.observed.built = Some(Built { records: 1, encoded_bytes: consumed, build_ns: 1 });
    let workload = |io| Workload {
        backlog: Some(backlog),
        engine: EngineSettings { io, ..EngineSettings::default() },
        ..Workload::default()
    };
    let share = |run: &TrialRun, io| figures(&workload(io), run).backlog.unwrap().from_disk;
    set_disk_read(&mut run, Some(250_000));
    assert_eq!(share(&run, Io::Buffered), Some(0.25), "the rest came from memory");
    set_disk_read(&mut run, None);
    assert_eq!(share(&run, Io::Buffered), None, "without a counter it is not known");
    run.observed.shards = vec![ShardStats { read_bytes: 1_100_000, ..ShardStats::default() }];
    assert_eq!(share(&run, Io::Direct), Some(1.1), "direct reads are of the disk");
    set_disk_read(&mut run, Some(1_200_000));
    assert_eq!(share(&run, Io::Direct), Some(1.2));
    run.observed.series.window.consumed_encoded_bytes = 0;
    assert_eq!(share(&run, Io::Direct), None);
}

#[test]
fn the_write_amplification_of_buffered_runs_counts_what_the_final_sync_waited_for() {
    let mut run = trial(open(1000), false);
    let host = run.observed.host.as_mut().unwrap();
    host.disk = Some(DiskCounters { written: 30_000, ..DiskCounters::default() });
    let amplification = |run: &TrialRun| figures(&Workload::default(), run).resources.write_amplification;
    let acked: u64 = run.harvest.produced.iter().map(|partition| partition.answered).sum();
    // On a busy machine an ack at either end may count in the phase beside its own.
    let window = &mut run.observed.series.window;
    assert!(window.acked_records.abs_diff(400) < 20 && acked == 600, "{} of {acked}", window.acked_records);
    (window.acked_records, window.acked_bytes) = (400, 40_000);
    assert_eq!(amplification(&run), Some(0.75), "the window's bytes");
    let took = Duration::from_millis(100);
    // 600 records of 100 bytes were acked in the whole trial.
    run.final_sync = Some(FinalSync { took, device_write_bytes: Some(90_000) });
    assert_eq!(amplification(&run), Some(1.5));
    // Those that failed are not in the log.
    run.harvest.produced[0].failed.push(0..150);
    assert_eq!(amplification(&run), Some(2.0));
    run.final_sync = Some(FinalSync { took, device_write_bytes: None });
    assert_eq!(amplification(&run), None, "without a counter it is not known");
}

#[test]
fn a_trial_that_ends_early_is_scored_over_what_it_ran() {
    // Each of two partitions gets 100 records in the warm-up and 200 in the window.
    let behaviour = Behaviour { fail_at: Some(200), ..Behaviour::default() };
    let run = trial_of(open(1000), Case { behaviour, ends_on_error: true, ..Case::default() });
    assert!(run.error.is_some());
    let trial = figures(&Workload::default(), &run);
    assert!((0.1..0.3).contains(&trial.window_s), "{} s of a window of 0.4 s", trial.window_s);
    let rate = trial.produce.records_per_s;
    assert!((700.0..=1300.0).contains(&rate), "{rate} records a second of 1000");
    let response = trial.latency_ns.response.unwrap();
    assert!(response.censored * 10 <= response.count, "{} of {}", response.censored, response.count);
    assert!(trial.offered.unwrap().achieved > 0.8, "{:?}", trial.offered);
}

#[test]
fn a_trial_that_is_interrupted_is_scored_over_what_it_ran() {
    let interrupted = || {
        let stop_after = Some(Duration::from_millis(450));
        let run = trial_of(open(1000), Case { stop_after, ..Case::default() });
        assert!(run.observed.interrupted && run.error.is_none());
        Some(figures(&Workload::default(), &run)).filter(|trial| trial.window_s > 0.1)
    };
    // On a busy machine the window may open too late.
    let trial = (0..10).find_map(|_| interrupted()).expect("the window opens before the interruption");
    assert!(trial.window_s < 0.39, "{} s of a window of 0.4 s", trial.window_s);
    let rate = trial.produce.records_per_s;
    assert!((700.0..=1300.0).contains(&rate), "{rate} records a second of 1000");
    assert!(trial.offered.unwrap().achieved > 0.8, "{:?}", trial.offered);
}
