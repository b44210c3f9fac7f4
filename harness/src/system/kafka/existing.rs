//! An existing topic that is measured: its settings are read, and nothing of it is altered.

use super::config;
use super::errors::{Noting, missing_rights};
use super::topics::{self, Origin, Topic};
use crate::exit::UsageError;
use crate::num;
use crate::workload::{Durability, Workload};
use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Longest time of one request.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Time between two attempts to commit.
const COMMIT_RETRY: Duration = Duration::from_millis(100);

/// The settings of a topic that figures depend on.
const SHOWN: [&str; 13] = [
    "cleanup.policy",
    "compression.type",
    "flush.messages",
    "flush.ms",
    "max.message.bytes",
    "message.timestamp.type",
    "min.insync.replicas",
    "preallocate",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.ms",
    "unclean.leader.election.enable",
];

/// An existing topic as it was found.
pub(super) struct Found {
    pub(super) topic: Topic,
    /// Copies of its partitions.
    pub(super) replication: usize,
    settings: Settings,
}

impl Found {
    /// Facts about the topic, as (name, value). They take the place of those of topics that the run makes.
    pub(super) fn facts(&self) -> Vec<(String, String)> {
        let fact = |name: &str, value: String| (name.to_owned(), value);
        let mut facts = self.settings.facts();
        facts.extend([
            fact("replication", self.replication.to_string()),
            fact("topic", format!("{}, which was there before", self.topic.name)),
        ]);
        facts
    }
}

/// Reads the settings that a topic of the run has got, and returns facts about them. `None` if the user may not read them.
pub(super) fn facts_of_made(
    admin: &AdminClient<DefaultClientContext>,
    name: &str,
) -> Option<Vec<(String, String)>> {
    Settings::read(admin, name).ok().map(|settings| settings.facts())
}

/// Looks at the existing topic that a workload names. `probe` is a consumer, whose requests never make a topic.
///
/// # Errors
/// There is no such topic, the cluster does not show it, or it is not as the workload needs it.
pub(super) fn look(
    admin: &AdminClient<DefaultClientContext>,
    probe: &BaseConsumer<Noting>,
    name: &str,
    workload: &Workload,
) -> anyhow::Result<Found> {
    let metadata = probe.client().fetch_metadata(Some(name), ANSWER_MAX);
    let metadata = metadata.with_context(|| format!("cannot look at the topic {name}"))?;
    let found =
        metadata.topics().first().with_context(|| format!("the cluster says nothing about {name}"))?;
    if let Some(error) = found.error() {
        let code = RDKafkaErrorCode::from(error);
        return Err(refused(name, code));
    }
    let partitions = num::count(found.partitions().len());
    if partitions != u64::from(workload.partitions_per_topic) {
        return Err(UsageError::error(format!(
            "the topic {name} has {partitions} partitions, and `partitions_per_topic` is {}; set it to {partitions}",
            workload.partitions_per_topic
        )));
    }
    let replication =
        found.partitions().iter().map(|partition| partition.replicas().len()).min().unwrap_or(0);
    let settings = Settings::read(admin, name)?;
    settings.check(name, workload)?;
    let end = |partition: u32| {
        let offsets = probe.client().fetch_watermarks(name, i32::try_from(partition)?, ANSWER_MAX);
        let (_, end) = offsets.with_context(|| format!("cannot find the end of {name}-{partition}"))?;
        u64::try_from(end).with_context(|| format!("{name}-{partition} has no end"))
    };
    let ends = (0..workload.partitions_per_topic).map(end).collect::<anyhow::Result<Vec<_>>>()?;
    let topic = Topic {
        name: name.to_owned(),
        partitions: workload.partitions_per_topic,
        origin: Origin::Existing { ends },
    };
    Ok(Found { topic, replication, settings })
}

/// Commits the first offset of each partition for a group that nobody has joined yet, so that its members begin there.
///
/// # Errors
/// The client cannot be made, or the cluster refuses the commit.
pub(super) fn commit(
    config: &ClientConfig,
    group: &str,
    topic: &str,
    first_offsets: &[u64],
) -> anyhow::Result<()> {
    let mut config = config.clone();
    // A commit waits for the group's coordinator for the session timeout.
    config.set("session.timeout.ms", ANSWER_MAX.as_millis().to_string());
    let client: BaseConsumer = config.create().context("cannot make a Kafka consumer")?;
    let mut offsets = TopicPartitionList::new();
    for (partition, offset) in (0..).zip(first_offsets) {
        offsets.add_partition_offset(topic, partition, Offset::Offset(i64::try_from(*offset)?))?;
    }
    let begun = Instant::now();
    // A broker that has just begun to coordinate the group refuses at first.
    while let Err(error) = client.commit(&offsets, CommitMode::Sync) {
        let code = error.rdkafka_error_code();
        let is_final = matches!(
            code,
            Some(RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::TopicAuthorizationFailed)
        );
        if is_final || begun.elapsed() > ANSWER_MAX {
            let rights = match code {
                Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                    "; the user needs the right READ for the topic"
                }
                code => code.map_or("", missing_rights),
            };
            bail!(
                "cannot commit the offsets at which the group {group} begins in the topic {topic}: {error}{rights}"
            );
        }
        std::thread::sleep(COMMIT_RETRY);
    }
    Ok(())
}

/// The error of a topic that the cluster does not show.
fn refused(name: &str, code: RDKafkaErrorCode) -> anyhow::Error {
    match code {
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic => {
            UsageError::error(format!(
                "there is no topic {name} in the cluster; `topic` names one that exists, and without it the run makes its own"
            ))
        }
        RDKafkaErrorCode::TopicAuthorizationFailed => anyhow::anyhow!(
            "the user may not see the topic {name} ({code}); it needs the rights DESCRIBE, DESCRIBE_CONFIGS, READ and WRITE"
        ),
        _ => anyhow::anyhow!("cannot look at the topic {name}: {code}"),
    }
}

/// The settings of a topic, by Kafka's names.
#[derive(Debug, Clone, Default)]
struct Settings(BTreeMap<String, String>);

impl Settings {
    fn read(admin: &AdminClient<DefaultClientContext>, name: &str) -> anyhow::Result<Self> {
        let context = || format!("cannot read the settings of the topic {name}");
        let asked = [ResourceSpecifier::Topic(name)];
        let read =
            pollster::block_on(admin.describe_configs(&asked, &topics::options())).with_context(context)?;
        let Some(read) = read.into_iter().next() else { bail!("{}: the cluster has no answer", context()) };
        let read = read.map_err(|code| match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => anyhow::anyhow!(
                "{} ({code}); the user needs the right DESCRIBE_CONFIGS, because an ack means what they say",
                context()
            ),
            _ => anyhow::anyhow!("{}: {code}", context()),
        })?;
        let entries = read.entries.into_iter();
        Ok(Self(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect()))
    }

    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("unknown", String::as_str)
    }

    /// Facts about what an ack means, and the settings themselves.
    fn facts(&self) -> Vec<(String, String)> {
        vec![("ack".to_owned(), self.ack_in_words()), ("topic_config".to_owned(), self.to_string())]
    }

    fn ack_in_words(&self) -> String {
        let [messages, ms] = ["flush.messages", "flush.ms"].map(|name| self.get(name));
        let flushes = |value: &str| value.parse::<u64>().is_ok_and(|value| value < config::NEVER_FLUSHED);
        if self.flushes_each() {
            config::ack_in_words(Durability::Synced).to_owned()
        } else if flushes(messages) || flushes(ms) {
            format!(
                "acks=all: in the page cache of every in-sync replica; flushed after more appends or a time \
                 (flush.messages={messages}, flush.ms={ms})"
            )
        } else {
            config::ack_in_words(Durability::Written).to_owned()
        }
    }

    /// Whether each append is flushed before its ack.
    fn flushes_each(&self) -> bool {
        self.get("flush.messages") == "1"
    }

    /// Refuses settings under which the workload cannot be measured as it stands.
    fn check(&self, name: &str, workload: &Workload) -> anyhow::Result<()> {
        if workload.durability == Durability::Synced && !self.flushes_each() {
            return Err(UsageError::error(format!(
                "the topic {name} has flush.messages={}, so its acks do not wait for the device; `durability: synced` needs \
                 flush.messages=1, and `durability: written` does not",
                self.get("flush.messages")
            )));
        }
        if self.get("cleanup.policy").contains("compact") {
            return Err(UsageError::error(format!(
                "the topic {name} is compacted (cleanup.policy={}): records that the run has sent may be gone before they are \
                 read, so integrity cannot be checked; name another topic",
                self.get("cleanup.policy")
            )));
        }
        let largest = self.get("max.message.bytes").parse::<u64>().unwrap_or(u64::MAX);
        if workload.batch.max_bytes.0 > largest {
            return Err(UsageError::error(format!(
                "the topic {name} takes batches of {largest} bytes (max.message.bytes), and `batch.max_bytes` is {}; make it \
                 smaller",
                workload.batch.max_bytes.0
            )));
        }
        Ok(())
    }
}

impl std::fmt::Display for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = SHOWN.iter().filter_map(|name| Some(format!("{name}={}", self.0.get(*name)?)));
        f.write_str(&shown.collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::{Batch, Bytes};

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let usual = [("flush.messages", "9223372036854775807"), ("max.message.bytes", "1048588")];
        let pairs = usual.iter().chain(pairs);
        Settings(pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    fn problem(settings: &Settings, workload: &Workload) -> Option<String> {
        let error = settings.check("orders", workload).err()?;
        assert!(error.is::<UsageError>(), "{error}");
        Some(error.to_string())
    }

    #[test]
    fn a_level_that_the_topic_does_not_give_is_refused() {
        let synced = Workload { durability: Durability::Synced, ..Workload::default() };
        let found = problem(&settings(&[]), &synced).unwrap();
        assert!(found.contains("has flush.messages=9223372036854775807"), "{found}");
        assert_eq!(problem(&settings(&[]), &Workload::default()), None);
        assert_eq!(problem(&settings(&[("flush.messages", "1")]), &synced), None);
        assert!(settings(&[("flush.messages", "1")]).flushes_each());
        let unknown = problem(&Settings::default(), &synced).unwrap();
        assert!(unknown.contains("flush.messages=unknown"), "{unknown}");
    }

    #[test]
    fn an_ack_is_told_by_the_settings_that_the_topic_has() {
        let ack = |pairs: &[(&str, &str)]| settings(pairs).facts().remove(0).1;
        assert!(ack(&[]).ends_with("nothing is flushed"), "{}", ack(&[]));
        let written = config::NewTopics::of(&Workload::default()).config;
        let written: Vec<(&str, &str)> =
            written.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert!(ack(&written).ends_with("nothing is flushed"), "{written:?}");
        assert!(ack(&[("flush.messages", "1")]).contains("each append is flushed"));
        let some = ack(&[("flush.ms", "1000")]);
        assert!(
            some.contains("flushed after more appends or a time") && some.contains("flush.ms=1000"),
            "{some}"
        );
    }

    #[test]
    fn compaction_and_batches_that_are_too_large_are_refused() {
        let compacted =
            problem(&settings(&[("cleanup.policy", "compact,delete")]), &Workload::default()).unwrap();
        assert!(compacted.contains("cleanup.policy=compact,delete"), "{compacted}");
        let batch = Batch { max_bytes: Bytes::kib(64), ..Batch::default() };
        let large = Workload { batch, ..Workload::default() };
        let found = problem(&settings(&[("max.message.bytes", "1000")]), &large).unwrap();
        assert!(found.contains("takes batches of 1000 bytes") && found.contains("65536"), "{found}");
    }

    #[test]
    fn a_missing_topic_and_missing_rights_are_told_apart() {
        let missing = refused("orders", RDKafkaErrorCode::UnknownTopicOrPartition);
        assert!(missing.is::<UsageError>() && missing.to_string().contains("there is no topic orders"));
        let forbidden = refused("orders", RDKafkaErrorCode::TopicAuthorizationFailed).to_string();
        assert!(forbidden.contains("needs the rights DESCRIBE"), "{forbidden}");
    }
}
