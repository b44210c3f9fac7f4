//! A measurement survives: standard streams that fail, signals that are ignored, and places that cannot be written to.

use crate::run::{Bench, SMALL, result_of};
use crate::support::{Ended, alone, end, vnotch, vnotch_on};
use std::fs::{self, File, OpenOptions};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A file that is always full.
fn full() -> File {
    OpenOptions::new().write(true).open("/dev/full").unwrap()
}

/// Waits until the run of `bench` has opened its data directory.
fn wait_for_data(bench: &Bench) {
    let begun = Instant::now();
    while !bench.path("data/catalog.json").exists() && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).unwrap();
}

#[test]
fn a_standard_error_that_fails_costs_neither_the_run_nor_its_exit_code() {
    let bench = Bench::new(SMALL);
    let status = |command: &mut Command| {
        let _alone = alone();
        command.status().unwrap().code()
    };
    assert_eq!(status(vnotch().args(["check", "nope.yaml"]).stderr(full())), Some(2));
    assert_eq!(status(bench.run(&mut vnotch()).stdout(Stdio::null()).stderr(full())), Some(0));
    // A pipe whose reader has left.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(status(bench.run(&mut vnotch()).stdout(Stdio::null()).stderr(writer)), Some(0));
    assert_eq!(bench.results().len(), 2);
}

#[test]
fn a_standard_output_that_fails_costs_no_result() {
    let bench = Bench::new(SMALL);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let outputs: [(Stdio, i32); 2] = [(full().into(), 1), (writer.into(), 0)];
    for (number, (stdout, code)) in (1..).zip(outputs) {
        let _alone = alone();
        let child = bench.run(&mut vnotch()).stdout(stdout).stderr(Stdio::piped()).spawn().unwrap();
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert_eq!(bench.results().len(), number);
        let said = ended.stderr.contains("cannot write to standard output");
        assert_eq!(said, code == 1, "{}", ended.stderr);
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let bench = Bench::new(&SMALL.replace("measure: 400ms", "measure: 2s"));
    let _alone = alone();
    let mut command = Command::new("sh");
    command.args(["-c", r#"trap "" HUP INT; exec "$@""#, "sh"]).arg(vnotch().get_program());
    let child = bench.run(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_data(&bench);
    signal(&child, rustix::process::Signal::HUP);
    signal(&child, rustix::process::Signal::INT);
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(result_of(&bench.results()[0])["verdict"]["status"], "valid");
    ended.success();
}

#[test]
fn a_place_where_results_cannot_be_written_is_refused_before_anything_is_measured() {
    let bench = Bench::new(SMALL);
    fs::write(bench.path("results"), "a file").unwrap();
    let refused = end(&mut *bench.run(&mut vnotch())).refusal(1);
    assert!(refused.contains("results cannot be written to"), "{refused}");
    assert!(!refused.contains("measuring") && !bench.path("data").exists(), "{refused}");

    let small = bench.path("small");
    fs::create_dir(&small).unwrap();
    let Some(mut command) = vnotch_on(&small, "tmpfs", "size=256k") else { return };
    command.arg("run").arg(&bench.file).arg("--data-dir").arg(bench.path("data"));
    let refused = end(command.arg("-o").arg(&small)).refusal(1);
    assert!(refused.contains("results cannot be written to") && refused.contains("space"), "{refused}");
}

#[test]
fn a_place_that_fails_during_the_run_does_not_cost_the_result() {
    let bench = Bench::new(&SMALL.replace("measure: 400ms", "measure: 2s"));
    let _alone = alone();
    let mut command = vnotch();
    let command = bench.run(&mut command).current_dir(bench.dir.path());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for_data(&bench);
    fs::remove_dir_all(bench.path("results")).unwrap();
    fs::write(bench.path("results"), "a file").unwrap();
    let ended = Ended::from(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(
        ended.stderr.contains("the result is in") && ended.stderr.contains("instead"),
        "{}",
        ended.stderr
    );
    let is_result = |path: &Path| path.join("result.json").exists() && path.join("report.html").exists();
    let entries = fs::read_dir(bench.dir.path()).unwrap().map(|entry| entry.unwrap().path());
    assert_eq!(entries.filter(|path| is_result(path)).count(), 1);
    assert!(ended.stdout.contains("none missing"), "the first screen is printed: {}", ended.stdout);
}

#[test]
fn a_data_directory_belongs_to_one_run_until_that_ends() {
    let bench = Bench::new(&SMALL.replace("trials: 1", "trials: 2").replace("measure: 400ms", "measure: 1s"));
    let _alone = alone();
    let child = bench.run(&mut vnotch()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for_data(&bench);
    let second: Ended = bench.run(&mut vnotch()).output().unwrap().into();
    let refused = second.refusal(2);
    assert!(refused.contains("belongs to another run"), "{refused}");
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success());
    assert!(!bench.path("data").exists());
}

#[test]
fn the_next_command_can_be_pasted_and_runs_the_same_workload() {
    let bench = Bench::new(SMALL);
    fs::rename(&bench.file, bench.path("my file.yaml")).unwrap();
    let mut command = vnotch();
    command.args([
        "run",
        "my file.yaml",
        "--set",
        "message_size=100B",
        "-d",
        "200ms",
        "--data-dir",
        "my data",
    ]);
    let screen = end(command.args(["-o", "results"]).current_dir(bench.dir.path())).success();
    let next = "next       vnotch run 'my file.yaml' --set message_size=100B --duration 200ms --data-dir 'my data' --rate 50%";
    assert!(screen.contains(next), "{screen}");
    let provenance = &result_of(&bench.results()[0])["provenance"];
    assert_eq!(provenance["workload_arguments"][1], "--set");
    assert_eq!(provenance["command_line"][2], "my file.yaml");
    let shown =
        end(vnotch().args(["show", "latest", "-o", "results"]).current_dir(bench.dir.path())).success();
    assert!(shown.contains(next), "{shown}");
}

#[test]
fn a_built_in_workload_can_be_printed_changed_and_run() {
    let bench = Bench::new(SMALL);
    let text = end(vnotch().args(["workload", "quickstart"])).success();
    assert!(text.contains("question:"), "{text}");
    fs::write(bench.path("mine.yaml"), &text).unwrap();
    let same =
        |file: &str| end(vnotch().args(["check", file, "--format", "json"]).current_dir(bench.dir.path()));
    let resolved = |file: &str| {
        let document: serde_json::Value = serde_json::from_str(&same(file).success()).unwrap();
        let mut resolved = document["workloads"][0]["resolved"].clone();
        resolved["name"] = "x".into();
        resolved
    };
    assert_eq!(resolved("mine.yaml"), resolved("quickstart"));
    let unknown = end(vnotch().args(["workload", "quickstar"])).refusal(2);
    assert!(unknown.contains("did you mean `quickstart`?"), "{unknown}");
}
