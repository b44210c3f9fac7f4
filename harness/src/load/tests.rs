//! Load threads with the fake system and a clock that the tests move: the promises that the measurement makes.

pub(crate) mod bed;

use super::plan::topic_name;
use crate::judge::integrity::Integrity;
use crate::result::ErrorKind;
use crate::result::latency::Measure;
use crate::system::fake::{Behaviour, Failing, Fault};
use crate::workload::{
    Bytes, KeyDistribution, LoadMode, MessageSize, OnError, Phases, TimeSpan, WeightedSize,
};
use bed::{MS, S, acks_after, open, run, run_with_pause, with_mode};
use std::time::Duration;

#[test]
fn an_open_load_offers_exactly_its_rate_and_everything_comes_back() {
    let ran = run(&open(1000), acks_after(2 * MS));
    let window = ran.window();
    assert_eq!(window.acked_records, 10_000);
    assert_eq!(window.acked_bytes, 10_000 * 100);
    assert_eq!(window.consumed_records, 10_000);
    assert_eq!(
        ran.all().latency.of(Measure::Response).len(),
        10_000,
        "latency is of the records intended inside"
    );
    assert_eq!(ran.system.len(&topic_name(0), 0), 11_000, "nothing is intended after the window");
    assert_eq!(ran.integrity(), Integrity { checked: 11_000, ..Integrity::default() });
    let service = ran.all().latency.of(Measure::Service).max();
    assert!((2 * MS..2 * MS + MS / 100).contains(&service), "{service}");
}

#[test]
fn a_stall_shows_in_the_response_of_every_record_it_delayed() {
    let stall = 5 * S..6 * S;
    let ran = run(&open(1000), Behaviour { ack_ns: MS, stall, ..Behaviour::default() });
    let latency = ran.all().latency;
    let response = latency.of(Measure::Response);
    // One record was due each millisecond. Those of the first half second of the stall waited at least the other half.
    let slow = response.count_between(500 * MS, u64::MAX);
    assert!((495..=505).contains(&slow), "{slow}");
    assert!(response.max() > 990 * MS);
    assert_eq!(response.len(), 10_000);
    assert_eq!(ran.window().acked_records, 10_000, "nothing was skipped");
}

#[test]
fn back_pressure_is_the_systems_and_not_the_generators() {
    let mut workload = open(1000);
    workload.load.in_flight_bytes = Bytes(100 * 100);
    let ran = run(&workload, Behaviour { ack_ns: MS, stall: 5 * S..6 * S, ..Behaviour::default() });
    assert!(ran.max_ns(Measure::Blocked) > 890 * MS);
    assert!(ran.max_ns(Measure::PacingLag) < 2 * MS);
    assert!(ran.max_ns(Measure::Response) > 990 * MS);
    assert_eq!(ran.window().acked_records, 10_000);
    assert!(!ran.integrity().is_violated());
}

#[test]
fn a_generator_that_is_held_up_is_pacing_lag_and_shows_in_response() {
    let ran = run_with_pause(&open(1000), acks_after(MS), 1, (5 * S, 300 * MS));
    assert!(ran.max_ns(Measure::PacingLag) > 295 * MS);
    assert_eq!(ran.max_ns(Measure::Blocked), 0);
    assert!(ran.max_ns(Measure::Response) > 295 * MS);
    assert_eq!(ran.window().acked_records, 10_000, "it catches up");
}

#[test]
fn what_is_never_acked_enters_at_its_age() {
    let mut workload = open(1000);
    workload.load.in_flight_bytes = Bytes(500 * 100);
    let ran = run(&workload, Behaviour { ack_ns: MS, stall: 10 * S..100 * S, ..Behaviour::default() });
    let producer = &ran.outcomes[0].producers[0];
    assert_eq!(
        producer.unacked + producer.never_accepted,
        1000 + 1,
        "the last second, and the one in flight"
    );
    let latency = ran.all().latency;
    let response = latency.of(Measure::Response);
    assert_eq!(response.len(), 10_000);
    // The oldest record was due at 10 s and the drain ends at 13 s.
    assert!((2990 * MS..3010 * MS).contains(&response.max()), "{}", response.max());
    assert_eq!(response.count_between(2000 * MS, u64::MAX), 1001);
}

#[test]
fn max_fills_what_may_be_in_flight_and_throughput_is_acks_over_the_window() {
    let mut workload = with_mode(LoadMode::Max);
    workload.load.in_flight_bytes = Bytes(640 * 100);
    workload.batch.max_records = 64;
    let ran = run(&workload, acks_after(10 * MS));
    let window = ran.window();
    // 640 records are in flight, and a round trip takes 10 ms.
    assert_eq!(window.acked_records, 640 * 1000);
    let latency = ran.all().latency;
    assert_eq!(latency.of(Measure::Service).len(), 640 * 1000);
    assert!(latency.of(Measure::Response).is_empty(), "nothing is intended");
    assert!(latency.of(Measure::PacingLag).is_empty() && latency.of(Measure::EndToEnd).is_empty());
    assert!(ran.system.batches().iter().all(|records| *records == 64), "batches are full");
}

#[test]
fn max_does_not_wait_for_ever_on_batches_that_are_open() {
    let mut workload = with_mode(LoadMode::Max);
    workload.partitions_per_topic = 8;
    workload.key_distribution = KeyDistribution::RoundRobin;
    workload.load.in_flight_bytes = Bytes(20 * 100);
    let ran = run(&workload, acks_after(10 * MS));
    assert_eq!(ran.window().acked_records, 20 * 1000);
}

#[test]
fn closed_keeps_its_batches_in_flight() {
    let mut workload = with_mode(LoadMode::Closed { in_flight: 3 });
    workload.batch.max_records = 10;
    let ran = run(&workload, acks_after(10 * MS));
    assert_eq!(ran.window().acked_records, 30 * 1000);
    assert!(ran.system.batches().iter().all(|records| *records == 10));
}

#[test]
fn one_record_at_a_time_is_a_closed_load_of_one() {
    let mut workload = with_mode(LoadMode::Closed { in_flight: 1 });
    workload.batch.max_records = 1;
    let ran = run(&workload, acks_after(MS));
    assert_eq!(ran.window().acked_records, 10_000);
    assert_eq!(ran.max_ns(Measure::Service) / MS, 1);
}

#[test]
fn a_batch_waits_for_its_linger_and_no_longer() {
    let mut workload = open(1000);
    workload.batch.linger = TimeSpan(Duration::from_millis(5));
    let ran = run(&workload, acks_after(MS));
    let batches = ran.system.batches();
    assert!(batches[1..batches.len() - 1].iter().all(|records| (5..=6).contains(records)), "{batches:?}");
    assert!(ran.max_ns(Measure::Response) <= 6 * MS + MS / 10);
}

#[test]
fn sticky_producers_fill_a_batch_and_move_on() {
    let mut workload = with_mode(LoadMode::Max);
    workload.partitions_per_topic = 4;
    workload.load.in_flight_bytes = Bytes(6400 * 100);
    let ran = run(&workload, acks_after(10 * MS));
    let batches = ran.system.batches();
    let full = batches.iter().filter(|records| **records > 500).count();
    assert!(full * 10 >= batches.len() * 9, "{full} of {}", batches.len());
    let lengths: Vec<u64> = (0..4).map(|partition| ran.system.len(&topic_name(0), partition)).collect();
    let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    assert!(most - least < most / 50, "{lengths:?}");
    assert!(!ran.integrity().is_violated());
}

#[test]
fn many_producers_consumers_and_groups_share_threads_without_losing_count() {
    let mut workload = open(4000);
    (workload.topics, workload.partitions_per_topic) = (2, 5);
    (workload.producers_per_topic, workload.subscriptions_per_topic) = (3, 2);
    workload.consumers_per_subscription = 2;
    workload.key_distribution = KeyDistribution::Uniform;
    let ran = run_with_pause(&workload, acks_after(MS), 2, (u64::MAX, 0));
    let window = ran.window();
    assert!(window.acked_records.abs_diff(40_000) <= 10, "{}", window.acked_records);
    assert!(window.consumed_records.abs_diff(80_000) <= 20, "every group reads everything");
    let integrity = ran.integrity();
    assert!(integrity.checked.abs_diff(88_000) <= 20);
    assert!(!integrity.is_violated());
    assert_eq!(integrity.undrained, 0);
}

#[test]
fn above_a_million_a_second_a_hand_over_is_timed_by_its_oldest_record() {
    let mut workload = open(2_000_000);
    let ms = |ms| TimeSpan(Duration::from_millis(ms));
    workload.phases = Phases { warmup: ms(10), measure: ms(100), drain: ms(100) };
    let ran = run(&workload, acks_after(MS));
    let latency = ran.all().latency;
    assert!(latency.of(Measure::Response).len().abs_diff(200_000) <= 2000);
    assert!(latency.of(Measure::EndToEnd).len().abs_diff(200_000) <= 2000);
    assert!(ran.max_ns(Measure::Response) >= MS);
    assert_eq!(ran.integrity().gaps, 0);
}

#[test]
fn every_fault_is_counted_as_what_it_is() {
    let faults =
        [(100, Fault::Lose), (200, Fault::Repeat), (300, Fault::SwapWithNext), (400, Fault::Corrupt)];
    let ran = run(&open(1000), Behaviour { ack_ns: MS, faults: faults.into(), ..Behaviour::default() });
    let integrity = ran.integrity();
    assert_eq!((integrity.duplicates, integrity.reorders, integrity.corruptions), (1, 1, 1));
    // The stamp of a corrupt record cannot be read, so the record also counts as missing.
    assert_eq!(integrity.gaps, 2);
    assert!(integrity.is_violated());
}

#[test]
fn a_consumer_that_is_only_slow_has_lost_nothing() {
    let ran = run(&open(1000), Behaviour { ack_ns: MS, hidden_from: Some(9000), ..Behaviour::default() });
    let integrity = ran.integrity();
    assert_eq!((integrity.undrained, integrity.is_violated()), (2000, false));
}

#[test]
fn a_failed_append_ends_the_trial_and_names_the_partition() {
    let mut workload = open(1000);
    workload.on_error = OnError::End;
    let ran = run(&workload, Behaviour { ack_ns: MS, fail_at: Some(5000), ..Behaviour::default() });
    let error = ran.outcomes[0].error.as_ref().unwrap();
    assert!(format!("{error:#}").contains("vnotch-0-0"), "{error:#}");
    assert!(ran.all().failed_records > 0);
    assert!(!ran.integrity().is_violated(), "what failed may be missing");
}

/// A system that fails every batch for one second of the window.
fn failing(is_stored: bool) -> Behaviour {
    let failing = Failing { during: 5 * S..6 * S, kind: ErrorKind::NoSpace, is_stored };
    Behaviour { ack_ns: 200 * MS, failing: Some(failing), ..Behaviour::default() }
}

#[test]
fn records_that_fail_are_counted_by_kind_and_the_load_continues() {
    let ran = run(&open(1000), failing(false));
    assert!(ran.outcomes[0].error.is_none());
    let figures = ran.outcomes[0].recorded.errors.figures(&ran.timeline);
    let [figure] = &figures[..] else { panic!("{figures:?}") };
    assert_eq!((figure.kind, figure.records, &*figure.example), (ErrorKind::NoSpace, 1000, "injected"));
    // The window opens after a warm-up of 1 s, and an outcome takes 200 ms.
    assert!((4.19..4.21).contains(&figure.first_s) && (5.19..5.21).contains(&figure.last_s), "{figure:?}");
    assert_eq!(ran.window().acked_records + ran.window().failed_records, 10_000);
    assert_eq!(ran.integrity(), Integrity { checked: 10_000, ..Integrity::default() });
}

#[test]
fn records_that_failed_and_arrived_all_the_same_are_no_fault() {
    let ran = run(&open(1000), failing(true));
    assert_eq!(ran.outcomes[0].recorded.errors.records(), 1000);
    assert_eq!(ran.integrity(), Integrity { checked: 11_000, ..Integrity::default() });
}

#[test]
fn a_record_that_failed_enters_at_its_age_when_the_drain_ends() {
    let ran = run(&open(1000), failing(false));
    let latency = ran.all().latency;
    assert_eq!(latency.of(Measure::Response).len(), 10_000, "none is left out");
    assert_eq!(latency.of(Measure::Service).len(), 10_000, "none is left out");
    // Records that were due between 5 s and 6 s fail. The last ack comes 200 ms after the window's end at 11 s.
    for measure in [Measure::Response, Measure::Own, Measure::Service] {
        let censored = &ran.outcomes[0].producers[0].censored[measure as usize];
        assert_eq!(censored.records, 1000);
        assert!((5190 * MS..=5210 * MS).contains(&censored.from_ns.unwrap()), "{measure:?}: {censored:?}");
        let slow = latency.of(measure).count_between(5 * S, 7 * S);
        assert_eq!(slow, 1000, "{measure:?}");
    }
}

#[test]
fn what_was_acked_and_is_not_found_stays_a_fault_beside_errors() {
    let faults = [(100, Fault::Lose)].into();
    let ran = run(&open(1000), Behaviour { faults, ..failing(false) });
    assert_eq!((ran.integrity().gaps, ran.outcomes[0].recorded.errors.records()), (1, 1000));
}

#[test]
fn a_record_that_is_refused_for_good_is_skipped_and_nobody_waits_for_it() {
    let mut workload = open(1000);
    let sizes = [(Bytes(100), 3.0), (Bytes(200), 1.0)];
    workload.message_size =
        MessageSize::Weighted(sizes.map(|(size, weight)| WeightedSize { size, weight }).to_vec());
    let ran = run(&workload, Behaviour { ack_ns: MS, refuses_bytes: Some(200), ..Behaviour::default() });
    let refused = ran.outcomes[0].recorded.errors.records();
    assert!((2000..3500).contains(&refused), "a quarter of 11,000 are too large: {refused}");
    assert_eq!(ran.integrity(), Integrity { checked: 11_000 - refused, ..Integrity::default() });
    let latency = ran.all().latency;
    assert_eq!(latency.of(Measure::Response).len(), 10_000, "none is left out");
    // The first of them was refused 10 s before the end.
    assert!(latency.of(Measure::Response).max() > 9 * S, "{}", latency.of(Measure::Response).max());
    let censored = ran.outcomes[0].producers[0].censored[Measure::Own as usize];
    assert!((1700..3500).contains(&censored.records), "{censored:?}");
}
