//! A Kafka cluster as a [`System`]: its topics are made for one trial and removed at its end, or there is one that existed before.

use super::config::{self, Client, NewTopics};
use super::consumer::{Begin, KafkaConsumer};
use super::errors::Noting;
use super::existing;
use super::groups::{Endings, KafkaMember, MemberPlan, removal};
use super::launch::Started;
use super::producer::KafkaProducer;
use super::topics::{self, Origin, Refusal, Topic};
use crate::stderr;
use crate::system::{
    ConsumerSpec, Description, Inside, MemberSpec, ProducerSpec, System, SystemConsumer, SystemMember,
    SystemProducer,
};
use crate::workload::Workload;
use anyhow::{Context as _, bail};
use rdkafka::admin::AdminClient;
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::util::get_rdkafka_version;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for the first answer of a cluster.
const ANSWER_MAX: Duration = if cfg!(test) { Duration::from_secs(3) } else { Duration::from_secs(15) };
/// Longest time of one request for metadata.
const METADATA_MAX: Duration = Duration::from_secs(1);
/// Longest wait until all members have left their groups.
const LEAVE_MAX: Duration = Duration::from_secs(15);
/// Time after a request that is refused, in which the client may tell why. Then it is sent again.
const RETRY: Duration = Duration::from_millis(100);

/// A cluster, and the topics that this system made in it.
pub(super) struct KafkaSystem {
    admin: AdminClient<DefaultClientContext>,
    client: Client,
    new_topics: NewTopics,
    /// Asks for metadata. The request of a consumer never makes a topic.
    probe: BaseConsumer<Noting>,
    /// The settings of the trial.
    workload: Workload,
    run_id: String,
    /// The topics, by the names that the load knows.
    topics: BTreeMap<String, Topic>,
    /// The groups that members of this system have joined, by their ids in the cluster.
    groups: Mutex<BTreeSet<String>>,
    /// The clients of members that have left or were dropped.
    endings: Endings,
    started: Option<Started>,
    facts: Vec<(String, String)>,
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
        let (probe, found) = first_answer(&client, brokers)?;
        let admin = client.admin().create().context("cannot make a Kafka client")?;
        let new_topics = NewTopics::of(workload);
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let settings: Vec<_> =
            new_topics.config.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut facts = vec![
            fact("ack", config::ack_in_words(workload.durability).to_owned()),
            fact("batching", "librdkafka, by linger.ms, batch.size and batch.num.messages".to_owned()),
            fact("brokers", found.brokers.to_string()),
            fact("client", format!("librdkafka {}", get_rdkafka_version().1)),
            fact("replication", new_topics.replication.to_string()),
            fact("topic_config", settings.join(", ")),
        ];
        facts.extend(found.cluster_id.map(|id| fact("cluster_id", id)));
        let network = match started {
            Some(_) => "TCP on loopback, to processes of its own",
            None => "TCP to the cluster's addresses",
        };
        facts.push(fact("network", network.to_owned()));
        if let Some(started) = &started {
            facts.push(fact("data", "on this machine, in the run's data directory".to_owned()));
            let warmed =
                started.warmed.map(|warmed| fact("warmed", format!("{} s of load", warmed.as_secs_f64())));
            facts.extend(warmed);
            facts.extend(started.started_again.clone().map(|why| fact("started_again", why)));
        }
        Ok(Self {
            admin,
            client,
            new_topics,
            probe,
            workload: workload.clone(),
            run_id: topics::run_id()?,
            topics: BTreeMap::new(),
            groups: Mutex::default(),
            endings: Endings::default(),
            started,
            facts,
        })
    }

    fn topic(&self, name: &str) -> anyhow::Result<&Topic> {
        self.topics.get(name).with_context(|| format!("there is no topic {name}"))
    }

    /// Removes the topics and the groups that this system made. Brokers of the harness that have lost one of them are started again
    /// for the next trial, without any topic.
    fn remove_all(&mut self) -> anyhow::Result<()> {
        let topics = std::mem::take(&mut self.topics);
        let groups = std::mem::take(&mut *self.groups.lock().unwrap_or_else(PoisonError::into_inner));
        self.endings.wait(LEAVE_MAX);
        if self.started.as_ref().is_some_and(|started| !started.lost().is_empty()) {
            return Ok(());
        }
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let without_groups = removal::delete(&self.admin, &groups, removal::AFTER_A_RUN);
        let made = topics.values().filter(|topic| topic.origin == Origin::Made);
        let names: Vec<&str> = made.map(|topic| topic.name.as_str()).collect();
        topics::delete(&self.admin, &names)?;
        without_groups
    }

    /// Puts facts in the place of those of the same names.
    fn replace_facts(&mut self, facts: Vec<(String, String)>) {
        for (name, value) in facts {
            self.facts.retain(|(other, _)| *other != name);
            self.facts.push((name, value));
        }
    }

    /// Says what could not be removed, and how it can be. That is no failure of the trial, whose records may have met the same fault.
    fn tell_what_is_left(&self, error: &anyhow::Error) {
        let target = &self.workload.target;
        let how = target.address().map_or_else(String::new, |_| {
            format!("; `vnotch prune --leftovers --target {target}` lists what runs have left")
        });
        stderr::line(format_args!("vnotch: {error:#}{how}"));
    }

    /// Uses the existing topic that the workload names, under the name that the load knows.
    fn use_existing(&mut self, name: &str, existing: &str) -> anyhow::Result<()> {
        let found = existing::look(&self.admin, &self.probe, existing, &self.workload)?;
        self.replace_facts(found.facts());
        self.topics.insert(name.to_owned(), found.topic);
        Ok(())
    }
}

/// The first answer of a cluster.
pub(super) struct Answer {
    brokers: usize,
    cluster_id: Option<String>,
}

/// Waits for the first answer of a cluster. Returns it with the client that got it.
pub(super) fn first_answer(client: &Client, brokers: &str) -> anyhow::Result<(BaseConsumer<Noting>, Answer)> {
    let probe: BaseConsumer<Noting> =
        client.admin().create_with_context(Noting::default()).context("cannot make a Kafka client")?;
    let errors = &probe.client().context().errors;
    let begun = Instant::now();
    loop {
        match probe.client().fetch_metadata(None, METADATA_MAX) {
            Ok(metadata) => {
                let cluster_id = probe.client().fetch_cluster_id(METADATA_MAX);
                let answer = Answer { brokers: metadata.brokers().len(), cluster_id };
                return Ok((probe, answer));
            }
            Err(error) => {
                note_events(&probe);
                let advice = errors.advice();
                if begun.elapsed() > ANSWER_MAX || advice.is_some() {
                    let advice = advice.unwrap_or_else(|| advice_on_silence(client));
                    let because = errors.because();
                    bail!("no Kafka broker answers at {brokers} ({error}){because}; {advice}");
                }
            }
        }
    }
}

/// Returns what the user can check if a broker closes each connection and the client does not know why.
fn advice_on_silence(client: &Client) -> &'static str {
    let protocol = client.admin().get("security.protocol").map(str::to_ascii_uppercase);
    if protocol.is_some_and(|protocol| protocol.ends_with("SSL")) {
        "check the address, that this machine may connect to it, and that this port speaks TLS (`security.protocol` in \
         `kafka.properties`)"
    } else {
        "check the address, that this machine may connect to it, and `security.protocol` in `kafka.properties`"
    }
}

/// Lets a client note its events for [`RETRY`]. They tell why a request failed, and may come a little after its answer.
fn note_events(probe: &BaseConsumer<Noting>) {
    let begun = Instant::now();
    while begun.elapsed() < RETRY {
        // The context notes events of errors.
        drop(probe.poll(RETRY / 4));
    }
}

impl System for KafkaSystem {
    fn describe(&self) -> Description {
        // The protocol does not tell the version of brokers.
        let version = self.started.as_ref().map_or("unknown", |started| started.version).to_owned();
        Description { kind: super::KIND, version, facts: self.facts.clone() }
    }

    fn create_topic(&mut self, name: &str, partitions: u32) -> anyhow::Result<()> {
        if self.topics.contains_key(name) {
            bail!("the topic {name} exists already");
        }
        if let Some(existing) = self.workload.topic.clone() {
            return self.use_existing(name, &existing);
        }
        let topic = Topic { name: format!("{name}-{}", self.run_id), partitions, origin: Origin::Made };
        let made = topics::create(&self.admin, &topic, &self.new_topics);
        // A topic that was not refused may exist, and is removed with the others.
        if !made.as_ref().is_err_and(|error| error.chain().any(|cause| cause.is::<Refusal>())) {
            self.topics.insert(name.to_owned(), topic.clone());
        }
        made?;
        topics::wait_for_leaders(self.admin.inner(), &topic)?;
        if self.topics.len() == 1 {
            self.replace_facts(existing::facts_of_made(&self.admin, &topic.name).unwrap_or_default());
        }
        Ok(())
    }

    fn producer(&self, spec: &ProducerSpec) -> anyhow::Result<Box<dyn SystemProducer + Send>> {
        let Topic { name, partitions, .. } = self.topic(&spec.topic)?;
        Ok(Box::new(KafkaProducer::new(&self.client.producer(), name.clone(), *partitions, spec)?))
    }

    fn consumer(&self, spec: &ConsumerSpec) -> anyhow::Result<Box<dyn SystemConsumer + Send>> {
        let named = spec.assignment.iter().map(|(topic, partition)| {
            let topic = self.topic(topic)?;
            let offset = topic.first_offset(*partition);
            Ok(Begin { topic: topic.name.clone(), partition: i32::try_from(*partition)?, offset })
        });
        let assignment = named.collect::<anyhow::Result<Vec<_>>>()?;
        let config = self.client.consumer(&format!("{}-{}", spec.group, self.run_id), spec.fetch_bytes_max);
        Ok(Box::new(KafkaConsumer::new(&config, assignment, spec)?))
    }

    fn member(&self, spec: &MemberSpec) -> anyhow::Result<Box<dyn SystemMember + Send>> {
        let topic = self.topic(&spec.topic)?;
        let group = format!("{}-{}", spec.group, self.run_id);
        let is_new = self.groups.lock().unwrap_or_else(PoisonError::into_inner).insert(group.clone());
        let first_offsets: Arc<[u64]> = match &topic.origin {
            Origin::Made => Arc::default(),
            Origin::Existing { ends } => ends.as_slice().into(),
        };
        if is_new && !first_offsets.is_empty() {
            let config = self.client.consumer(&group, spec.fetch_bytes_max);
            existing::commit(&config, &group, &topic.name, &first_offsets)?;
        }
        let plan = MemberPlan {
            config: self.client.member(&group, spec),
            topic: topic.name.clone(),
            first_offsets,
            commits_by_itself: spec.auto_commit.is_some(),
            fetch_bytes_max: spec.fetch_bytes_max,
        };
        Ok(Box::new(KafkaMember::new(plan, self.endings.clone())?))
    }

    fn inside(&self) -> Option<&dyn Inside> {
        None
    }

    fn process_group(&self) -> Option<u32> {
        self.started.as_ref().map(|started| started.process_group)
    }

    fn data_dir(&self) -> Option<&Path> {
        self.started.as_ref().map(|started| started.dir.as_path())
    }

    fn close(self: Box<Self>) -> anyhow::Result<()> {
        // All records are acked or have failed. The rest is done when it is dropped.
        drop(self);
        Ok(())
    }
}

impl Drop for KafkaSystem {
    fn drop(&mut self) {
        if let Err(error) = self.remove_all() {
            self.tell_what_is_left(&error);
        }
    }
}
