//! Merges intervals, so that a sweep of very many trials keeps fewer and longer ones of each trial.
//!
//! Counts and histograms are added up, so only resolution is lost. The percentiles of a merged row cannot be computed and are
//! removed.

use crate::result::SeriesRow;
use crate::result::latency::{KeptInterval, Measure, new_histogram};

/// Merges neighbouring intervals, so that at most `most` are left.
pub fn thin_histograms(kept: &mut Vec<KeptInterval>, most: usize) {
    let size = kept.len().div_ceil(most.max(1)).max(1);
    *kept = kept.chunks(size).map(merged).collect();
}

/// Merges neighbouring rows, so that about `most` are left. A row before the window is never merged with one inside it.
pub fn thin_rows(rows: &mut Vec<SeriesRow>, most: usize) {
    let (size, before) = chunks_of(rows, most);
    let (before, inside) = rows.split_at(before);
    *rows = before.chunks(size).chain(inside.chunks(size)).map(merged_row).collect();
}

/// Thins the lags of a group, which belong to `rows`, as [`thin_rows`] thins those rows.
pub fn thin_lags(lags: &mut Vec<Option<u64>>, rows: &[SeriesRow], most: usize) {
    let (size, before) = chunks_of(rows, most);
    let (before, inside) = lags.split_at(before.min(lags.len()));
    let last = |lags: &[Option<u64>]| lags.last().copied().flatten();
    *lags = before.chunks(size).chain(inside.chunks(size)).map(last).collect();
}

/// Returns the number of rows that are merged into one, and the number of rows before the window.
fn chunks_of(rows: &[SeriesRow], most: usize) -> (usize, usize) {
    let size = rows.len().div_ceil(most.max(1)).max(1);
    (size, rows.partition_point(|row| row.t_s < -1e-9))
}

fn merged(intervals: &[KeptInterval]) -> KeptInterval {
    let (first, last) = (&intervals[0], &intervals[intervals.len() - 1]);
    let mut sum = KeptInterval::empty(first.start_s, last.start_s + last.length_s - first.start_s);
    for measure in Measure::ALL {
        let mut histogram = new_histogram();
        for part in intervals.iter().filter_map(|interval| interval.histogram(measure)) {
            histogram.add(&part).expect("every histogram here has the same bounds");
        }
        sum.set(measure, &histogram);
    }
    sum
}

fn merged_row(rows: &[SeriesRow]) -> SeriesRow {
    let (first, last) = (rows[0], rows[rows.len() - 1]);
    let length_s: f64 = rows.iter().map(|row| row.interval_s).sum();
    let cpu_s = rows.iter().map(|row| row.cpu.map(|cpu| cpu * row.interval_s)).sum::<Option<f64>>();
    let is_one = rows.len() == 1;
    let slowest = rows.iter().max_by_key(|row| row.max_ns);
    SeriesRow {
        interval_s: length_s,
        offered: rows.iter().map(|row| row.offered).sum(),
        achieved: rows.iter().map(|row| row.achieved).sum(),
        consumed: rows.iter().map(|row| row.consumed).sum(),
        p50_ns: first.p50_ns.filter(|_| is_one),
        p99_ns: first.p99_ns.filter(|_| is_one),
        p50_bound: first.p50_bound.filter(|_| is_one),
        p99_bound: first.p99_bound.filter(|_| is_one),
        max_ns: slowest.and_then(|row| row.max_ns),
        max_bound: slowest.and_then(|row| row.max_bound),
        device_bytes: rows.iter().map(|row| row.device_bytes).sum(),
        cpu: cpu_s.map(|cpu_s| cpu_s / length_s),
        t_s: first.t_s,
        ..last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_histograms_hold_every_value_and_cover_the_same_time() {
        let interval = |index: u32| {
            let mut kept = KeptInterval::empty(f64::from(index), 1.0);
            let mut histogram = new_histogram();
            histogram.record_n(u64::from(index) + 1, 3).unwrap();
            kept.set(Measure::Service, &histogram);
            kept
        };
        let mut kept: Vec<_> = (0..10).map(interval).collect();
        thin_histograms(&mut kept, 3);
        assert_eq!(
            kept.iter().map(|kept| (kept.start_s, kept.length_s)).collect::<Vec<_>>(),
            [(0.0, 4.0), (4.0, 4.0), (8.0, 2.0)]
        );
        let values: u64 =
            kept.iter().filter_map(|kept| kept.histogram(Measure::Service)).map(|h| h.len()).sum();
        assert_eq!(values, 30);
        assert!(kept[0].histogram(Measure::Response).is_none());
    }

    #[test]
    fn thinned_rows_add_up_and_none_crosses_into_the_window() {
        let row = |index: i32| SeriesRow {
            t_s: f64::from(index),
            interval_s: 1.0,
            offered: Some(5),
            achieved: 4,
            p99_ns: Some(7),
            max_ns: u64::try_from(index + 3).ok(),
            cpu: Some(0.5),
            ..SeriesRow::default()
        };
        let mut rows: Vec<_> = (-3..7).map(row).collect();
        let mut lags: Vec<_> = (0..10).map(Some).collect();
        thin_lags(&mut lags, &rows, 5);
        thin_rows(&mut rows, 5);
        assert_eq!(lags, [1, 2, 4, 6, 8, 9].map(Some), "each has the lag at its end");
        assert_eq!(rows.iter().map(|row| row.t_s).collect::<Vec<_>>(), [-3.0, -1.0, 0.0, 2.0, 4.0, 6.0]);
        assert_eq!(rows.iter().map(|row| row.achieved).sum::<u64>(), 40);
        assert_eq!(
            (rows[0].offered, rows[0].p99_ns, rows[0].max_ns, rows[0].cpu),
            (Some(10), None, Some(1), Some(0.5))
        );
        assert_eq!((rows[1].interval_s, rows[1].p99_ns), (1.0, Some(7)));
    }
}
