//! Three brokers of a test's own, which it may kill.

use super::cluster::{admin_of, create_topic, metadata_of};
use super::{bytes_below, processes};
use crate::support::disk;
use rdkafka::ClientConfig;
use rdkafka::admin::{NewTopic, TopicReplication};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, ChildStdin, Command, Stdio};
use tempfile::TempDir;

/// Number of brokers.
const BROKERS: u16 = 3;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/kafka");

/// Three brokers that end with this value.
pub(crate) struct ThreeBrokers {
    dir: TempDir,
    script: Child,
    /// The script ends when this is closed.
    input: Option<ChildStdin>,
    addresses: String,
}

/// Returns the first of the neighbouring ports that the brokers need. Nobody listens at them.
fn free_ports() -> u16 {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let any = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let are_free = |first: &u16| first.checked_add(2 * BROKERS).is_some_and(|end| (*first..end).all(is_free));
    (0..100).map(|_| any()).find(are_free).expect("there are free ports")
}

impl ThreeBrokers {
    /// Starts the brokers.
    pub(crate) fn start() -> Self {
        let dir = disk();
        let mut command = Command::new("bash");
        command.args([SCRIPT, "hold", "--brokers", &BROKERS.to_string(), "--heap", "256m"]);
        command.args(["--port", &free_ports().to_string(), "--dir"]).arg(dir.path().join("kafka"));
        // The shell also reports brokers that are killed on purpose.
        let words = std::fs::File::create(dir.path().join("words")).unwrap();
        let mut script = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(words).spawn().unwrap();
        let (input, mut said) = (script.stdin.take(), String::new());
        BufReader::new(script.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let words = || std::fs::read_to_string(dir.path().join("words")).unwrap();
        let addresses =
            said.strip_prefix("ready ").unwrap_or_else(|| panic!("{}", words())).trim().to_owned();
        Self { dir, script, input, addresses }
    }

    /// The addresses for clients.
    pub(crate) fn addresses(&self) -> &str {
        &self.addresses
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.addresses).set("group.id", "test");
        config
    }

    /// Makes a topic with a copy of each partition on each broker. A record is acked when two brokers have it, or all of those in
    /// sync.
    pub(crate) fn create(&self, name: &str, partitions: i32) {
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(i32::from(BROKERS)));
        create_topic(&admin_of(&self.config()), &topic.set("min.insync.replicas", "2"));
    }

    /// Returns the number of the broker that leads a partition.
    pub(crate) fn leader(&self, topic: &str, partition: usize) -> i32 {
        let metadata = metadata_of(&self.config(), Some(topic));
        metadata.topics()[0].partitions()[partition].leader()
    }

    /// Returns the process of a broker.
    pub(crate) fn process(&self, broker: i32) -> i32 {
        let found = processes(&self.dir.path().join("kafka"));
        let name = format!("kafka.Kafka\0{}/kafka/broker-{broker}.properties", self.dir.path().display());
        let is_broker = |process: &i32| {
            let line = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains(&name)
        };
        found.into_iter().find(is_broker).expect("the broker runs")
    }

    /// Bytes of all copies of all partitions.
    pub(crate) fn bytes(&self) -> u64 {
        bytes_below(self.dir.path())
    }
}

impl Drop for ThreeBrokers {
    fn drop(&mut self) {
        drop(self.input.take());
        self.script.wait().expect("the script ends");
        assert!(processes(&self.dir.path().join("kafka")).is_empty());
    }
}
