//! Systems whose latency is steady, and systems whose latency drifts: the rule for drift flags the second kind and not the first.

use super::late::{RECORDS, System, between, exponential};
use crate::judge::verdict::drift;
use crate::num;
use crate::result::latency::{KeptInterval, Measure, new_histogram};
use crate::stats;
use rand::SeedableRng as _;
use rand::rngs::SmallRng;

/// Intervals of a window.
const INTERVALS: usize = 100;
const SYSTEMS: u64 = 500;

/// A window of a system that a punctual generator loads.
struct Window {
    kept: Vec<KeptInterval>,
    window_s: f64,
    /// The latency of each record, in the order of the due times.
    latencies_ns: Vec<u64>,
}

impl Window {
    /// The window of a system whose records take `more_ns` besides, by their number.
    fn of(system: &System, more_ns: impl Fn(usize) -> u64) -> Self {
        let dues: Vec<u64> = (0..RECORDS).map(|record| system.due_ns(record)).collect();
        let window_ns = num::u64_of(system.interval_ns * num::f64_of(num::count(RECORDS)));
        let mut histograms: Vec<_> = (0..INTERVALS).map(|_| new_histogram()).collect();
        let ends = system.serve(&dues).into_iter().enumerate();
        let ends: Vec<u64> = ends.map(|(record, end_ns)| end_ns + more_ns(record)).collect();
        let latencies_ns: Vec<u64> = ends.iter().zip(&dues).map(|(end, due)| end - due).collect();
        for (end_ns, latency_ns) in ends.iter().zip(&latencies_ns) {
            // What is acked after the window belongs to the drain.
            let index = *end_ns as usize * INTERVALS / window_ns as usize;
            if let Some(histogram) = histograms.get_mut(index) {
                histogram.record(*latency_ns).unwrap();
            }
        }
        let window_s = num::f64_of(window_ns) * 1e-9;
        let length_s = window_s / INTERVALS as f64;
        let kept = histograms.iter().enumerate().map(|(index, histogram)| {
            let mut kept = KeptInterval::empty(length_s * index as f64, length_s);
            kept.set(Measure::Own, histogram);
            kept
        });
        Self { kept: kept.collect(), window_s, latencies_ns }
    }

    fn is_flagged(&self) -> bool {
        drift::of(&self.kept, self.window_s).is_some()
    }

    /// Whether the median of the second half is at least twice that of the first, and 0.2 ms more.
    fn has_doubled(&self) -> bool {
        let median = |half: &[u64]| {
            let values: Vec<f64> = half.iter().map(|ns| num::f64_of(*ns)).collect();
            stats::median(&values).unwrap()
        };
        let (first, second) = self.latencies_ns.split_at(RECORDS / 2);
        let (first, second) = (median(first), median(second));
        second >= 2.0 * first && second - first >= 200_000.0
    }
}

#[test]
fn of_steady_systems_at_most_one_in_a_hundred_is_flagged() {
    let systems = (0..SYSTEMS).map(|seed| System::draw(&mut SmallRng::seed_from_u64(seed)));
    let flagged = systems.filter(|system| Window::of(system, |_| 0).is_flagged()).count();
    assert!(flagged <= 5, "{flagged} of {SYSTEMS} steady systems were flagged");
}

/// The time that records take besides in bursts, which last some hundredths of the window and come now and then.
fn bursts(random: &mut SmallRng) -> Vec<u64> {
    let (within, between_bursts) = (between(random, 200.0, 2000.0), between(random, 1000.0, 10_000.0));
    let more_ns = between(random, 200_000.0, 5_000_000.0);
    let (mut is_burst, mut left) = (false, exponential(random, between_bursts));
    let record = |_| {
        left -= 1.0;
        if left < 0.0 {
            is_burst = !is_burst;
            left = exponential(random, if is_burst { within } else { between_bursts });
        }
        if is_burst { num::u64_of(exponential(random, more_ns)) } else { 0 }
    };
    (0..RECORDS).map(record).collect()
}

#[test]
fn of_systems_with_bursts_of_noise_at_most_one_in_a_hundred_is_flagged() {
    let is_flagged = |seed: &u64| {
        let mut random = SmallRng::seed_from_u64(*seed);
        let (system, more_ns) = (System::draw(&mut random), bursts(&mut random));
        Window::of(&system, |record| more_ns[record]).is_flagged()
    };
    let flagged = (0..SYSTEMS).filter(is_flagged).count();
    assert!(flagged <= 5, "{flagged} of {SYSTEMS} steady systems were flagged");
}

#[test]
fn systems_that_become_slower_within_the_window_are_flagged() {
    let (mut slower, mut flagged) = (0, 0);
    for seed in 0..SYSTEMS {
        let mut random = SmallRng::seed_from_u64(seed);
        let system = System::draw(&mut random);
        let grows_ns = between(&mut random, 300_000.0, 30_000_000.0);
        let window = Window::of(&system, |record| num::u64_of(grows_ns * record as f64 / RECORDS as f64));
        if window.has_doubled() {
            slower += 1;
            flagged += u32::from(window.is_flagged());
        }
    }
    assert!(slower >= 100, "{slower} systems became slower by enough");
    assert!(f64::from(flagged) >= 0.95 * f64::from(slower), "{flagged} of {slower} were flagged");
}
