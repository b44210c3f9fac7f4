//! Kafka that the harness starts: the script `scripts/kafka` holds the brokers, and ends them when its standard input ends.
//!
//! The standard input is a pipe from this process. The kernel closes the pipe when this process ends, also after SIGKILL.

mod ports;
#[cfg(test)]
mod script_tests;

use crate::host::processes::GroupSample;
use crate::workload::{KafkaSettings, KafkaVersion};
use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

/// The script that starts Kafka. It is part of the binary, so that an installed vnotch needs no other file.
const SCRIPT: &str = include_str!("../../../../../scripts/kafka");
/// Name of the directory below the run's data directory that holds the data of the brokers.
pub(super) const DIRECTORY: &str = "kafka";
/// Longest wait until the script has ended its processes.
const END_MAX: Duration = Duration::from_secs(20);
/// The script's word for a port that another process has.
const PORT_IN_USE: &str = " is in use; ";
/// The most attempts to start Kafka on ports of its own.
const PORT_ATTEMPTS: u32 = 3;
/// Time between two looks whether the script has ended.
const LOOK: Duration = Duration::from_millis(20);

/// The settings that make one started Kafka differ from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Setup {
    version: KafkaVersion,
    brokers: u32,
    heap_bytes: u64,
}

impl Setup {
    pub(super) fn of(kafka: &KafkaSettings) -> Self {
        Self { version: kafka.version, brokers: kafka.brokers, heap_bytes: kafka.heap.0 }
    }

    /// The arguments for the script that starts it.
    pub(super) fn arguments(self) -> [String; 7] {
        let [brokers, heap] = [u64::from(self.brokers), self.heap_bytes].map(|number| number.to_string());
        let version = self.version.number();
        ["hold", "--version", version, "--brokers", &brokers, "--heap", &heap].map(str::to_owned)
    }

    /// The names of the processes of this setup that do not run in a process group any more.
    pub(super) fn lost(self, process_group: u32) -> Vec<String> {
        let running = GroupSample::of(process_group).names();
        let brokers = (1..=self.brokers).map(|number| format!("broker-{number}"));
        let zookeeper = (self.version == KafkaVersion::V3_6_2).then(|| "zookeeper".to_owned());
        brokers.chain(zookeeper).filter(|name| !running.contains(name)).collect()
    }
}

/// Brokers that the harness has started, as a system needs them.
#[derive(Debug, Clone)]
pub(super) struct Started {
    pub(super) setup: Setup,
    /// The version of Kafka.
    pub(super) version: &'static str,
    /// The group of their processes.
    pub(super) process_group: u32,
    /// The directory of their data.
    pub(super) dir: PathBuf,
    /// The time for which load was put on them before the first trial; `None` if there was none.
    pub(super) warmed: Option<Duration>,
    /// The reason for which they were started again; `None` if they were not.
    pub(super) started_again: Option<String>,
}

impl Started {
    /// The names of their processes that have ended.
    pub(super) fn lost(&self) -> Vec<String> {
        self.setup.lost(self.process_group)
    }
}

/// A Kafka that runs until this value is dropped.
#[derive(Debug)]
pub(crate) struct Launched {
    setup: Setup,
    dir: PathBuf,
    addresses: String,
    script: Child,
    /// The script ends when this is closed.
    input: Option<ChildStdin>,
}

impl Launched {
    /// Starts Kafka with its data below `data_dir`, and waits until it is ready.
    ///
    /// # Errors
    /// Java or Maven is missing, a port is in use, or a broker does not come up. The error holds the script's own message.
    pub(super) fn start(kafka: &KafkaSettings, data_dir: &Path) -> anyhow::Result<Self> {
        Self::start_in(kafka, &data_dir.join(DIRECTORY))
    }

    /// Does the same with the data in `dir`, which must be empty or missing.
    ///
    /// # Errors
    /// The same as of [`Self::start`].
    pub(super) fn start_in(kafka: &KafkaSettings, dir: &Path) -> anyhow::Result<Self> {
        Self::start_with(SCRIPT, kafka, dir)
    }

    /// Starts Kafka by a script. The ports were free a moment ago; if another process has taken one since, others are tried.
    fn start_with(script: &str, kafka: &KafkaSettings, dir: &Path) -> anyhow::Result<Self> {
        let mut attempts = 1;
        loop {
            match Self::try_to_start(script, kafka, dir) {
                Err(error) if attempts < PORT_ATTEMPTS && error.to_string().contains(PORT_IN_USE) => {
                    attempts += 1
                }
                outcome => return outcome,
            }
        }
    }

    fn try_to_start(script: &str, kafka: &KafkaSettings, dir: &Path) -> anyhow::Result<Self> {
        let setup = Setup::of(kafka);
        let mut messages = tempfile::tempfile().context("cannot make a temporary file")?;
        let mut command = Command::new("bash");
        command
            .args(["-c", script, "kafka"])
            .args(setup.arguments())
            .args(["--port", &ports::free(2 * setup.brokers)?.to_string()])
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(messages.try_clone()?)
            // Ctrl-C in the terminal is for vnotch alone, which ends the brokers after the trial.
            .process_group(0);
        let mut child = command.spawn().context("cannot start `bash`, which starts Kafka")?;
        let (input, output) = (child.stdin.take(), child.stdout.take());
        let mut launched =
            Self { setup, dir: dir.to_owned(), addresses: String::new(), script: child, input };
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line).context("cannot read what the script says")?;
        }
        match line.strip_prefix("ready ") {
            Some(addresses) => launched.addresses = addresses.trim().to_owned(),
            None => {
                launched.end();
                let mut said = String::new();
                messages.rewind().and_then(|()| messages.read_to_string(&mut said))?;
                bail!("Kafka does not start:\n{}", said.trim_end());
            }
        }
        Ok(launched)
    }

    /// Whether it was started with these settings.
    pub(super) fn is_for(&self, kafka: &KafkaSettings) -> bool {
        self.setup == Setup::of(kafka)
    }

    /// The names of its processes that have ended.
    pub(super) fn lost(&self) -> Vec<String> {
        self.setup.lost(self.process_group())
    }

    /// The directory of its data.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The addresses for clients.
    pub(super) fn addresses(&self) -> &str {
        &self.addresses
    }

    /// The group of all its processes.
    pub(super) fn process_group(&self) -> u32 {
        self.script.id()
    }

    /// Ends all processes.
    fn end(&mut self) {
        drop(self.input.take());
        let begun = Instant::now();
        while begun.elapsed() < END_MAX {
            match self.script.try_wait() {
                Ok(None) => std::thread::sleep(LOOK),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        let group = i32::try_from(self.script.id()).ok().and_then(Pid::from_raw);
        if let Some(group) = group {
            // A script that hangs is killed with all that it has started.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = self.script.wait();
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Bytes;

    fn start(script: &str, data_dir: &Path) -> anyhow::Result<Launched> {
        Launched::start_with(script, &KafkaSettings::default(), &data_dir.join(DIRECTORY))
    }

    #[test]
    fn the_script_gets_the_settings_and_ends_with_its_input() {
        let outer = tempfile::tempdir().unwrap();
        let gone = outer.path().join("gone");
        let script =
            format!("trap 'touch {}' EXIT; echo \"ready $*\"; while read -r _; do :; done", gone.display());
        let launched = start(&script, outer.path()).unwrap();
        let said = launched.addresses().to_owned();
        assert!(said.starts_with("hold --version 4.3.1 --brokers 1 --heap 1073741824 --port "), "{said}");
        assert!(said.ends_with(&format!("--dir {}", outer.path().join(DIRECTORY).display())), "{said}");
        assert!(launched.is_for(&KafkaSettings::default()));
        assert!(!launched.is_for(&KafkaSettings { heap: Bytes::gib(2), ..KafkaSettings::default() }));
        assert!(!gone.exists());
        drop(launched);
        assert!(gone.exists(), "the script has ended by itself");
    }

    #[test]
    fn a_script_that_fails_is_quoted() {
        let outer = tempfile::tempdir().unwrap();
        let error = start("echo 'port 9092 is in use' >&2; exit 1", outer.path()).unwrap_err().to_string();
        assert!(error.contains("Kafka does not start") && error.contains("port 9092 is in use"), "{error}");
    }

    #[test]
    fn a_port_that_was_taken_in_the_meantime_is_not_the_end() {
        let outer = tempfile::tempdir().unwrap();
        let flag = outer.path().join("flag").display().to_string();
        let script = format!(
            "if [ -e {flag} ]; then echo 'ready here'; while read -r _; do :; done; else touch {flag}; \
             echo 'kafka: port 1 is in use; stop what listens there' >&2; exit 1; fi"
        );
        assert_eq!(start(&script, outer.path()).unwrap().addresses(), "here");
        let always = "echo 'kafka: port 1 is in use; stop what listens there' >&2; exit 1";
        let error = start(always, outer.path()).unwrap_err().to_string();
        assert!(error.contains("port 1 is in use; stop what listens there"), "{error}");
    }

    #[test]
    fn a_broker_that_has_ended_is_named() {
        let outer = tempfile::tempdir().unwrap();
        let file = outer.path().join("broker-1.properties").display().to_string();
        let script = format!(
            "mkfifo {file}.fifo; bash -c 'read -r _ <\"$0.fifo\"' {file} & echo \"ready $!\"; while read -r _; do :; done; \
             kill $! 2>/dev/null"
        );
        let launched = start(&script, outer.path()).unwrap();
        let wait_for = |lost: &[&str]| {
            let begun = Instant::now();
            while launched.lost() != lost {
                assert!(begun.elapsed() < END_MAX, "{:?}", launched.lost());
                std::thread::sleep(LOOK);
            }
        };
        wait_for(&[]);
        let broker = Pid::from_raw(launched.addresses().parse().unwrap()).unwrap();
        rustix::process::kill_process(broker, Signal::KILL).unwrap();
        wait_for(&["broker-1"]);
    }
}
