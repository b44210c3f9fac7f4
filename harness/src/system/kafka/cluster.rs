//! A Kafka cluster as a [`System`]: its topics are made for one trial and removed at its end.

use super::config::{self, Client};
use super::consumer::KafkaConsumer;
use super::errors::Noting;
use super::producer::KafkaProducer;
use super::topics::{self, Topic};
use crate::system::{
    ConsumerSpec, Description, Inside, ProducerSpec, System, SystemConsumer, SystemProducer,
};
use crate::workload::Workload;
use anyhow::{Context as _, bail};
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::util::get_rdkafka_version;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest wait for the first answer of a cluster.
const ANSWER_MAX: Duration = Duration::from_secs(15);
/// Longest time of one request for metadata.
const METADATA_MAX: Duration = Duration::from_secs(1);
/// Time between two requests that are refused at once.
const RETRY: Duration = Duration::from_millis(100);

/// A cluster, and the topics that this system made in it.
pub(super) struct KafkaSystem {
    admin: AdminClient<DefaultClientContext>,
    client: Client,
    topic_config: Vec<(&'static str, String)>,
    replication: u16,
    run_id: String,
    /// The topics, by the names that the load knows.
    topics: BTreeMap<String, Topic>,
    started: Option<Started>,
    facts: Vec<(String, String)>,
}

/// Facts of brokers that the harness has started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Started {
    /// The version of Kafka.
    pub(super) version: &'static str,
    /// The group of their processes.
    pub(super) process_group: u32,
    /// The time for which load was put on them before the first trial; `None` if there was none.
    pub(super) warmed: Option<Duration>,
}

impl KafkaSystem {
    /// Connects to the cluster at `brokers`. `started` is about brokers of the harness.
    ///
    /// # Errors
    /// No broker answers, or the client cannot be made.
    pub(super) fn connect(
        workload: &Workload,
        brokers: &str,
        started: Option<Started>,
    ) -> anyhow::Result<Self> {
        let client = Client::of(workload, brokers)?;
        let found = first_answer(&client, brokers)?;
        let admin = client.admin().create().context("cannot make a Kafka client")?;
        let topic_config = config::topic(workload);
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let settings: Vec<_> = topic_config.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut facts = vec![
            fact("ack", config::ack_in_words(workload.durability).to_owned()),
            fact("batching", "librdkafka, by linger.ms, batch.size and batch.num.messages".to_owned()),
            fact("brokers", found.brokers.to_string()),
            fact("client", format!("librdkafka {}", get_rdkafka_version().1)),
            fact("replication", workload.kafka.replication.to_string()),
            fact("topic_config", settings.join(", ")),
        ];
        facts.extend(found.cluster_id.map(|id| fact("cluster_id", id)));
        let network = match started {
            Some(_) => "TCP on loopback, to processes of its own",
            None => "TCP to the cluster's addresses",
        };
        facts.push(fact("network", network.to_owned()));
        if let Some(started) = started {
            facts.push(fact("data", "on this machine, in the run's data directory".to_owned()));
            let warmed =
                started.warmed.map(|warmed| fact("warmed", format!("{} s of load", warmed.as_secs_f64())));
            facts.extend(warmed);
        }
        Ok(Self {
            admin,
            client,
            topic_config,
            replication: workload.kafka.replication,
            run_id: topics::run_id()?,
            topics: BTreeMap::new(),
            started,
            facts,
        })
    }

    fn topic(&self, name: &str) -> anyhow::Result<&Topic> {
        self.topics.get(name).with_context(|| format!("there is no topic {name}"))
    }

    /// Removes the topics that this system made.
    fn remove_topics(&mut self) -> anyhow::Result<()> {
        let made = std::mem::take(&mut self.topics);
        let names: Vec<&str> = made.values().map(|topic| topic.name.as_str()).collect();
        topics::delete(&self.admin, &names)
    }
}

/// The first answer of a cluster.
struct Answer {
    brokers: usize,
    cluster_id: Option<String>,
}

/// Waits for the first answer of a cluster.
fn first_answer(client: &Client, brokers: &str) -> anyhow::Result<Answer> {
    let context = Noting::default();
    let probe: BaseConsumer<Noting> =
        client.admin().create_with_context(context.clone()).context("cannot make a Kafka client")?;
    let begun = Instant::now();
    loop {
        match probe.client().fetch_metadata(None, METADATA_MAX) {
            Ok(metadata) => {
                let cluster_id = probe.client().fetch_cluster_id(METADATA_MAX);
                return Ok(Answer { brokers: metadata.brokers().len(), cluster_id });
            }
            Err(error) => {
                // The client tells why in events of its own.
                while probe.poll(Duration::ZERO).is_some() {}
                if begun.elapsed() > ANSWER_MAX {
                    bail!(
                        "no Kafka broker answers at {brokers} ({error}){}; check the address, and that this machine may \
                         connect to it",
                        context.0.because()
                    );
                }
                std::thread::sleep(RETRY);
            }
        }
    }
}

impl System for KafkaSystem {
    fn describe(&self) -> Description {
        // The protocol does not tell the version of brokers.
        let version = self.started.map_or("unknown", |started| started.version).to_owned();
        Description { kind: super::KIND, version, facts: self.facts.clone() }
    }

    fn create_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()> {
        if self.topics.contains_key(name) {
            bail!("the topic {name} exists already");
        }
        let topic = Topic { name: format!("{name}-{}", self.run_id), partitions };
        // Entered first: a topic without leaders exists all the same, and is removed with the others.
        self.topics.insert(name.to_owned(), topic.clone());
        topics::create(&self.admin, &topic, self.replication, &self.topic_config)
    }

    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer + Send>> {
        let Topic { name, partitions } = self.topic(&spec.topic)?;
        Ok(Box::new(KafkaProducer::new(&self.client.producer(), name.clone(), *partitions, spec)?))
    }

    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer + Send>> {
        let named = spec
            .assignment
            .iter()
            .map(|(topic, partition)| Ok((self.topic(topic)?.name.clone(), i32::try_from(*partition)?)));
        let assignment = named.collect::<anyhow::Result<Vec<_>>>()?;
        let config = self.client.consumer(&format!("{}-{}", spec.group, self.run_id), spec.fetch_bytes_max);
        Ok(Box::new(KafkaConsumer::new(&config, assignment, spec)?))
    }

    fn inside(&self) -> Option<&dyn Inside> {
        None
    }

    fn process_group(&self) -> Option<u32> {
        self.started.map(|started| started.process_group)
    }

    fn close(mut self: Box<Self>) -> anyhow::Result<()> {
        self.remove_topics()
    }
}

impl Drop for KafkaSystem {
    fn drop(&mut self) {
        if let Err(error) = self.remove_topics() {
            tracing::warn!("{error:#}");
        }
    }
}
