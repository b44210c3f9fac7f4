//! A Kafka of the tests' own: one broker with a plain port, one for TLS and one for SASL. It has users with and without rights.

use super::processes;
use crate::support::disk;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);
/// The password of the user `bench`, who may do everything. The user `guest` has it too, and may do nothing.
pub(crate) const PASSWORD: &str = "correct-horse";

/// Runs a command until standard input ends. It ends with the tests then, also if they are killed.
const UNTIL_STDIN_ENDS: &str = r#""$@" & read -r _; kill -9 $!; wait $!"#;

/// A broker that ends with this value.
pub(crate) struct Cluster {
    dir: TempDir,
    broker: Child,
    /// Ports: of the controller, for plain clients, for TLS, for SASL.
    ports: [u16; 4],
}

/// The cluster that tests share while they run.
static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());

/// Starts the cluster, unless another test uses it.
pub(crate) fn cluster() -> Arc<Cluster> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Cluster::start());
        *shared = Arc::downgrade(&started);
        started
    })
}

/// The directory of Kafka's jars, which are fetched first if they are missing.
fn jars() -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/kafka");
    let output = Command::new("bash").arg(script).arg("jars").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    format!("{}/*", String::from_utf8(output.stdout).unwrap().trim())
}

fn succeed(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

fn free_ports() -> [u16; 4] {
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Cluster {
    fn start() -> Self {
        let (dir, ports, jars) = (disk(), free_ports(), jars());
        let path = |name: &str| dir.path().join(name);
        succeed(Command::new("keytool").current_dir(dir.path()).args([
            "-genkeypair",
            "-alias",
            "broker",
            "-keyalg",
            "RSA",
            "-storetype",
            "PKCS12",
            "-keystore",
            "keys.p12",
            "-storepass",
            "secret",
            "-dname",
            "CN=127.0.0.1",
            "-ext",
            "san=ip:127.0.0.1",
            "-validity",
            "2",
        ]));
        succeed(Command::new("keytool").current_dir(dir.path()).args([
            "-exportcert",
            "-rfc",
            "-alias",
            "broker",
            "-keystore",
            "keys.p12",
            "-storepass",
            "secret",
            "-file",
            "ca.pem",
        ]));
        std::fs::write(path("broker.properties"), properties(dir.path(), ports)).unwrap();
        let java = || {
            let mut command = Command::new("java");
            command.args(["-Xmx384m", "-cp", &jars]);
            command
        };
        succeed(
            java()
                .args([
                    "kafka.tools.StorageTool",
                    "format",
                    "--cluster-id",
                    "AAAAAAAAAAAAAAAAAAAAAA",
                    "--add-scram",
                    &format!("SCRAM-SHA-256=[name=bench,password={PASSWORD}]"),
                    "--config",
                ])
                .arg(path("broker.properties")),
        );
        let log = std::fs::File::create(path("broker.log")).unwrap();
        let mut command = Command::new("bash");
        command.args(["-c", UNTIL_STDIN_ENDS, "broker", "java", "-Xmx384m", "-cp", &jars, "kafka.Kafka"]);
        command.arg(path("broker.properties"));
        command.stdin(Stdio::piped()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut broker = command.spawn().unwrap();
        let begun = Instant::now();
        loop {
            let said = std::fs::read_to_string(path("broker.log")).unwrap();
            if said.contains("Kafka Server started") {
                break;
            }
            assert!(broker.try_wait().unwrap().is_none() && begun.elapsed() < PATIENCE, "{said}");
            std::thread::sleep(Duration::from_millis(100));
        }
        Self { dir, broker, ports }
    }

    fn address(&self, port: usize) -> String {
        format!("127.0.0.1:{}", self.ports[port])
    }

    /// The address for plain clients. They may do everything.
    pub(crate) fn plain(&self) -> String {
        self.address(1)
    }

    /// The address for TLS. Its clients may do everything.
    pub(crate) fn tls(&self) -> String {
        self.address(2)
    }

    /// The address for SASL without TLS.
    pub(crate) fn sasl(&self) -> String {
        self.address(3)
    }

    /// The certificate of the broker.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.plain()).set("group.id", "test");
        config
    }

    /// Makes a topic.
    pub(crate) fn create(&self, name: &str, partitions: i32, settings: &[(&str, &str)]) {
        let new = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        let new = settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        create_topic(&admin_of(&self.config()), &new);
    }

    /// The topics that clients make, with their numbers of partitions.
    pub(crate) fn topics(&self) -> BTreeMap<String, usize> {
        let metadata = metadata_of(&self.config(), None);
        let topics = metadata.topics().iter().filter(|topic| !topic.name().starts_with("__"));
        topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect()
    }

    /// The ids of all groups.
    pub(crate) fn groups(&self) -> Vec<String> {
        let client: BaseConsumer = self.config().create().unwrap();
        let list = client.fetch_group_list(None, PATIENCE).unwrap();
        list.groups().iter().map(|group| group.name().to_owned()).collect()
    }

    /// The settings of a topic.
    pub(crate) fn settings(&self, name: &str) -> BTreeMap<String, Option<String>> {
        let asked = [ResourceSpecifier::Topic(name)];
        let read =
            pollster::block_on(admin_of(&self.config()).describe_configs(&asked, &AdminOptions::new()))
                .unwrap();
        let entries = read.into_iter().flat_map(|it| it.unwrap().entries);
        entries.map(|entry| (entry.name, entry.value)).collect()
    }

    /// A client that writes to topics.
    pub(crate) fn producer(&self) -> BaseProducer {
        self.config().create().unwrap()
    }

    /// Commits offset 0 of a topic's first partition for a group that has no members.
    pub(crate) fn commit(&self, group: &str, topic: &str) {
        let consumer: BaseConsumer = self.config().set("group.id", group).create().unwrap();
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, 0, Offset::Offset(0)).unwrap();
        // A broker that has just begun does not coordinate groups yet.
        let begun = Instant::now();
        while let Err(error) = consumer.commit(&offsets, CommitMode::Sync) {
            assert!(begun.elapsed() < PATIENCE, "{error}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Returns a client that changes topics.
pub(crate) fn admin_of(config: &ClientConfig) -> AdminClient<DefaultClientContext> {
    config.create().unwrap()
}

/// Makes a topic.
pub(crate) fn create_topic(admin: &AdminClient<DefaultClientContext>, topic: &NewTopic<'_>) {
    let made = pollster::block_on(admin.create_topics([topic], &AdminOptions::new())).unwrap();
    made.into_iter().for_each(|it| drop(it.unwrap()));
}

/// Returns what the brokers say about a topic, or about all topics.
pub(crate) fn metadata_of(config: &ClientConfig, topic: Option<&str>) -> Metadata {
    let client: BaseConsumer = config.create().unwrap();
    client.client().fetch_metadata(topic, PATIENCE).unwrap()
}

/// Writes records that are not vnotch's to a partition, and waits until they are there.
pub(crate) fn write(producer: &BaseProducer, topic: &str, partition: i32, records: usize) {
    for number in 0..records {
        let value = format!("an order of somebody else, number {number}, with some words after it");
        let record: BaseRecord<'_, str, str> = BaseRecord::to(topic).partition(partition).payload(&value);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.broker.stdin.take());
        self.broker.wait().expect("the broker has ended");
        assert!(processes(self.dir.path()).is_empty());
    }
}

fn properties(dir: &Path, [controller, plain, tls, sasl]: [u16; 4]) -> String {
    let dir = dir.display();
    let users = format!("user_bench=\"{PASSWORD}\" user_guest=\"{PASSWORD}\"");
    let login = "org.apache.kafka.common.security";
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=CONTROLLER://127.0.0.1:{controller},PLAINTEXT://127.0.0.1:{plain},TLS://127.0.0.1:{tls},SASL://127.0.0.1:{sasl}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},TLS://127.0.0.1:{tls},SASL://127.0.0.1:{sasl}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,TLS:SSL,SASL:SASL_PLAINTEXT
inter.broker.listener.name=PLAINTEXT
ssl.keystore.type=PKCS12
ssl.keystore.location={dir}/keys.p12
ssl.keystore.password=secret
ssl.key.password=secret
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256
listener.name.sasl.plain.sasl.jaas.config={login}.plain.PlainLoginModule required {users};
listener.name.sasl.scram-sha-256.sasl.jaas.config={login}.scram.ScramLoginModule required;
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS;User:bench
auto.create.topics.enable=true
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.segment.delete.delay.ms=1000
log.dirs={dir}/data
"
    )
}
