//! The rows of a series, and what the window's records are counted by.

use super::*;
use crate::measure::histograms::Times;
use crate::result::Bound;
use crate::time::schedule::{Even, Schedule};
use crossbeam::channel::unbounded;
use proptest::prelude::*;
use std::time::Duration;

const WARMUP: i64 = 5;

fn timeline(intervals: u64) -> Arc<Timeline> {
    let ms = Duration::from_millis;
    Arc::new(Timeline::new(ms(500), ms(intervals * 100), ms(1000), ms(100)))
}

fn interval(index: i64, records: u64, ns: u64) -> Box<Interval> {
    let mut interval = Interval { index, acked_records: records, ..Interval::default() };
    interval.latency.record_n(Measure::Service, ns, records);
    interval.acks.record_n(ns, records).unwrap();
    Box::new(interval)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn nothing_handed_in_is_lost(
        intervals in 1u64..700,
        parts in prop::collection::vec((-WARMUP..800i64, 1u64..9, 1u64..1_000_000), 0..40),
    ) {
        let (spare, _keep) = unbounded();
        let mut builder = SeriesBuilder::new(timeline(intervals), Offered::default(), 0, spare);
        for (index, records, ns) in &parts {
            builder.add(interval(*index, *records, *ns), index % 2 == 0);
        }
        let series = builder.finish();
        let mut kept = Histograms::default();
        for stretch in &series.kept {
            stretch.histogram(Measure::Service).unwrap().iter_recorded().for_each(|value| {
                kept.record_n(Measure::Service, value.value_iterated_to(), value.count_at_value());
            });
        }
        prop_assert_eq!(kept.of(Measure::Service), series.latency.of(Measure::Service));
        prop_assert!(series.kept.len() <= 300);
        let in_rows: u64 = series.rows.iter().filter(|row| row.t_s > -1e-9).map(|row| row.achieved).sum();
        prop_assert_eq!(in_rows, series.window.acked_records);
        prop_assert!(series.rows.windows(2).all(|pair| {
            (pair[0].t_s + pair[0].interval_s - pair[1].t_s).abs() < 1e-6
        }), "rows touch");
    }
}

#[test]
fn a_percentile_of_an_interval_has_ten_acks_beyond_it() {
    let (spare, _keep) = unbounded();
    let mut builder = SeriesBuilder::new(timeline(4), Offered::default(), 0, spare);
    for (index, acks) in (0..).zip([0, 19, 949, 1000]) {
        let mut interval = interval(index, 5000, 1000);
        interval.acks.reset();
        interval.acks.record_n(1000, acks).unwrap();
        builder.add(interval, false);
    }
    let known = |row: &SeriesRow| (row.p50_ns.is_some(), row.p99_ns.is_some(), row.max_ns.is_some());
    let rows: Vec<_> = builder.finish().rows.iter().map(known).collect();
    assert_eq!(rows, [(false, false, true), (true, false, true), (true, false, true), (true, true, true)]);
}

#[test]
fn parts_of_several_threads_make_one_row() {
    let (spare, given_back) = unbounded();
    let mut builder = SeriesBuilder::new(timeline(10), Offered::default(), 0, spare);
    builder.add(interval(0, 3, 1000), false);
    builder.add(interval(1, 5, 1000), false);
    builder.add(interval(0, 4, 9000), false);
    let series = builder.finish();
    assert_eq!((series.rows[0].achieved, series.rows[1].achieved), (7, 5));
    assert!(series.rows[0].max_ns.unwrap() >= 9000);
    assert_eq!(given_back.len(), 3, "every interval's memory goes back");
}

#[test]
fn a_late_thread_s_part_stays_in_its_interval_and_in_the_window() {
    let (spare, _keep) = unbounded();
    let mut builder = SeriesBuilder::new(timeline(10), Offered::default(), 0, spare).with_threads(2);
    let of_thread = |thread, index, records| {
        let mut part = interval(index, records, 1000);
        part.thread = thread;
        part
    };
    for index in 0..20 {
        builder.add(of_thread(0, index, 1), false);
    }
    assert!(builder.rows().is_empty(), "the other thread has sent nothing yet");
    for index in [0, 5, 9] {
        builder.add(of_thread(1, index, 100), false);
    }
    assert_eq!(builder.rows().len(), 9, "the last interval of the window is open");
    let series = builder.finish();
    let achieved: Vec<u64> = series.rows.iter().map(|row| row.achieved).collect();
    assert_eq!(achieved, [101, 1, 1, 1, 1, 101, 1, 1, 1, 101]);
    assert_eq!(series.window.acked_records, 310);
}

#[test]
fn a_thread_that_sends_nothing_keeps_a_bounded_number_of_intervals_open() {
    let (spare, _keep) = unbounded();
    let mut builder = SeriesBuilder::new(timeline(300), Offered::default(), 0, spare).with_threads(2);
    for index in 0..200 {
        builder.add(interval(index, 1, 1000), false);
        assert!(builder.open.len() <= 64);
    }
    let late = Interval { thread: 1, ..*interval(3, 50, 1000) };
    builder.add(Box::new(late), false);
    let series = builder.finish();
    assert_eq!(series.window.acked_records, 250, "nothing is lost");
}

#[test]
fn a_percentile_of_a_row_needs_ten_acks_beyond_it_and_is_a_bound_where_the_generator_was_late() {
    let (spare, _keep) = unbounded();
    let schedule = Schedule::Even(Even::new(crate::workload::RecordRate::per_s(1000), 0, 0, 1));
    let mut builder = SeriesBuilder::new(timeline(2), Offered::new(vec![schedule]), 0, spare);
    for (index, acks, generator_ns) in [(0, 900, 0), (1, 1000, 2_000_000)] {
        let mut interval = Interval { index, ..Interval::default() };
        let times = Times { intended_ns: Some(0), generator_ns, accepted_ns: 0, ended_ns: 3_000_000 };
        interval.latency.record_times(&times, 10 * acks);
        interval.acks.record_n(3_000_000, acks).unwrap();
        builder.add(Box::new(interval), false);
    }
    let rows = builder.finish().rows;
    assert!(rows[0].p50_ns.is_some() && rows[0].p99_ns.is_none() && rows[0].max_ns.is_some());
    assert_eq!((rows[0].p50_bound, rows[0].max_bound), (None, None));
    assert!(rows[1].p99_ns.is_some());
    let upper = Some(Bound::Upper);
    assert_eq!((rows[1].p50_bound, rows[1].p99_bound, rows[1].max_bound), (upper, upper, upper));
}

#[test]
fn an_open_load_says_what_was_due() {
    let (spare, _keep) = unbounded();
    let schedule = Schedule::Even(Even::new(crate::workload::RecordRate::per_s(1000), 0, 0, 1));
    let mut builder = SeriesBuilder::new(timeline(3), Offered::new(vec![schedule]), 1, spare);
    (-5..3).for_each(|index| builder.add(interval(index, 100, 1000), false));
    let series = builder.finish();
    assert_eq!(series.rows.len(), 8);
    assert!(series.rows.iter().all(|row| row.offered == Some(100)));
    assert_eq!(series.rows[7].backlog_records, Some(800));
    assert_eq!(series.offered, Some(300), "the window's");
}

#[test]
fn the_first_interval_of_a_window_counts_what_was_due_although_no_thread_sent_it() {
    let (spare, _keep) = unbounded();
    let schedule = Schedule::Even(Even::new(crate::workload::RecordRate::per_s(1000), 0, 0, 1));
    let mut builder = SeriesBuilder::new(timeline(3), Offered::new(vec![schedule]), 1, spare);
    (1..3).for_each(|index| builder.add(interval(index, 150, 1000), false));
    let series = builder.finish();
    let offered: Vec<_> = series.rows.iter().map(|row| row.offered).collect();
    assert_eq!((offered, series.offered), (vec![Some(100); 3], Some(300)));
}
