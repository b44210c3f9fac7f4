//! The topics of a run in the cluster: their names, how they are made, and how they are removed.

use super::config::NewTopics;
use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::error::RDKafkaErrorCode;
use std::fmt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longest time that the cluster has to make or remove a topic.
const CHANGE_MAX: Duration = Duration::from_secs(30);
/// Longest wait until every partition of a new topic has a leader.
const LEADERS_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at the metadata.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time that one request for metadata takes.
const METADATA_MAX: Duration = Duration::from_secs(5);

/// A topic that this run uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    /// The name in the cluster.
    pub(super) name: String,
    /// Number of partitions.
    pub(super) partitions: u32,
    pub(super) origin: Origin,
}

/// How a topic came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// The run made it, and removes it.
    Made,
    /// It was there before the run, which never alters or removes it.
    Existing {
        /// The end of each partition when the trial began.
        ends: Vec<u64>,
    },
}

impl Topic {
    /// The offset of the first record of a partition that belongs to the trial; `None` for the first that there is.
    pub(super) fn first_offset(&self, partition: u32) -> Option<u64> {
        match &self.origin {
            Origin::Made => None,
            Origin::Existing { ends } => ends.get(crate::num::index(partition)).copied(),
        }
    }
}

/// The cluster's refusal of a request for a topic.
#[derive(Debug)]
pub(super) struct Refusal(RDKafkaErrorCode);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the cluster refuses it: {}", self.0)?;
        match self.0 {
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed => f.write_str(
                "; the user needs the rights CREATE and DELETE for topics whose names begin with `vnotch-`, or name a topic that \
                 exists (`topic`)",
            ),
            RDKafkaErrorCode::InvalidReplicationFactor => {
                f.write_str("; `kafka.replication` must not be above the number of brokers")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

/// A number that tells the topics of this run from those of others in the same cluster. Its first half is the time, in seconds since
/// the Unix epoch.
///
/// # Errors
/// The kernel has no random numbers.
pub(super) fn run_id() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(format!("{now_s:08x}{:08x}", u32::from_le_bytes(bytes)))
}

/// Makes a topic. Its partitions may have no leaders yet ([`wait_for_leaders`]).
///
/// # Errors
/// A [`Refusal`] if the topic was not made. After other errors it may be there.
pub(super) fn create(
    admin: &AdminClient<DefaultClientContext>,
    topic: &Topic,
    settings: &NewTopics,
) -> anyhow::Result<()> {
    let partitions = i32::try_from(topic.partitions)?;
    let new =
        NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(i32::from(settings.replication)));
    let new = settings.config.iter().fold(new, |new, (name, value)| new.set(name, value));
    let made = pollster::block_on(admin.create_topics([&new], &options()));
    let context = || format!("cannot create the topic {}", topic.name);
    outcome(made.with_context(context)?).with_context(context)
}

/// Removes topics that this run made.
///
/// # Errors
/// The cluster refuses it, or does not answer.
pub(super) fn delete(admin: &AdminClient<DefaultClientContext>, topics: &[&str]) -> anyhow::Result<()> {
    if topics.is_empty() {
        return Ok(());
    }
    let context = || format!("cannot remove the topics {}", topics.join(", "));
    let gone = pollster::block_on(admin.delete_topics(topics, &options())).with_context(context)?;
    outcome(gone).with_context(context)
}

pub(super) fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CHANGE_MAX)).operation_timeout(Some(CHANGE_MAX))
}

/// Returns the first refusal among the results of single topics.
fn outcome(results: Vec<TopicResult>) -> anyhow::Result<()> {
    let refused = results.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |(_, code)| Err(Refusal(code).into()))
}

/// Waits until every partition of `topic` has a leader.
pub(super) fn wait_for_leaders<C: ClientContext>(client: &Client<C>, topic: &Topic) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let metadata = client.fetch_metadata(Some(&topic.name), METADATA_MAX);
        let led = metadata.map_or(0, |metadata| {
            let partitions = metadata.topics().first().map_or(&[][..], |found| found.partitions());
            partitions
                .iter()
                .filter(|partition| partition.leader() >= 0 && partition.error().is_none())
                .count()
        });
        if crate::num::count(led) == u64::from(topic.partitions) {
            return Ok(());
        }
        if begun.elapsed() > LEADERS_MAX {
            bail!("only {led} of {} partitions of {} have a leader", topic.partitions, topic.name);
        }
        std::thread::sleep(LOOK);
    }
}
