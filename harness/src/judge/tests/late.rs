//! Systems with known truth, and generators that are late on purpose. The truth is what a punctual generator measures: the same
//! service times, served in the same order.

use super::MS;
use crate::measure::histograms::{Latencies, Times};
use crate::num;
use crate::result::Bound;
use crate::result::latency::Measure;
use crate::result::latency::percentile::Percentile;
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use std::collections::BTreeMap;

pub(super) const RECORDS: usize = 20_000;
const QUANTILES: [f64; 5] = [0.5, 0.9, 0.95, 0.99, 0.999];
/// Systems of each kind of lateness.
const SYSTEMS: u64 = 100;

/// The ways in which a generator is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Lateness {
    /// Every record is late by the same time.
    Constant,
    /// Records are sent only at the ticks of a coarse timer.
    Bursts,
    /// The generator stands still now and then.
    Freezes,
    /// The generator sleeps until a record is due, and wakes up late.
    WakeUps,
    /// Records are due faster than the generator can send them, for a while or always.
    Overload,
}

const KINDS: [Lateness; 5] =
    [Lateness::Constant, Lateness::Bursts, Lateness::Freezes, Lateness::WakeUps, Lateness::Overload];

/// Draws a number whose logarithm is uniform.
pub(super) fn between(random: &mut SmallRng, low: f64, high: f64) -> f64 {
    low * (high / low).powf(random.random::<f64>())
}

pub(super) fn exponential(random: &mut SmallRng, mean: f64) -> f64 {
    mean * -(1.0 - random.random::<f64>()).ln()
}

/// A system that serves records in order.
pub(super) struct System {
    /// Time between two due records, ns.
    pub(super) interval_ns: f64,
    /// Service time of each record, ns.
    service_ns: Vec<u64>,
    /// Time that each record takes besides, in which the next can be served, ns.
    latency_ns: u64,
}

impl System {
    /// Draws a system with a load of 5 to 70 %, whose service times have a tail of stalls.
    pub(super) fn draw(random: &mut SmallRng) -> Self {
        let interval_ns = between(random, 20_000.0, 500_000.0);
        let mean_ns = interval_ns * (0.05 + 0.65 * random.random::<f64>());
        let (stall_share, stall_ns) = (between(random, 5e-5, 5e-3), between(random, 200_000.0, 8_000_000.0));
        let stall_share = stall_share.min(0.15 * interval_ns / stall_ns);
        let is_regular = random.random::<f64>() < 0.5;
        let service = |_| {
            let own = if is_regular { mean_ns } else { exponential(random, mean_ns) };
            let stall = if random.random::<f64>() < stall_share { stall_ns } else { 0.0 };
            num::u64_of(own + stall)
        };
        let service_ns = (0..RECORDS).map(service).collect();
        Self { interval_ns, service_ns, latency_ns: num::u64_of(between(random, 10_000.0, 3_000_000.0)) }
    }

    pub(super) fn due_ns(&self, record: usize) -> u64 {
        num::u64_of(self.interval_ns * num::f64_of(num::count(record)))
    }

    /// Returns when each record is done, if record `n` arrives at `arrivals_ns[n]`.
    pub(super) fn serve(&self, arrivals_ns: &[u64]) -> Vec<u64> {
        let mut free_ns = 0;
        let served = arrivals_ns.iter().zip(&self.service_ns).map(|(arrival_ns, service_ns)| {
            free_ns = free_ns.max(*arrival_ns) + service_ns;
            free_ns + self.latency_ns
        });
        served.collect()
    }

    /// Returns the true response times in ascending order.
    fn truth(&self) -> Vec<u64> {
        let dues: Vec<u64> = (0..RECORDS).map(|record| self.due_ns(record)).collect();
        let mut responses: Vec<u64> =
            self.serve(&dues).iter().zip(&dues).map(|(end, due)| end - due).collect();
        responses.sort_unstable();
        responses
    }

    /// Records what a generator measures that sends record `n` at `arrivals_ns[n]`.
    fn measured(&self, arrivals_ns: &[u64]) -> Latencies {
        let mut latencies = Latencies::default();
        for (record, (sent_ns, ended_ns)) in arrivals_ns.iter().zip(self.serve(arrivals_ns)).enumerate() {
            let due_ns = self.due_ns(record);
            let times = Times {
                intended_ns: Some(due_ns),
                generator_ns: sent_ns - due_ns,
                accepted_ns: *sent_ns,
                ended_ns,
            };
            latencies.records.record_times(&times, 1);
            latencies.distinct.record_n(Measure::Response, ended_ns - due_ns, 1);
        }
        latencies
    }

    /// Returns when a late generator sends each record.
    fn sent_late(&self, lateness: Lateness, random: &mut SmallRng) -> Vec<u64> {
        match lateness {
            Lateness::Constant => {
                let late_ns = num::u64_of(between(random, 20_000.0, 5_000_000.0));
                self.sent(|due_ns, _| due_ns + late_ns)
            }
            Lateness::Bursts => {
                let tick_ns = num::u64_of(between(random, 100_000.0, 10_000_000.0));
                self.sent(|due_ns, _| due_ns.div_ceil(tick_ns) * tick_ns)
            }
            Lateness::Freezes => {
                let (between_ns, mean_ns) =
                    (between(random, 10_000_000.0, 500_000_000.0), between(random, 200_000.0, 10_000_000.0));
                let mut freeze_ns = exponential(random, between_ns);
                let mut thaw_ns = freeze_ns + exponential(random, mean_ns);
                self.sent(|due_ns, _| {
                    while num::f64_of(due_ns) >= thaw_ns {
                        freeze_ns = thaw_ns + exponential(random, between_ns);
                        thaw_ns = freeze_ns + exponential(random, mean_ns);
                    }
                    if num::f64_of(due_ns) >= freeze_ns { num::u64_of(thaw_ns) } else { due_ns }
                })
            }
            Lateness::WakeUps => {
                let mean_ns = between(random, 20_000.0, 2_000_000.0);
                let mut awake_ns = 0;
                self.sent(|due_ns, _| {
                    if due_ns > awake_ns {
                        awake_ns = due_ns + num::u64_of(exponential(random, mean_ns));
                    }
                    awake_ns
                })
            }
            Lateness::Overload => {
                let (slow, fast) = (1.05 + 0.5 * random.random::<f64>(), 0.1 + 0.7 * random.random::<f64>());
                let always = random.random::<f64>() < 0.1;
                let (slow_records, fast_records) =
                    (between(random, 20.0, 1000.0), between(random, 500.0, 20_000.0));
                let (mut is_slow, mut left) = (always, exponential(random, fast_records));
                self.sent(|due_ns, last_ns| {
                    left -= 1.0;
                    if left < 0.0 {
                        is_slow = always || !is_slow;
                        left = exponential(random, if is_slow { slow_records } else { fast_records });
                    }
                    let takes_ns = self.interval_ns * if is_slow { slow } else { fast };
                    due_ns.max(last_ns + num::u64_of(takes_ns))
                })
            }
        }
    }

    /// Returns the time of each record by `sent`, which gets its due time and the time of the last one.
    fn sent(&self, mut sent: impl FnMut(u64, u64) -> u64) -> Vec<u64> {
        let mut last_ns = 0;
        let times = (0..RECORDS).map(|record| {
            last_ns = sent(self.due_ns(record), last_ns).max(last_ns);
            last_ns
        });
        times.collect()
    }
}

/// Percentiles of late generators: how many are far from the truth or near it, and how many of those are printed as bounds.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    far: u32,
    far_bounds: u32,
    near: u32,
    near_bounds: u32,
}

impl Tally {
    fn count(&mut self, found: Percentile, truth_ns: u64) {
        let is_bound = u32::from(found.bound == Some(Bound::Upper));
        let ratio = num::f64_of(found.ns) / num::f64_of(truth_ns);
        if ratio > 1.25 && found.ns > truth_ns + MS / 10 {
            self.far += 1;
            self.far_bounds += is_bound;
        } else if ratio <= 1.1 {
            self.near += 1;
            self.near_bounds += is_bound;
        }
    }

    fn add(&mut self, other: Self) {
        self.far += other.far;
        self.far_bounds += other.far_bounds;
        self.near += other.near;
        self.near_bounds += other.near_bounds;
    }

    fn shares(self) -> (f64, f64) {
        let share = |part: u32, whole: u32| f64::from(part) / f64::from(whole.max(1));
        (share(self.far_bounds, self.far), share(self.near_bounds, self.near))
    }
}

fn exact(truth_ns: &[u64], quantile: f64) -> u64 {
    let rank = num::index_of_f64((num::f64_of(num::count(truth_ns.len())) * quantile).ceil());
    truth_ns[rank - 1]
}

fn tally(lateness: Lateness, seed: u64) -> Tally {
    let mut random = SmallRng::seed_from_u64(seed);
    let system = System::draw(&mut random);
    let (truth, sent) = (system.truth(), system.sent_late(lateness, &mut random));
    let latencies = system.measured(&sent);
    let values = latencies.values(Measure::Response, None);
    let mut tally = Tally::default();
    for quantile in QUANTILES {
        tally.count(values.at_quantile(quantile).expect("ten acks lie beyond"), exact(&truth, quantile));
    }
    tally
}

#[test]
fn percentiles_that_a_late_generator_made_are_printed_as_bounds_and_others_are_not() {
    let mut tallies: BTreeMap<Lateness, Tally> = BTreeMap::new();
    let mut whole = Tally::default();
    for (kind, lateness) in (0..).zip(KINDS) {
        let sum = tallies.entry(lateness).or_default();
        (0..SYSTEMS).for_each(|number| sum.add(tally(lateness, SYSTEMS * kind + number)));
        whole.add(*sum);
    }
    for (lateness, tally) in &tallies {
        assert!(tally.far >= 20 && tally.near >= 20, "{lateness:?} says something: {tally:?}");
        let (far, near) = tally.shares();
        assert!(far >= 0.9 && near <= 0.05, "{lateness:?}: {tally:?}");
    }
    let (far, near) = whole.shares();
    assert!(far >= 0.9, "{far} of those that are too high are bounds: {tallies:#?}");
    assert!(near <= 0.05, "{near} of those that are right are bounds: {tallies:#?}");
}

#[test]
fn a_fast_system_with_rare_stalls_under_a_generator_that_freezes() {
    let mut random = SmallRng::seed_from_u64(1);
    let mut of = |share: f64, ns: u64| if random.random::<f64>() < share { ns } else { 0 };
    let service_ns = (0..RECORDS).map(|_| of(0.0002, 4 * MS) + 20_000).collect();
    let system = System { interval_ns: 1e6, service_ns, latency_ns: 30_000 };
    let mut thaw_ns = 0;
    let sent = system.sent(|due_ns, _| {
        if due_ns >= thaw_ns {
            thaw_ns = due_ns + of(0.008, 4 * MS);
        }
        thaw_ns.max(due_ns)
    });
    let (truth, latencies) = (system.truth(), system.measured(&sent));
    let values = latencies.values(Measure::Response, None);
    for quantile in [0.98, 0.99] {
        let found = values.at_quantile(quantile).unwrap();
        assert!(exact(&truth, quantile) < 60_000 && found.ns > MS, "{quantile}: {found:?}");
        assert_eq!(found.bound, Some(Bound::Upper), "{quantile}: {found:?}");
    }
    let p50 = values.at_quantile(0.5).unwrap();
    assert!(p50.bound.is_none() && p50.ns < 60_000, "{p50:?}");
}

#[test]
fn a_punctual_generator_measures_the_truth_without_bounds() {
    for seed in 0..10 {
        let mut random = SmallRng::seed_from_u64(seed);
        let system = System::draw(&mut random);
        let (truth, latencies) = (system.truth(), system.measured(&system.sent(|due_ns, _| due_ns)));
        for quantile in QUANTILES {
            let found = latencies.values(Measure::Response, None).at_quantile(quantile).unwrap();
            let exact = exact(&truth, quantile);
            assert!(
                found.ns.abs_diff(exact) <= exact / 1000 + 1 && found.bound.is_none(),
                "{found:?}, {exact}"
            );
        }
    }
}
