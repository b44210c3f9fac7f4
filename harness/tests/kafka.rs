//! Runs against real Kafka, which vnotch starts itself. They need Java 17 and Maven, and are part of the feature `kafka`.
#![cfg(feature = "kafka")]
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "kafka/cluster.rs"]
mod cluster;
#[path = "kafka/faults.rs"]
mod faults;
#[path = "kafka/members.rs"]
mod members;
#[path = "kafka/own_cluster.rs"]
mod own_cluster;
mod support;
#[path = "kafka/three_brokers.rs"]
mod three_brokers;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use support::{alone, disk, end, vnotch};
use tempfile::TempDir;

/// Longest wait for anything that must happen. The first run of a machine gets Kafka's jars from Maven.
const PATIENCE: Duration = Duration::from_secs(240);
const LOOK: Duration = Duration::from_millis(50);

const WORKLOAD: &str = "
target: kafka
kafka: {heap: 384MiB, warm: 0s}
partitions_per_topic: 2
producers_per_topic: 2
consumers_per_subscription: 2
message_size: 1KiB
load: {mode: open, rate: 2k/s}
phases: {warmup: 1s, measure: 2s, drain: 20s}
warm_memory: off
ceiling: off
late_retries: 0
";

struct Bench {
    dir: TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { dir: disk() };
        std::fs::write(bench.path("kafka.yaml"), WORKLOAD).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A run with its data below the test's own directory, so that its processes can be told from others.
    fn run(&self, arguments: &[&str]) -> Command {
        let mut command = vnotch();
        command.arg("run").arg(self.path("kafka.yaml")).args(arguments);
        command.args(["--data-dir"]).arg(self.path("data")).arg("--output").arg(self.path("results"));
        command
    }

    fn result_dir(&self) -> PathBuf {
        let mut dirs = std::fs::read_dir(self.path("results")).unwrap();
        dirs.next().expect("a result").unwrap().path()
    }

    fn result(&self) -> Value {
        let file = self.result_dir().join("result.json");
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
    }

    /// The processes that serve this test: their command lines name its directory.
    fn brokers(&self) -> Vec<i32> {
        processes(&self.path("data").join("kafka"))
    }

    /// The process of the only broker.
    fn broker(&self) -> i32 {
        let is_broker = |number: &i32| {
            let line = std::fs::read(format!("/proc/{number}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("kafka.Kafka\0")
        };
        let brokers: Vec<i32> = self.brokers().into_iter().filter(is_broker).collect();
        let [broker] = brokers[..] else { panic!("one broker, not {brokers:?}") };
        broker
    }

    fn wait_until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "{what}");
            std::thread::sleep(LOOK);
        }
    }

    /// Starts a long run, and waits until its load writes to the brokers.
    fn begin(&self) -> Child {
        let mut command = self.run(&["-d", "120s", "--trials", "1"]);
        let words = std::fs::File::create(self.path("words")).unwrap();
        let mut child = command.stdout(Stdio::null()).stderr(words).spawn().unwrap();
        self.wait_until("the load has begun", || {
            let ended = child.try_wait().unwrap();
            let words = || std::fs::read_to_string(self.path("words")).unwrap();
            assert!(ended.is_none(), "the run ended before its load began: {}", words());
            bytes_below(&self.path("data")) > 8 << 20
        });
        assert!(!self.brokers().is_empty());
        child
    }

    fn assert_nothing_is_left(&self) {
        self.wait_until("every process has ended", || self.brokers().is_empty());
        self.wait_until("the data is removed", || bytes_below(&self.path("data")) == 0);
    }
}

/// The processes, other than vnotch itself, whose command lines hold a file below `dir`.
fn processes(dir: &Path) -> Vec<i32> {
    let below = format!("{}/", dir.display());
    let numbers = std::fs::read_dir("/proc").unwrap().flatten();
    let numbers = numbers.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter(|number| {
            std::fs::read(format!("/proc/{number}/cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(&below))
        })
        .collect()
}

/// Bytes of the log segments below a directory.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) if entry.file_name().to_string_lossy().ends_with(".log") => metadata.len(),
        _ => 0,
    };
    entries.flatten().map(size).sum()
}

fn signal(process: i32, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(process).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

/// Checks the trials of a run whose records must all have arrived. A busy machine may make it invalid, and nothing worse.
fn assert_sound(result: &Value, trials: usize) {
    let status = result["verdict"]["status"].as_str().unwrap();
    assert!(["valid", "invalid"].contains(&status), "{}", result["verdict"]);
    let found = result["points"][0]["trials"].as_array().unwrap();
    assert_eq!(found.len(), trials);
    for trial in found {
        let integrity = &trial["integrity"];
        assert!(integrity["checked"].as_u64().unwrap() > 4000, "{integrity}");
        for fault in ["gaps", "duplicates", "reorders", "corruptions"] {
            assert_eq!(integrity[fault], 0, "{fault}: {integrity}");
        }
        assert!(trial["of_ceiling"]["write"].is_null());
    }
}

#[test]
fn a_run_starts_kafka_measures_it_and_leaves_nothing_behind() {
    let bench = Bench::new();
    let sweep = "sweep={durability: [written, synced]}";
    let arguments = ["--trials", "1", "--set", sweep, "--set", "ceiling=auto"];
    let ended = end(bench.run(&arguments).env("RUST_BACKTRACE", "0"));
    assert!([Some(0), Some(5)].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
    let result = bench.result();
    assert_sound(&result, 1);
    let target = &result["provenance"]["target"];
    assert_eq!((&target["kind"], &target["version"]), (&"kafka".into(), &"4.3.1".into()));
    assert_eq!(target["facts"]["brokers"], "1");
    let acks: Vec<_> =
        result["points"].as_array().unwrap().iter().map(|it| it["durability"].clone()).collect();
    assert_eq!(acks, ["written", "synced"]);
    for point in result["points"].as_array().unwrap() {
        let trial = &point["trials"][0];
        let ceiling = &trial["ceiling"];
        for best in ["device_write_bytes_per_s", "device_read_bytes_per_s"] {
            assert!(ceiling[best].as_f64().unwrap() > 1e6, "{best}: {ceiling}");
        }
        let slices = ceiling["write_slices_bytes_per_s"].as_array().unwrap();
        assert!(slices.is_empty(), "nobody counts the writes of a broker, so none are replayed");
    }
    let synced = &result["points"][1]["trials"][0];
    let is_counted = !synced["resources"]["device_write_bytes"].is_null();
    assert_eq!(synced["of_device"].as_f64().is_some_and(|share| share > 0.0), is_counted, "{synced}");
    let resources = &result["points"][0]["trials"][0]["resources"];
    let broker = &resources["processes"][0];
    assert_eq!(broker["name"], "broker-1", "{resources}");
    assert!(broker["cpu_s"]["user_s"].as_f64().unwrap() > 0.0, "{broker}");
    assert!(broker["rss_max_bytes"].as_u64().unwrap() > 64 << 20, "{broker}");
    assert!(broker["write_bytes"].as_u64().unwrap() > 0, "{broker}");
    assert!(broker["gc_pauses"].is_u64(), "{broker}");
    assert!(resources["cpu_s"]["load"]["user_s"].as_f64().unwrap() > 0.0, "the client's threads are load");
    bench.assert_nothing_is_left();
}

#[test]
fn the_engine_and_kafka_are_measured_side_by_side() {
    let bench = Bench::new();
    let sets = ["sweep={target: [engine, kafka]}", "kafka={heap: 384MiB, warm: 2s}"];
    let ended = end(&mut bench.run(&["--trials", "1", "--set", sets[0], "--set", sets[1]]));
    assert!([Some(0), Some(5)].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
    for said in
        ["CPU system", "no network, it runs in the process of the load", "acks=all", "warmed by 2 s of load"]
    {
        assert!(ended.stdout.contains(said), "{said} in:\n{}", ended.stdout);
    }
    let result = bench.result();
    let points = result["points"].as_array().unwrap();
    let kinds: Vec<_> = points.iter().map(|point| point["system"]["kind"].clone()).collect();
    assert_eq!(kinds, ["engine", "kafka"]);
    for point in points {
        let trial = &point["trials"][0];
        assert_eq!(trial["integrity"]["gaps"], 0, "{trial}");
        let cpu = &trial["resources"]["cpu_s_per_gib"];
        for part in ["system", "client"] {
            assert!(
                cpu[part].as_f64().is_some_and(|seconds| seconds > 0.0),
                "{part}: {}",
                trial["resources"]
            );
        }
    }
    bench.assert_nothing_is_left();
}

#[test]
fn brokers_stay_up_for_all_pairs_of_a_comparison() {
    let bench = Bench::new();
    let mut command = vnotch();
    command.args(["compare", "--interleave"]).arg(bench.path("kafka.yaml"));
    command.args(["--pairs", "1", "--set-b", "durability=synced", "--metric", "produce.records_per_s"]);
    command.arg("--data-dir").arg(bench.path("data")).arg("--output").arg(bench.path("results"));
    let ended = end(&mut command);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(
        ended.stdout.contains("flush.messages=1: each append is flushed before its ack"),
        "{}",
        ended.stdout
    );
    let result = bench.result();
    assert!(ended.stdout.contains("CPU of system and load"), "{}", ended.stdout);
    let peak = &result["pairs"][0]["figures_a"]["resources.data_max_bytes"];
    assert!(peak.as_f64().is_some_and(|bytes| bytes > 1e6), "the brokers' disk: {peak}");
    let cluster = |side: &str| result[side]["system"]["facts"]["cluster_id"].clone();
    assert!(
        cluster("a").is_string() && cluster("a") == cluster("b"),
        "{} and {}",
        cluster("a"),
        cluster("b")
    );
    bench.assert_nothing_is_left();
}

#[test]
fn kafka_with_zookeeper_takes_a_workload_with_three_brokers() {
    let bench = Bench::new();
    let kafka = "kafka={version: 3.6.2, brokers: 3, replication: 3, heap: 256MiB, warm: 0s}";
    let ended = end(&mut bench.run(&["--trials", "1", "--set", kafka]));
    assert!([Some(0), Some(5)].contains(&ended.code), "{}{}", ended.stdout, ended.stderr);
    let result = bench.result();
    assert_sound(&result, 1);
    assert_eq!(result["provenance"]["target"]["facts"]["brokers"], "3");
    bench.assert_nothing_is_left();
}

#[test]
fn kafka_ends_with_a_vnotch_that_is_killed() {
    let _alone = alone();
    let bench = Bench::new();
    let mut child = bench.begin();
    child.kill().unwrap();
    child.wait().unwrap();
    bench.assert_nothing_is_left();
}

#[test]
fn a_signal_keeps_the_result_and_ends_kafka() {
    let _alone = alone();
    let bench = Bench::new();
    let mut child = bench.begin();
    std::thread::sleep(Duration::from_secs(2));
    signal(i32::try_from(child.id()).unwrap(), rustix::process::Signal::TERM);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(bench.result()["verdict"]["status"], "interrupted");
    bench.assert_nothing_is_left();
}

#[test]
fn a_broker_that_dies_in_mid_run_makes_the_verdict_errors_and_the_next_trial_has_a_new_one() {
    let _alone = alone();
    let bench = Bench::new();
    let mut command = bench.run(&["-d", "10s", "--trials", "2", "--set", "phases.drain=3s"]);
    let words = std::fs::File::create(bench.path("words")).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(words).spawn().unwrap();
    let words = || std::fs::read_to_string(bench.path("words")).unwrap();
    bench.wait_until("the window is open", || words().contains("measuring"));
    signal(bench.broker(), rustix::process::Signal::KILL);
    assert_eq!(child.wait().unwrap().code(), Some(1));
    let result = bench.result();
    let verdict = &result["verdict"];
    assert_eq!(verdict["status"], "errors", "{verdict}");
    assert!(verdict.to_string().contains("records failed and were not acked"), "{verdict}");
    let trial = &result["points"][0]["trials"][0];
    assert!(trial["window_s"].as_f64().unwrap() > 9.9, "the run continues: {}", trial["window_s"]);
    let errors = trial["errors"].as_array().unwrap();
    assert_eq!(errors[0]["kind"], "timed_out", "{errors:?}");
    assert!(errors[0]["records"].as_u64().unwrap() > 1000, "{errors:?}");
    let integrity = &trial["integrity"];
    assert_eq!((&integrity["gaps"], &integrity["corruptions"]), (&0.into(), &0.into()), "{integrity}");
    let second = &result["points"][0]["trials"][1];
    assert!(second["integrity"]["checked"].as_u64().unwrap() > 18_000, "{}", second["integrity"]);
    assert!(second["errors"].as_array().is_none_or(Vec::is_empty), "{}", second["errors"]);
    let words = std::fs::read_to_string(bench.path("words")).unwrap();
    assert!(words.contains("broker-1 of the started Kafka ended; Kafka is started again"), "{words}");
    let again = &result["provenance"]["target"]["facts"]["started_again"];
    assert_eq!(again, "because broker-1 had ended in an earlier trial");
    bench.assert_nothing_is_left();
}

#[test]
fn an_address_where_nobody_answers_is_one_message() {
    let bench = Bench::new();
    let target = "target=kafka://127.0.0.1:1";
    let arguments = ["--trials", "1", "--set", target, "--set", "kafka={}"];
    let said = end(&mut bench.run(&arguments)).refusal(1);
    assert!(said.contains("no Kafka broker answers at 127.0.0.1:1"), "{said}");
    assert!(said.contains("Connection refused"), "{said}");
}
