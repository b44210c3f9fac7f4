//! Trials on the fake system, in real time.

mod figures;

use super::*;
use crate::load::load_thread::Idle;
use crate::result::provenance::CoresUsed;
use crate::system::fake::{Behaviour, FakeSystem, GroupFaults};
use crate::trial::context::{Options, RunContext};
use crate::trial::cores::Place;
use crate::trial::data_dir::DataDir;
use crate::trial::progress::Progress;
use crate::workload::profile::Ramp;
use crate::workload::{
    Assignment, Backlog, Bytes, Consume, LoadMode, MessageSize, OnError, Profile, Rate, Requirement, Study,
    TimeSpan, Workload,
};
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs a short trial in real time against a system that acks at once.
fn trial(mode: LoadMode, stop: bool) -> TrialRun {
    trial_of(mode, Case { stop, ..Case::default() })
}

/// The settings in which trials differ.
#[derive(Default)]
struct Case {
    stop: bool,
    /// The trial is interrupted so long after it began.
    stop_after: Option<Duration>,
    requirements: Vec<Requirement>,
    backlog: Option<Backlog>,
    behaviour: Behaviour,
    consume: Consume,
    cores: CoresUsed,
    /// Whether the first record that fails ends the trial.
    ends_on_error: bool,
}

fn trial_of(mode: LoadMode, case: Case) -> TrialRun {
    let Case { stop, stop_after, requirements, backlog, behaviour, consume, cores, ends_on_error } = case;
    let ms = |ms| TimeSpan(Duration::from_millis(ms));
    let phases = Phases { warmup: ms(200), measure: ms(400), drain: ms(2000) };
    let load = Load { mode, in_flight_bytes: Bytes::kib(64) };
    let workload = Workload {
        message_size: MessageSize::Fixed(Bytes(100)),
        partitions_per_topic: 2,
        consume,
        phases,
        load,
        on_error: if ends_on_error { OnError::End } else { OnError::Count },
        ..Workload::default()
    };
    let outer = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(Some(&outer.path().join("data"))).unwrap();
    let study = Study::alone(workload.clone());
    let stopped = Arc::new(AtomicBool::new(stop));
    if let Some(after) = stop_after {
        let stopped = Arc::clone(&stopped);
        std::thread::spawn(move || {
            std::thread::sleep(after);
            stopped.store(true, Ordering::SeqCst);
        });
    }
    let context = RunContext {
        study: &study,
        options: &Options::default(),
        open: &|_, _, _| Ok(Box::new(FakeSystem::new(behaviour.clone()))),
        unwarmed: &|_| None,
        device: &crate::device::bare_device,
        data_dir: &data_dir,
        stop: &stopped,
        measured: &AtomicBool::new(false),
        progress: &Progress::silent(),
        started: Instant::now(),
    };
    let place = Place { cores, idle: Idle::Sleep };
    let extras = Extras { requirements: &requirements, backlog, ..Extras::default() };
    let bench = Bench::new(&context, &workload, &place, extras).unwrap();
    let run = bench.trial(load, phases).unwrap();
    assert_eq!(context.is_stopped(), stop || stop_after.is_some());
    run
}

#[test]
fn a_trial_measures_its_window_and_drains() {
    let mode =
        LoadMode::Open { rate: Rate::per_s(1000), arrival: Default::default(), profile: Default::default() };
    let run = trial(mode, false);
    assert_eq!(run.error, None);
    assert_eq!(run.core_round_trip, None, "the load has no cores of its own");
    assert_eq!(run.offered, Some(400));
    assert_eq!(run.harvest.latencies.records.of(crate::result::latency::Measure::Response).len(), 400);
    let sent: u64 = run.harvest.produced.iter().map(|partition| partition.answered).sum();
    assert_eq!(sent, 600);
    let rows = &run.observed.series.rows;
    assert_eq!(rows.len(), 6);
    assert_eq!(rows.iter().map(|row| row.offered.unwrap()).sum::<u64>(), 600);
    assert!(run.observed.host.is_some() && !run.observed.interrupted);
    let integrity = crate::judge::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
    assert_eq!((integrity.checked, integrity.is_violated(), integrity.undrained), (600, false, 0));
}

#[test]
fn the_time_of_a_message_between_the_cores_of_shards_and_load_is_taken_before_and_after() {
    let allowed = crate::host::environment::cores_allowed();
    let [shard, load, ..] = allowed[..] else { return };
    let cores = CoresUsed { shards: vec![shard], load: vec![load], ..CoresUsed::default() };
    let measured = || {
        let case = Case { cores: cores.clone(), ..Case::default() };
        trial_of(LoadMode::Closed { in_flight: 1 }, case).core_round_trip
    };
    // A busy machine may keep the two threads apart for the whole time that a measurement may take.
    let both = (0..20).find_map(|_| measured()).expect("the cores are free twice in 20 trials");
    assert!(both.before_ns > 0 && both.after_ns > 0, "{both:?}");
}

#[test]
fn members_join_before_the_load_and_the_lag_of_their_group_is_in_every_row() {
    let consume = Consume { assignment: Some(Assignment::Group), ..Consume::default() };
    let run = trial_of(LoadMode::Closed { in_flight: 1 }, Case { consume, ..Case::default() });
    assert_eq!((&run.error, &run.observed.missed), (&None, &None));
    assert_eq!(run.harvest.groups.len(), 1);
    assert_eq!(run.harvest.groups[0].lag_end, 0);
    let series = &run.observed.series;
    assert_eq!(series.group_lags.len(), series.rows.len());
    assert!(series.rows.iter().any(|row| row.lag.is_some() && row.lag == row.backlog_records));
    let integrity = crate::judge::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
    assert!(integrity.checked > 0 && !integrity.is_violated(), "{integrity:?}");
}

#[test]
fn groups_that_do_not_settle_end_the_trial_before_anything_is_produced() {
    let consume = Consume { assignment: Some(Assignment::Group), ..Consume::default() };
    let group = GroupFaults { never_settles: true, ..GroupFaults::default() };
    let behaviour = Behaviour { group, ..Behaviour::default() };
    let run = trial_of(LoadMode::Max, Case { consume, behaviour, ..Case::default() });
    let missed = run.observed.missed.as_ref().unwrap();
    assert!(missed.contains("`vnotch-vnotch-0-bench1-group` did not settle"), "{missed}");
    assert_eq!(run.timeline.window_ns(), 0);
    assert_eq!(run.harvest.produced.iter().map(|it| it.sent).sum::<u64>(), 0);
}

#[test]
fn a_profile_shapes_what_is_offered() {
    let mode = LoadMode::Open {
        rate: Rate::per_s(1000),
        arrival: Default::default(),
        profile: Profile::Ramp(Ramp { from: 0.0, to: 2.0 }),
    };
    let run = trial(mode, false);
    assert_eq!(run.error, None);
    assert_eq!(run.offered, Some(400), "the mean over the window is the rate");
    let rows: Vec<u64> = run.observed.series.rows.iter().map(|row| row.offered.unwrap()).collect();
    assert_eq!(rows, [0, 0, 25, 75, 125, 175], "none before a ramp from 0, then ever more");
}

#[test]
fn a_window_that_waits_for_retention_opens_after_it_and_shapes_what_comes_then() {
    let mode = LoadMode::Open {
        rate: Rate::per_s(1000),
        arrival: Default::default(),
        profile: Profile::Ramp(Ramp { from: 1.0, to: 3.0 }),
    };
    // The 500 records of each of two partitions, which would take a second at the rate, come as fast as acks allow.
    let behaviour = Behaviour { retains_at: Some(500), ..Behaviour::default() };
    let requirements = vec![Requirement::RetentionReached];
    let run = trial_of(mode, Case { requirements, behaviour, ..Case::default() });
    assert_eq!((run.error.as_deref(), run.observed.missed.as_deref()), (None, None));
    let reached_ns = num::u64_of((run.observed.retention_reached_s.unwrap() * 1e9).abs());
    assert!(reached_ns >= 200_000_000, "the warm-up at the rate follows: {reached_ns} ns before the window");
    assert!(run.timeline.window_start_ns() >= reached_ns, "{:?}", run.timeline);
    let warm = |row: &&crate::result::SeriesRow| row.t_s < 0.0;
    let offered: u64 = run.observed.series.rows.iter().filter(warm).filter_map(|row| row.offered).sum();
    assert!((100..=400).contains(&offered), "about 200 in the warm-up, not {offered}");
    assert_eq!(run.timeline.window_ns(), 400_000_000);
    assert_eq!(run.offered, Some(800), "twice the rate in the mean");
    let integrity = crate::judge::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
    assert!(integrity.checked >= 1800 && !integrity.is_violated(), "{integrity:?}");
    assert!(run.observed.retention_reached_s.unwrap() < 0.0);
    assert_eq!(run.observed.events.iter().filter(|event| event.kind == "retention").count(), 2);
    assert!(run.observed.events.iter().all(|event| event.t_s > -10.0), "{:?}", run.observed.events);
}

#[test]
fn consumers_that_start_late_end_the_window_when_they_have_caught_up() {
    for rate in [0, 500] {
        let backlog = Backlog {
            build: Bytes::kib(256),
            cache: Default::default(),
            drain_producer_rate: Rate::per_s(rate),
        };
        let run = trial_of(LoadMode::Max, Case { backlog: Some(backlog), ..Case::default() });
        assert_eq!(run.error, None);
        let built = run.observed.built.unwrap();
        assert!((259_000..264_000).contains(&built.encoded_bytes), "{built:?}");
        assert!(run.observed.is_drained && run.timeline.window_ns() < 400_000_000, "{:?}", run.timeline);
        let window = &run.observed.series.window;
        assert!(window.consumed_records >= built.records, "{} of {built:?}", window.consumed_records);
        assert_eq!(run.granularity.is_some(), rate > 0);
        let integrity = crate::judge::integrity::judge(&run.harvest.produced, &run.harvest.consumed);
        assert!(integrity.checked >= built.records && !integrity.is_violated(), "{integrity:?}");
        assert_eq!(integrity.undrained, 0);
        assert!(run.observed.events.is_empty(), "resting producers are no stall: {:?}", run.observed.events);
    }
}

#[test]
fn a_backlog_of_a_system_that_reports_no_encoded_bytes_is_counted_by_its_values() {
    let backlog =
        Backlog { build: Bytes::kib(256), cache: Default::default(), drain_producer_rate: Rate::per_s(0) };
    let behaviour = Behaviour { hides_encoded_bytes: true, ..Behaviour::default() };
    let run = trial_of(LoadMode::Max, Case { backlog: Some(backlog), behaviour, ..Case::default() });
    assert_eq!(run.error, None);
    let built = run.observed.built.unwrap();
    assert!((259_000..264_000).contains(&built.encoded_bytes), "{built:?}");
    assert_eq!(built.encoded_bytes, 100 * built.records);
    assert!(run.observed.is_drained, "{:?}", run.timeline);
}

#[test]
fn a_trial_that_never_gets_there_is_given_up() {
    let mode =
        LoadMode::Open { rate: Rate::per_s(100), arrival: Default::default(), profile: Default::default() };
    // Nothing is acked, so the log is not filled for all this time.
    let behaviour = Behaviour { ack_ns: 1, retains_at: Some(usize::MAX), ..Behaviour::default() };
    let requirements = vec![Requirement::RetentionReached];
    let run = trial_of(mode, Case { requirements, behaviour, ..Case::default() });
    let missed = run.observed.missed.unwrap();
    for expected in ["in 3s of warm-up", "0 of 2 partitions", "raise `phases.warmup`"] {
        assert!(missed.contains(expected), "{expected} in: {missed}");
    }
    assert_eq!((run.timeline.window_ns(), run.error), (0, None));
}

#[test]
fn an_interrupted_trial_ends_at_once_with_what_it_has() {
    let run = trial(LoadMode::Max, true);
    assert!(run.observed.interrupted);
    assert_eq!(run.timeline.window_ns(), 0);
    assert_eq!(run.error, None);
}
