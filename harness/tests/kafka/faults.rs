//! Brokers that are stopped or killed while a run writes to them.

use super::three_brokers::ThreeBrokers;
use super::{Bench, bytes_below, signal};
use crate::support::alone;
use rustix::process::Signal;
use std::ops::RangeInclusive;
use std::process::Stdio;
use std::time::{Duration, Instant};
use vnotch::result::latency::{Counting, Measure};
use vnotch::result::store;

/// The rate of the load, records/s. A record is 1 KiB.
const RATE: f64 = 2000.0;
/// The shortest pause of the broker.
const PAUSE: Duration = Duration::from_millis(500);
/// A response that counts as slow.
const SLOW: Duration = Duration::from_millis(100);

/// Pauses the broker for [`PAUSE`] in the window of a run, `warmup` after the load has begun and 2 s later. Checks the largest
/// response, and that the number of slow ones ÷ (rate × the part of the pause after which a response is not slow yet) is in `bounds`.
///
/// Each record that is due while the broker is stopped waits until it continues, however late the generator is: a response begins
/// when its record is due. So on a busy machine there may be more slow responses, but never fewer.
fn pause_of_the_broker(warmup: Duration, bounds: &RangeInclusive<f64>) {
    let _alone = alone();
    let bench = Bench::new();
    let warmup_s = warmup.as_secs();
    let warmup = format!("phases.warmup={warmup_s}s");
    let mut child = bench
        .run(&["-d", "10s", "--trials", "1", "--set", &warmup])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let loaded_bytes = (warmup_s + 2) * 2000 * 1024;
    bench.wait_until("the window is open", || {
        assert!(child.try_wait().unwrap().is_none(), "the run ended early");
        bytes_below(&bench.path("data")) > loaded_bytes
    });
    let broker = bench.broker();
    signal(broker, Signal::STOP);
    let stopped = Instant::now();
    std::thread::sleep(PAUSE);
    let paused = stopped.elapsed();
    signal(broker, Signal::CONT);
    let code = child.wait().unwrap().code();
    assert!([Some(0), Some(5)].contains(&code), "{code:?}: {}", bench.result()["verdict"]);
    let integrity = &bench.result()["points"][0]["trials"][0]["integrity"];
    assert_eq!((&integrity["gaps"], &integrity["duplicates"]), (&0.into(), &0.into()), "{integrity}");
    let recording = store::load(&bench.result_dir()).unwrap();
    let histograms = &recording.trial(0, 0).unwrap().histograms;
    let response = histograms.histogram(Measure::Response, Counting::Records).unwrap();
    let max = Duration::from_nanos(response.max());
    assert!(max >= PAUSE, "the largest response is {max:?} after a pause of {paused:?}");
    let slow_ns = u64::try_from(SLOW.as_nanos()).unwrap();
    let slow = response.count_between(slow_ns, u64::MAX);
    let expected = RATE * (paused - SLOW).as_secs_f64();
    let ratio = slow as f64 / expected;
    println!(
        "paused {paused:?}, largest response {max:?}, {slow} slow responses ÷ {expected:.0} = {ratio:.3}"
    );
    assert!(bounds.contains(&ratio), "{slow} slow responses ÷ {expected:.0} = {ratio:.3}");
}

#[test]
fn records_that_are_due_while_the_broker_is_stopped_have_responses_of_that_time() {
    // The upper bound is half of the window's load.
    pause_of_the_broker(Duration::from_secs(1), &(0.95..=12.5));
}

#[test]
#[ignore = "needs a quiet machine"]
fn the_number_of_slow_responses_is_that_of_the_pause_within_five_percent() {
    pause_of_the_broker(Duration::from_secs(20), &(0.95..=1.05));
}

/// Number of runs with a killed leader. `VNOTCH_LEADER_KILLS` sets another.
const LEADER_KILLS: u32 = 1;
/// The times of the kills differ by up to this, so that they hit different places of a batch, a roll and a fetch of the followers.
const KILLS_DIFFER_BY: Duration = Duration::from_secs(2);

#[test]
fn no_acked_record_is_lost_with_the_leader_of_a_partition_of_three_copies() {
    let kills = std::env::var("VNOTCH_LEADER_KILLS").map_or(LEADER_KILLS, |kills| kills.parse().unwrap());
    assert!(kills > 0);
    let _alone = alone();
    for kill in 0..kills {
        println!("kill {} of {kills}: {}", kill + 1, kill_a_leader(KILLS_DIFFER_BY * kill / kills));
    }
}

/// Kills the leader of a loaded partition, `delay` after the load was seen. Checks the run, and returns its figures as words.
fn kill_a_leader(delay: Duration) -> String {
    let (brokers, bench, topic) = (ThreeBrokers::start(), Bench::new(), "orders");
    brokers.create(topic, 2);
    let target = format!("target=kafka://{}", brokers.addresses());
    let topic_set = format!("topic={topic}");
    let sets = [target.as_str(), "kafka={}", topic_set.as_str(), "phases.drain=60s"];
    let mut command = bench.run(&["-d", "14s", "--trials", "1"]);
    for set in sets {
        command.args(["--set", set]);
    }
    let words = std::fs::File::create(bench.path("words")).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(words).spawn().unwrap();
    bench.wait_until("the load has begun", || {
        let words = || std::fs::read_to_string(bench.path("words")).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "the run ended early: {}", words());
        brokers.bytes() > 12 << 20
    });
    std::thread::sleep(delay);
    let leader = brokers.leader(topic, 0);
    assert!(child.try_wait().unwrap().is_none(), "the run ended before the kill");
    signal(brokers.process(leader), Signal::KILL);
    child.wait().unwrap();
    let next_leader = brokers.leader(topic, 0);
    assert_ne!(next_leader, leader);
    let result = bench.result();
    let trial = &result["points"][0]["trials"][0];
    let integrity = &trial["integrity"];
    for fault in ["gaps", "duplicates", "reorders", "corruptions", "undrained"] {
        assert_eq!(integrity[fault], 0, "{fault}: {integrity}");
    }
    // The load offers 30,000 records in 15 s. At most half of them were sent before the kill.
    let checked = integrity["checked"].as_f64().unwrap();
    assert!(checked > 0.9 * RATE * 15.0, "{checked} records were acked and read: {}", trial["errors"]);
    let max_ns = trial["latency_ns"]["response"]["max"].as_f64().unwrap();
    assert!(max_ns > 1e9, "the brokers noticed the kill: {max_ns}");
    let max_s = max_ns / 1e9;
    format!("leader {leader}, then {next_leader}; {checked} records read; largest response {max_s:.1} s")
}
