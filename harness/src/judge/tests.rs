//! The test-bed without a disk: percentiles against systems whose service times, hangs and refusals are known, in simulated
//! time. The load threads, the histograms and the rules are those of real trials.
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tests")]

mod late;
mod steady;

use crate::load::tests::bed::{MS, S, acks_after, open, run, run_with_pause};
use crate::measure::finished::Harvest;
use crate::result::Bound;
use crate::result::ErrorKind;
use crate::result::latency::Measure;
use crate::result::latency::percentile::Percentile;
use crate::system::fake::{Behaviour, Failing, Server};
use crate::workload::{Arrival, Bytes, LoadMode, TimeSpan};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

const QUANTILES: [f64; 6] = [0.5, 0.9, 0.95, 0.99, 0.999, 0.9999];

fn at(harvest: &Harvest, measure: Measure, quantile: f64) -> Option<Percentile> {
    let censored = harvest.censored[measure as usize];
    harvest.latencies.values(measure, censored.from_ns).at_quantile(quantile)
}

fn response(harvest: &Harvest, quantile: f64) -> Percentile {
    at(harvest, Measure::Response, quantile).unwrap()
}

fn share_above(harvest: &Harvest, ns: u64) -> f64 {
    let records = harvest.latencies.records.of(Measure::Response);
    records.count_between(ns, u64::MAX) as f64 / records.len() as f64
}

#[test]
fn percentiles_are_those_of_the_sorted_response_times() {
    for seed in 0..5 {
        let mut random = SmallRng::seed_from_u64(seed);
        let batch_ns = (0..997).map(|_| (100_000.0 * -random.random::<f64>().ln()) as u64).collect();
        let server = Server { record_ns: 20_000, batch_ns, ..Server::default() };
        let ran = run(&open(2000), Behaviour { stamps: true, server: Some(server), ..Behaviour::default() });
        let truth = ran.true_responses();
        assert_eq!(truth.len(), 20_000);
        let harvest = ran.harvest();
        for quantile in QUANTILES {
            let rank = (truth.len() as f64 * quantile).ceil() as usize;
            let exact = truth[rank - 1];
            match at(&harvest, Measure::Response, quantile) {
                Some(found) => {
                    assert!(
                        found.ns.abs_diff(exact) <= exact / 1000 + 1,
                        "{quantile}: {found:?}, not {exact}"
                    );
                    assert_eq!(found.bound, None, "the generator was in time");
                }
                None => assert!(truth.len() - rank < 11, "ten acks lie beyond {quantile}"),
            }
        }
        let max = harvest.latencies.values(Measure::Response, None).max().unwrap();
        assert!(max.ns.abs_diff(truth[truth.len() - 1]) <= max.ns / 1000 + 1);
    }
}

#[test]
fn the_same_seed_gives_the_same_histograms_and_another_seed_gives_others() {
    let histograms = |seed| {
        let mut workload = open(1000);
        workload.payload.seed = seed;
        if let LoadMode::Open { arrival, .. } = &mut workload.load.mode {
            *arrival = Arrival::Poisson;
        }
        let server = Server { record_ns: MS / 2, ..Server::default() };
        let harvest = run(&workload, Behaviour { server: Some(server), ..Behaviour::default() }).harvest();
        let records = &harvest.latencies.records;
        Measure::ALL.map(|measure| {
            records
                .of(measure)
                .iter_recorded()
                .map(|it| (it.value_iterated_to(), it.count_at_value()))
                .collect::<Vec<_>>()
        })
    };
    let first = histograms(7);
    assert!(!first[Measure::Response as usize].is_empty());
    assert!(first == histograms(7));
    assert!(first != histograms(8));
}

#[test]
fn a_stall_of_a_second_every_ten_seconds_shows_as_the_arithmetic_says() {
    // The server can do twice the load. It is behind for 2 s after each stall begins, and a record that is due u seconds
    // after that waits 1 − u/2 seconds. So a share of 2 ÷ 10 × (1 − x) of the records wait longer than x seconds.
    let server = Server { record_ns: MS / 2, period_ns: 10 * S, hang_ns: S, ..Server::default() };
    let mut workload = open(1000);
    workload.phases.measure = TimeSpan::seconds(40);
    workload.load.in_flight_bytes = Bytes::mib(32);
    let harvest = run(&workload, Behaviour { server: Some(server), ..Behaviour::default() }).harvest();
    for x in [0.1, 0.25, 0.5, 0.75, 0.9] {
        let (share, expected) = (share_above(&harvest, (x * 1e9) as u64), 0.2 * (1.0 - x));
        assert!((share / expected - 1.0).abs() < 0.05, "{share} wait longer than {x} s, not {expected}");
    }
    for (quantile, expected_s) in [(0.85, 0.25), (0.9, 0.5), (0.95, 0.75), (0.99, 0.95)] {
        let found = response(&harvest, quantile);
        let found_s = found.ns as f64 * 1e-9;
        assert!((found_s / expected_s - 1.0).abs() < 0.05, "p{}: {found_s} s", 100.0 * quantile);
        assert_eq!(found.bound, None);
    }
}

#[test]
fn a_hang_at_the_windows_end_reads_as_at_least_its_age() {
    let mut workload = open(1000);
    workload.phases.drain = TimeSpan::seconds(5);
    // The window is from 1 s to 11 s. The system hangs from 9 s on, and the drain ends at 16 s.
    let harvest =
        run(&workload, Behaviour { stall: 9 * S..100 * S, ack_ns: MS, ..Behaviour::default() }).harvest();
    let censored = harvest.censored[Measure::Response as usize];
    assert!(censored.records.abs_diff(2000) <= 2, "{censored:?}");
    assert!(censored.from_ns.unwrap().abs_diff(5 * S) < 10 * MS, "{censored:?}");
    assert_eq!(response(&harvest, 0.5).bound, None);
    for (quantile, age_s) in [(0.85, 5.5), (0.9, 6.0), (0.99, 6.9), (0.999, 6.99), (0.9999, 6.999)] {
        let found = response(&harvest, quantile);
        assert_eq!(found.bound, Some(Bound::Lower), "{quantile}: {found:?}");
        let age_ns = (age_s * 1e9) as u64;
        assert!(found.ns + 2 * MS > age_ns && found.ns < age_ns + 20 * MS, "{quantile}: {found:?}");
    }
}

#[test]
fn records_that_failed_read_as_at_least_their_age_however_fast_they_failed() {
    // The window is from 1 s to 11 s. From 3 s on every record fails within 1 ms, as on a full disk.
    let failing = Failing { during: 3 * S..100 * S, kind: ErrorKind::NoSpace, is_stored: false };
    for load in [open(1000), open(1_000_000)] {
        let behaviour = Behaviour { ack_ns: MS, failing: Some(failing.clone()), ..Behaviour::default() };
        let harvest = run(&load, behaviour).harvest();
        for measure in [Measure::Response, Measure::Own, Measure::Service] {
            let records = harvest.latencies.records.of(measure).len();
            let share = harvest.censored[measure as usize].records as f64 / records as f64;
            assert!((0.79..0.81).contains(&share), "{measure:?}: {share}");
            // A fifth was acked. The other ages are spread evenly from 0 s to 8 s.
            let (p50, p99) = (at(&harvest, measure, 0.5).unwrap(), at(&harvest, measure, 0.99).unwrap());
            assert_eq!((p50.bound, p99.bound), (Some(Bound::Lower), Some(Bound::Lower)));
            assert!((2950 * MS..3050 * MS).contains(&p50.ns), "{measure:?}: {p50:?}");
            assert!((7850 * MS..7950 * MS).contains(&p99.ns), "{measure:?}: {p99:?}");
        }
    }
}

#[test]
fn records_that_the_system_never_took_read_as_at_least_their_age() {
    let mut workload = open(1000);
    workload.load.in_flight_bytes = Bytes(100 * 100);
    let behaviour = Behaviour { stall: 9 * S..100 * S, ack_ns: MS, ..Behaviour::default() };
    let harvest = run(&workload, behaviour).harvest();
    assert!(harvest.censored[Measure::Response as usize].records.abs_diff(2000) <= 2);
    assert!(harvest.censored[Measure::Service as usize].records.abs_diff(100) <= 2);
    for measure in [Measure::Response, Measure::Own, Measure::EndToEnd, Measure::Blocked] {
        let p90 = at(&harvest, measure, 0.9).unwrap();
        assert!(p90.bound == Some(Bound::Lower) && p90.ns > 2900 * MS, "{measure:?}: {p90:?}");
    }
    assert_eq!(at(&harvest, Measure::PacingLag, 0.9).unwrap().bound, None, "the generator's part is over");
}

#[test]
fn a_generator_that_picks_acks_up_late_adds_nothing_to_a_system_that_stamps_them() {
    let pause = (5 * S, 300 * MS);
    let run = |stamps| {
        let behaviour = Behaviour { ack_ns: 50 * MS, stamps, ..Behaviour::default() };
        run_with_pause(&open(1000), behaviour, 1, pause).harvest()
    };
    let max = |harvest: &Harvest, measure| harvest.latencies.records.of(measure).max();
    let stamped = run(true);
    assert!(max(&stamped, Measure::Service) < 51 * MS);
    assert!(max(&stamped, Measure::AckPickup) > 290 * MS);
    assert_eq!(stamped.latencies.records.of(Measure::AckPickup).len(), 10_000);
    let unstamped = run(false);
    assert!(max(&unstamped, Measure::Service) > 290 * MS, "the pick-up cannot be told apart");
    assert!(unstamped.latencies.records.of(Measure::AckPickup).is_empty());
}

#[test]
fn a_refusal_ends_when_room_has_come_and_the_rest_is_the_generators() {
    // The system refuses records from 5.1 s to 6 s. The generator sleeps from 5.5 s to 8 s.
    let mut workload = open(1000);
    workload.load.in_flight_bytes = Bytes(100 * 100);
    let behaviour = Behaviour { ack_ns: MS, stall: 5 * S..6 * S, stamps: true, ..Behaviour::default() };
    let harvest = run_with_pause(&workload, behaviour, 1, (5500 * MS, 2500 * MS)).harvest();
    let max = |measure| harvest.latencies.records.of(measure).max();
    assert!((880 * MS..920 * MS).contains(&max(Measure::Blocked)), "{}", max(Measure::Blocked));
    assert!(max(Measure::PacingLag) > 1980 * MS, "{}", max(Measure::PacingLag));
    // The records that waited come back in few acks, so the rule of ten acks is left out here.
    let p99 = harvest.latencies.records.values(Measure::Response).at_quantile(0.99).unwrap();
    assert!(p99.bound == Some(Bound::Upper) && p99.ns > 2500 * MS, "{p99:?}");
    assert_eq!(response(&harvest, 0.5).bound, None);
}

#[test]
fn the_parts_of_a_response_add_up() {
    let behaviour = Behaviour { stamps: true, ..acks_after(3 * MS) };
    let harvest = run_with_pause(&open(1000), behaviour, 1, (5 * S, 40 * MS)).harvest();
    let records = &harvest.latencies.records;
    let sum = |measure| records.of(measure).mean() * records.of(measure).len() as f64;
    let parts = sum(Measure::PacingLag) + sum(Measure::Blocked) + sum(Measure::Service);
    assert!((sum(Measure::Response) / parts - 1.0).abs() < 0.002);
    let own = sum(Measure::Own) + records.generator_ns().len() as f64;
    assert!((sum(Measure::Response) / own - 1.0).abs() < 0.002);
}
