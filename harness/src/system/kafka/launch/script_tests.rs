//! The script `scripts/kafka` by itself, with other programs in the place of Java and Maven.

use super::{SCRIPT, ports};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longest time in which everything ends once the input of the script has ended.
const END_MAX: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(20);

/// A program that does nothing, but stays if its arguments hold `$STAYS_AT`. Then its process id is in `$STAYS_IN`, and its arguments
/// are in `$STAYS_IN.arguments`.
const STAND_IN: &str = r#"#!/bin/bash
case "$*" in
*-version*) echo 'openjdk version "17.0.1"' >&2 ;;
*"$STAYS_AT"*)
    echo "$*" >"$STAYS_IN.arguments"
    echo $$ >"$STAYS_IN.new"
    mv "$STAYS_IN.new" "$STAYS_IN"
    exec sleep 600
    ;;
esac
"#;

/// The script with a verb and a directory, and with a cache below `outer`.
fn script(verb: &str, outer: &Path) -> Command {
    let mut command = Command::new("/bin/bash");
    command.args(["-c", SCRIPT, "kafka", verb, "--dir"]).arg(outer.join("data"));
    command.env("VNOTCH_CACHE", outer.join("cache")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the script to its end, with an input that stays open.
fn end(command: &mut Command) -> Output {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    drop(input);
    output
}

/// The process that stays, once it runs.
fn staying(file: &Path) -> Pid {
    let begun = Instant::now();
    loop {
        if let Ok(number) = fs::read_to_string(file) {
            return Pid::from_raw(number.trim().parse().unwrap()).unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "the program has not begun");
        std::thread::sleep(LOOK);
    }
}

/// Writes programs into the directory `tools` below `outer`, each a name and its text.
fn write_tools(outer: &Path, tools: &[(&str, &str)]) {
    let dir = outer.join("tools");
    fs::create_dir(&dir).unwrap();
    for (name, text) in tools {
        fs::write(dir.join(name), text).unwrap();
        fs::set_permissions(dir.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// The script that starts Kafka with the programs of `write_tools`, of which one stays. Its process id will be in the returned file.
fn hold(outer: &Path, stays_at: &str) -> (Command, PathBuf) {
    let stays_in = outer.join("process");
    let path = format!("{}:{}", outer.join("tools").display(), std::env::var("PATH").unwrap());
    let mut command = script("hold", outer);
    command.args(["--port", &ports::free(2).unwrap().to_string()]).env("PATH", path);
    command.env("STAYS_AT", stays_at).env("STAYS_IN", &stays_in);
    (command, stays_in)
}

#[test]
fn an_id_of_a_cluster_never_looks_like_an_option() {
    let outer = tempfile::tempdir().unwrap();
    let dashes = "#!/bin/bash\necho ----------------------==\n";
    write_tools(outer.path(), &[("java", STAND_IN), ("mvn", STAND_IN), ("base64", dashes)]);
    let (mut command, stays_in) = hold(outer.path(), "StorageTool");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    staying(&stays_in);
    drop(child.stdin.take());
    child.wait().unwrap();
    let arguments = fs::read_to_string(stays_in.with_extension("arguments")).unwrap();
    let id = arguments.split_whitespace().skip_while(|word| *word != "--cluster-id").nth(1).unwrap();
    assert_eq!((id.len(), id.starts_with('-')), (22, false), "{arguments}");
}

#[test]
fn everything_ends_with_the_input_also_while_kafka_starts() {
    for stays_at in ["dependency:copy-dependencies", "StorageTool", "kafka.Kafka "] {
        let outer = tempfile::tempdir().unwrap();
        write_tools(outer.path(), &[("java", STAND_IN), ("mvn", STAND_IN)]);
        let (mut command, stays_in) = hold(outer.path(), stays_at);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).process_group(0).spawn().unwrap();
        let group = Pid::from_child(&child);
        let process = staying(&stays_in);
        assert!(child.try_wait().unwrap().is_none(), "{stays_at}: Kafka is not ready yet");
        drop(child.stdin.take());
        let begun = Instant::now();
        let mut has_ended = false;
        while !has_ended && begun.elapsed() < END_MAX {
            has_ended = child.try_wait().unwrap().is_some();
            std::thread::sleep(LOOK);
        }
        let is_gone = test_kill_process(process).is_err();
        // What a faulty script leaves must not outlive the test.
        let _ = kill_process_group(group, Signal::KILL);
        child.wait().unwrap();
        assert!(has_ended, "{stays_at}: the script has ended");
        assert!(is_gone, "{stays_at}: the program has ended");
        assert!(!outer.path().join("data").exists(), "{stays_at}: the data is removed");
    }
}

#[test]
fn missing_tools_are_named_with_what_to_install() {
    let outer = tempfile::tempdir().unwrap();
    let tools = outer.path().join("tools");
    fs::create_dir(&tools).unwrap();
    for tool in ["bash", "sed", "head", "realpath"] {
        let found =
            ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(tool)).into_iter().find(|it| it.exists());
        symlink(found.unwrap(), tools.join(tool)).unwrap();
    }
    let output = end(script("hold", outer.path()).env("PATH", &tools));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("Kafka needs Java 17 or newer and Maven, which is not installed"), "{said}");
    assert!(said.contains("apt-get install openjdk-17-jre-headless maven"), "{said}");
    assert_eq!(output.status.code(), Some(1));
    assert!(!outer.path().join("data").exists());
}

#[test]
fn a_directory_without_kafka_is_no_failure_for_down_and_one_for_status() {
    let outer = tempfile::tempdir().unwrap();
    for (verb, code) in [("status", 3), ("down", 0)] {
        let output = end(&mut script(verb, outer.path()));
        let said = String::from_utf8(output.stdout).unwrap();
        let dir = outer.path().canonicalize().unwrap().join("data");
        assert_eq!(said.trim_end(), format!("Kafka does not run in {}", dir.display()), "{verb}");
        assert_eq!(output.status.code(), Some(code), "{verb}");
        assert!(!dir.exists(), "{verb} makes nothing");
    }
}
