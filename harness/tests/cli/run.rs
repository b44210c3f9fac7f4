//! `vnotch run`, run as a command: normal runs, and all problems that the machine can cause.

use crate::support::{
    Ended, alone, disk, end, end_without_io_uring, is_empty, vnotch, vnotch_held_to_memlock, vnotch_on,
    vnotch_with_memlock,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A workload with little data, no ceiling, and a short window.
pub(crate) const SMALL: &str = "\
load: {mode: closed, in_flight: 2}
batch: {max_records: 4}
engine: {arena_bytes: 16MiB, fetch_pinned_bytes: 4MiB}
log: {segment_bytes: 1MiB, max_message_bytes: 64KiB}
phases: {warmup: 100ms, measure: 400ms, drain: 5s}
trials: 1
ceiling: off
warm_memory: off
";

/// A directory with a workload. Data and results are written below it.
pub(crate) struct Bench {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) file: PathBuf,
}

impl Bench {
    pub(crate) fn new(workload: &str) -> Self {
        let dir = disk();
        let file = dir.path().join("small.yaml");
        fs::write(&file, workload).unwrap();
        Self { dir, file }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Adds the arguments of a run with its data in `data` and its results in `results`.
    pub(crate) fn run<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.arg("run").arg(&self.file).arg("--data-dir").arg(self.path("data"));
        command.arg("-o").arg(self.path("results"))
    }

    pub(crate) fn results(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path("results")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

pub(crate) fn result_of(directory: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(directory.join("result.json")).unwrap()).unwrap()
}

#[test]
fn a_run_measures_writes_its_result_and_leaves_no_data() {
    let bench = Bench::new(&SMALL.replace("measure: 400ms", "measure: 1500ms"));
    let ended = end(bench.run(&mut vnotch()).args(["--tag", "disk=test"]));
    assert!(ended.stderr.contains("measuring"), "plain lines on a pipe: {}", ended.stderr);
    let screen = ended.success();
    assert!(screen.lines().count() <= 24, "{screen}");
    for expected in ["WRITTEN", "io direct", "produced", "consumed", "service", "none missing", "report "] {
        assert!(screen.contains(expected), "{expected} in:\n{screen}");
    }
    let [directory] = &bench.results()[..] else { panic!("one result") };
    for file in ["result.json", "series.csv", "events.jsonl", "latency.hlog"] {
        assert!(directory.join(file).metadata().unwrap().len() > 0, "{file}");
    }
    let result = result_of(directory);
    assert_eq!(result["verdict"]["status"], "valid");
    assert_eq!(result["provenance"]["tags"]["disk"], "test");
    let trial = &result["points"][0]["trials"][0];
    assert!(trial["produce"]["records"].as_u64().unwrap() > 0);
    assert_eq!(trial["integrity"]["gaps"], 0);
    assert!(!bench.path("data").exists(), "the run removes its data directory");
}

/// A workload with four partitions on two shards, and colocated load.
const COLOCATED: &str = "\
partitions_per_topic: 4
producers_per_topic: 3
consumers_per_subscription: 2
verify: sequence+crc
engine: {placement: colocated, shards: 2, arena_bytes: 16MiB, fetch_pinned_bytes: 4MiB}
log: {segment_bytes: 1MiB, max_message_bytes: 64KiB}
phases: {warmup: 100ms, measure: 1s, drain: 5s}
trials: 1
ceiling: off
warm_memory: off
";

#[test]
fn colocated_load_runs_on_the_shards_themselves() {
    for load in
        ["load: {mode: closed, in_flight: 2}\n", "load: {mode: open, rate: 3k}\nkey_distribution: uniform\n"]
    {
        let bench = Bench::new(&format!("{COLOCATED}{load}"));
        let screen = end(bench.run(&mut vnotch())).measured();
        assert!(screen.contains("placement colocated"), "{screen}");
        assert!(screen.contains("none missing"), "{screen}");
        let result = result_of(&bench.results()[0]);
        assert_eq!(result["provenance"]["cores"]["load"], serde_json::json!([]));
        let trial = &result["points"][0]["trials"][0];
        let integrity = &trial["integrity"];
        assert!(integrity["checked"].as_u64().unwrap() > 0, "{integrity}");
        for fault in ["gaps", "duplicates", "reorders", "corruptions", "undrained"] {
            assert_eq!(integrity[fault], 0, "{fault}: {integrity}");
        }
        assert!(trial["per_shard"].as_array().unwrap().iter().all(|shard| shard["write_bytes"] != 0));
        let (cpu, pump) = (&trial["resources"]["cpu_s"], &trial["resources"]["pump"]);
        let seconds = |kind: &str| ["user_s", "kernel_s"].map(|part| cpu[kind][part].as_f64().unwrap());
        let kinds = ["load", "shard", "io_workers", "harness"].map(|kind| seconds(kind).iter().sum::<f64>());
        let process: f64 = seconds("process").iter().sum();
        // The kinds are sampled shortly before the process, in ticks of 10 ms for each thread.
        let excess = kinds.iter().sum::<f64>() - process;
        assert!(kinds[1] > 0.0 && (-1e-6..0.2).contains(&excess), "{cpu}");
        let shares = ["work", "poll", "parked", "colocated"].map(|part| pump[part].as_f64().unwrap());
        assert!(shares[3] > 0.0 && (shares.iter().sum::<f64>() - 1.0).abs() < 1e-6, "{pump}");
        let is_open = load.contains("open");
        assert_eq!(trial["latency_ns"]["pacing_lag"].is_null(), !is_open);
        if is_open {
            // On a busy machine the count may differ by one interval at either end of the window.
            let records = trial["produce"]["records"].as_u64().unwrap();
            assert!((2_000..=3_300).contains(&records), "{records}");
        }
    }
}

#[test]
fn json_is_one_document_and_quiet_says_nothing_else() {
    let bench = Bench::new(SMALL);
    let ended = end(bench.run(&mut vnotch()).args(["--format", "json", "--quiet"]));
    assert_eq!(ended.stderr, "");
    let document: serde_json::Value = serde_json::from_str(&ended.success()).unwrap();
    assert_eq!(document["kind"], "run");
    let directory = PathBuf::from(document["results"][0]["directory"].as_str().unwrap());
    assert_eq!(result_of(&directory), document["results"][0]["result"]);
}

#[test]
fn a_missed_objective_is_exit_3_and_the_result_is_kept() {
    let bench = Bench::new(&format!("{SMALL}slo: {{service_p50: 1ns}}\n"));
    let ended = end(&mut *bench.run(&mut vnotch()));
    assert_eq!(ended.code, Some(3), "{}", ended.stderr);
    assert!(ended.stdout.contains("SLO missed"), "{}", ended.stdout);
    assert_eq!(bench.results().len(), 1);
}

#[test]
fn an_ack_log_has_a_line_for_each_batch_and_data_can_be_kept() {
    let bench = Bench::new(SMALL);
    let acks = bench.path("acks");
    end(bench.run(&mut vnotch()).arg("--keep-data").arg("--ack-log").arg(&acks)).success();
    let mut next = 0;
    for line in fs::read_to_string(&acks).unwrap().lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [_topic, "0", first, last] = fields[..] else { panic!("{line}") };
        assert_eq!(first.parse::<u64>().unwrap(), next);
        next = last.parse::<u64>().unwrap() + 1;
    }
    assert!(next > 0);
    assert!(bench.path("data/meta.properties").exists());
    // A second run refuses to touch the data that the first one has kept.
    let refused = end(&mut *bench.run(&mut vnotch())).refusal(2);
    assert!(refused.contains("holds a log already"), "{refused}");
}

#[test]
fn retention_deletes_while_a_run_goes_on_and_consumers_miss_nothing_they_keep_up_with() {
    let bench = Bench::new(&SMALL.replace("{mode: closed, in_flight: 2}", "{mode: open, rate: 8k/s}"));
    let retention = ["--set", "log.retention_bytes=1MiB", "-d", "2s"];
    end(bench.run(&mut vnotch()).args(retention)).measured();
    let [directory] = &bench.results()[..] else { panic!("one result") };
    let events = fs::read_to_string(directory.join("events.jsonl")).unwrap();
    assert!(events.matches("\"retention\"").count() >= 5, "{events}");
    let integrity = &result_of(directory)["points"][0]["trials"][0]["integrity"];
    assert_eq!(integrity["gaps"], 0);
    assert!(integrity["lost_to_retention"].is_u64(), "{integrity}");
}

#[test]
fn ctrl_c_keeps_what_was_measured() {
    let bench = Bench::new(&SMALL.replace("measure: 400ms", "measure: 60s"));
    let _alone = alone();
    let child = bench.run(&mut vnotch()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begun = Instant::now();
    while !bench.path("data/catalog.json").exists() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(800));
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert!(ended.stdout.contains("interrupted"), "{}", ended.stdout);
    let [directory] = &bench.results()[..] else { panic!("one result") };
    assert_eq!(result_of(directory)["verdict"]["status"], "interrupted");
    assert!(!bench.path("data").exists());
}

#[test]
fn a_missing_workload_or_a_wrong_flag_is_exit_2_before_anything_is_made() {
    let bench = Bench::new(SMALL);
    for arguments in [
        vec!["run", "missing.yaml"],
        vec!["run", "quickstart", "--tag", "x"],
        vec!["run", "quickstart", "--set", "x"],
    ] {
        let refused = end(vnotch().args(&arguments).current_dir(bench.dir.path())).refusal(2);
        assert!(refused.contains(arguments[arguments.len() - 1]), "{refused}");
    }
    assert_eq!(fs::read_dir(bench.dir.path()).unwrap().count(), 1, "nothing but the workload");
}

#[test]
fn a_data_directory_that_is_not_ours_is_refused_and_left_alone() {
    let bench = Bench::new(SMALL);
    let data = bench.path("data");
    fs::write(&data, "a file").unwrap();
    let refused = end(&mut *bench.run(&mut vnotch())).refusal(2);
    assert!(refused.contains("is a file") && refused.contains("name a directory"), "{refused}");
    assert_eq!(fs::read_to_string(&data).unwrap(), "a file");
    fs::remove_file(&data).unwrap();

    fs::create_dir(&data).unwrap();
    fs::write(data.join("thesis.tex"), "mine").unwrap();
    let refused = end(&mut *bench.run(&mut vnotch())).refusal(2);
    assert!(refused.contains("thesis.tex") && refused.contains("removes nothing of yours"), "{refused}");
    assert_eq!(fs::read_to_string(data.join("thesis.tex")).unwrap(), "mine");
    fs::remove_file(data.join("thesis.tex")).unwrap();

    let newer = "version=99\nid=00000000000000000000000000000000\nshards=1\n";
    fs::write(data.join("meta.properties"), newer).unwrap();
    let refused = end(&mut *bench.run(&mut vnotch())).refusal(2);
    assert!(refused.contains("holds a log already"), "{refused}");
    assert_eq!(fs::read_to_string(data.join("meta.properties")).unwrap(), newer);
    assert!(bench.results().is_empty());
}

#[test]
fn a_file_system_without_direct_io_is_refused_with_the_way_round_it() {
    let bench = Bench::new(SMALL);
    let mount = bench.path("ramfs");
    fs::create_dir(&mount).unwrap();
    let Some(mut command) = vnotch_on(&mount, "ramfs", "size=64m") else { return };
    command.arg("run").arg(&bench.file).arg("--data-dir").arg(mount.join("data"));
    let refused = end(command.arg("-o").arg(bench.path("results"))).refusal(1);
    assert!(refused.contains("O_DIRECT") && refused.contains("buffered"), "{refused}");
    assert!(bench.results().is_empty());
}

#[test]
fn without_io_uring_nothing_is_begun() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let bench = Bench::new(SMALL);
        let mut command = vnotch();
        bench.run(&mut command);
        let refused = end_without_io_uring(command, errno).refusal(1);
        assert!(refused.contains("io_uring"), "{refused}");
        assert!(!bench.path("data").exists() && bench.results().is_empty());
    }
}

#[test]
fn too_little_memlock_is_exit_1_and_enough_for_a_ring_runs_unregistered() {
    let bench = Bench::new(SMALL);
    let refused = end(&mut *bench.run(&mut vnotch_with_memlock(256))).refusal(1);
    assert!(refused.contains("memlock") && refused.contains("ulimit -l"), "{refused}");
    assert!(!bench.path("data").exists() && bench.results().is_empty());

    let Some(mut command) = vnotch_held_to_memlock(4096) else { return };
    let ended = end(&mut *bench.run(&mut command));
    assert!(ended.stderr.contains("memlock"), "it says so: {}", ended.stderr);
    ended.success();
    let facts = &result_of(&bench.results()[0])["provenance"]["target"]["facts"];
    assert_eq!(facts["arena_registered"], "false");
}

#[test]
fn a_disk_that_fills_up_ends_the_run_and_keeps_its_result_and_earlier_ones() {
    let bench = Bench::new(
        &SMALL
            .replace("measure: 400ms", "measure: 4s")
            .replace("{mode: closed, in_flight: 2}", "{mode: open, rate: 3k/s}"),
    );
    // This run has to be valid, so its load is closed: on a busy machine an open load may be late.
    let closed = ["-d", "1s", "--set", "load={mode: closed, in_flight: 2}"];
    end(bench.run(&mut vnotch()).args(closed)).success();
    let earlier = bench.results();
    let mount = bench.path("full");
    fs::create_dir(&mount).unwrap();
    if vnotch_on(&mount, "tmpfs", "size=32m").is_none() {
        return;
    }
    // Another process takes the rest of the disk during the run.
    let script = r#"mount -t tmpfs -o size=32m none "$1" && mount=$1 && shift &&
        { (while [ ! -e "$mount/data/catalog.json" ]; do sleep 0.05; done; sleep 1
           head -c 64M /dev/zero >"$mount/others" 2>/dev/null) & } && exec "$@""#;
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-c", script, "sh"]).arg(&mount).arg(vnotch().get_program());
    command.arg("run").arg(&bench.file).arg("--data-dir").arg(mount.join("data"));
    // The log of committed offsets may need more space than this disk has.
    let sets = ["--set", "engine.io=buffered", "--set", "consume.assignment=fixed"];
    let ended = end(command.arg("-o").arg(bench.path("results")).args(sets));
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("ERRORS"), "{}", ended.stdout);
    let now = bench.results();
    assert_eq!(now.len(), earlier.len() + 1);
    assert_eq!(result_of(&earlier[0])["verdict"]["status"], "valid");
    let failed = now.iter().find(|directory| !earlier.contains(directory)).unwrap();
    let verdict = &result_of(failed)["verdict"];
    assert_eq!(verdict["status"], "errors");
    let reasons = verdict["reasons"].to_string();
    assert!(reasons.contains("records failed and were not acked"), "{reasons}");
    assert!(reasons.contains("found no space on the disk"), "{reasons}");
    assert!(reasons.contains("no space for the log") && reasons.contains("retention_bytes"), "{reasons}");
    let trial = &result_of(failed)["points"][0]["trials"][0];
    assert!(trial["failed_records"].as_u64().unwrap() > 0, "{}", trial["failed_records"]);
    assert_eq!(trial["integrity"]["gaps"], 0);
    assert!(is_empty(&mount));
}

#[test]
fn a_stall_on_purpose_shows_in_the_response_of_every_record_it_delayed() {
    let bench = Bench::new(SMALL);
    let mut command = vnotch();
    // Little is in flight, so that records that become due during the stall wait in the generator.
    let load = "load={mode: open, rate: 50%, in_flight_bytes: 16KiB}";
    let little = ["--set", load, "--set", "batch.max_bytes=8KiB"];
    let command = bench.run(&mut command).args(little);
    let command = command.args(["-d", "4s", "--inject", "stall:shard0:500ms@1s"]);
    let screen = end(command).measured();
    assert!(screen.contains("Injected stall: shard 0 stood still for 0.50 s, 1.0"), "{screen}");
    let [directory] = &bench.results()[..] else { panic!("one result") };
    let result = result_of(directory);
    assert!(result["points"][0]["trials"][0]["stall"].is_null(), "the pass at max is left in peace");
    let trial = &result["points"][1]["trials"][0];
    let response_max = trial["latency_ns"]["response"]["max"].as_u64().unwrap();
    assert!(response_max >= 475_000_000, "{response_max} ns");
    let stall = &trial["stall"];
    let share = |key: &str| stall[key].as_f64().unwrap();
    // The share is at least that of the records due during the stall, without those in its last twentieth, which do not count
    // as late. It may be larger, because a busy machine may be slow to catch up.
    assert!(share("late_share") >= 0.95 * 0.5 / 4.0, "{stall}");
    assert!(share("service_late_share") < share("late_share") / 2.0, "{stall}");
    assert!((0.15..0.25).contains(&share("expected_late_share")), "{stall}");
    assert_eq!(trial["integrity"]["gaps"], 0);
    let events = fs::read_to_string(directory.join("events.jsonl")).unwrap();
    let injected = events.lines().find(|line| line.contains("injected")).unwrap();
    assert!(injected.contains(r#""kind":"stall""#) && injected.contains(r#""length_s":0.5"#), "{injected}");
}

#[test]
fn a_stall_that_has_no_place_is_exit_2_and_touches_nothing() {
    let bench = Bench::new(SMALL);
    for (inject, message) in [
        ("stall:shard0:1s@500ms", "it would end 1500ms after the window opens, and the window lasts 400ms"),
        ("stall:shard7:100ms@0", "there is no shard 7"),
        ("stall:0:1s@1s", "write it like `stall:shard0:1s@10s`"),
    ] {
        let refused = end(bench.run(&mut vnotch()).args(["--inject", inject])).refusal(2);
        assert!(refused.contains(inject) && refused.contains(message), "{refused}");
    }
    assert!(bench.results().is_empty() && !bench.path("data").exists());
}

#[test]
fn a_window_opens_once_retention_deletes() {
    let bench = Bench::new(SMALL);
    let mut command = vnotch();
    let require = ["require=[retention_reached]", "log.retention_bytes=1MiB", "phases.warmup=1s", "trials=2"];
    let command = bench.run(&mut command).args(require.iter().flat_map(|set| ["--set", set]));
    end(command).success();
    let [directory] = &bench.results()[..] else { panic!("one result") };
    let result = result_of(directory);
    assert_eq!(result["verdict"]["status"], "valid", "{}", result["verdict"]);
    for trial in result["points"][0]["trials"].as_array().unwrap() {
        assert!(trial["retention_reached_s"].as_f64().unwrap() < 0.0, "{trial}");
        assert_eq!(trial["window_s"], 0.4);
        assert_eq!(trial["integrity"]["gaps"], 0);
    }
    let events = fs::read_to_string(directory.join("events.jsonl")).unwrap();
    for kind in ["roll", "seal", "retention"] {
        let named = format!(r#""kind":"{kind}""#);
        assert!(events.lines().any(|line| line.contains(&named)), "{kind} in {events}");
    }
}

#[test]
fn consumers_catch_up_on_a_cold_backlog_from_the_device() {
    let bench = Bench::new(SMALL);
    let mut command = vnotch();
    let backlog = [
        "backlog={build: 12MiB, cache: cold}",
        "load={mode: max}",
        "message_size=4KiB",
        "batch={max_bytes: 64KiB}",
        "partitions_per_topic=2",
        "phases={measure: 30s, drain: 5s}",
        "trials=2",
    ];
    let command = bench.run(&mut command).args(backlog.iter().flat_map(|set| ["--set", set]));
    let screen = end(command).success();
    assert!(screen.contains("Backlog: 12") && screen.contains("cold"), "{screen}");
    let [directory] = &bench.results()[..] else { panic!("one result") };
    let result = result_of(directory);
    assert_eq!(result["verdict"]["status"], "valid", "{}", result["verdict"]);
    for trial in result["points"][0]["trials"].as_array().unwrap() {
        let built = trial["backlog"]["built_bytes"].as_u64().unwrap();
        assert!((11 << 20..14 << 20).contains(&built), "{trial}");
        assert_eq!(trial["backlog"]["is_drained"], true);
        assert!(trial["window_s"].as_f64().unwrap() < 30.0, "it ends when all is consumed");
        assert_eq!(trial["consume"]["encoded_bytes"].as_u64().unwrap(), built);
        assert!(trial["per_shard"][0]["read_bytes"].as_u64().unwrap() >= built, "from the device: {trial}");
        assert_eq!((&trial["produce"]["records"], &trial["integrity"]["gaps"]), (&0.into(), &0.into()));
        assert_eq!(trial["integrity"]["checked"], trial["backlog"]["built_records"]);
    }
}

#[test]
fn producers_may_go_on_while_a_warm_backlog_is_consumed() {
    let bench = Bench::new(SMALL);
    let mut command = vnotch();
    let backlog = [
        "backlog={build: 4MiB, cache: warm, drain_producer_rate: 2k/s}",
        "load={mode: max}",
        "engine.io=buffered",
        "phases={measure: 30s, drain: 5s}",
    ];
    let command = bench.run(&mut command).args(backlog.iter().flat_map(|set| ["--set", set]));
    end(command).measured();
    let [directory] = &bench.results()[..] else { panic!("one result") };
    let trial = &result_of(directory)["points"][0]["trials"][0];
    assert_eq!(trial["backlog"]["is_drained"], true, "{trial}");
    assert!(trial["latency_ns"]["response"].is_object(), "of what was added meanwhile: {trial}");
    assert_eq!((&trial["integrity"]["gaps"], &trial["integrity"]["undrained"]), (&0.into(), &0.into()));
}
