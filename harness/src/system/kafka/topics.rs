//! The topics of a run in the cluster: their names, how they are made, and how they are removed.

use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use std::time::{Duration, Instant};

/// Longest time that the cluster has to make or remove a topic.
const CHANGE_MAX: Duration = Duration::from_secs(30);
/// Longest wait until every partition of a new topic has a leader.
const LEADERS_MAX: Duration = Duration::from_secs(30);
/// Time between two looks at the metadata.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time that one request for metadata takes.
const METADATA_MAX: Duration = Duration::from_secs(5);

/// A topic that this run made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Topic {
    /// The name in the cluster.
    pub(super) name: String,
    /// Number of partitions.
    pub(super) partitions: u32,
}

/// A number that tells the topics of this run from those of others in the same cluster.
///
/// # Errors
/// The kernel has no random numbers.
pub(super) fn run_id() -> anyhow::Result<String> {
    let mut bytes = [0; 4];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(format!("{:08x}", u32::from_le_bytes(bytes)))
}

/// Makes a topic, and waits until each of its partitions has a leader.
///
/// # Errors
/// The cluster refuses the topic, or a partition has no leader in time.
pub(super) fn create(
    admin: &AdminClient<DefaultClientContext>,
    topic: &Topic,
    replication: u16,
    config: &[(&'static str, String)],
) -> anyhow::Result<()> {
    let partitions = i32::try_from(topic.partitions)?;
    let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(i32::from(replication)));
    let new = config.iter().fold(new, |new, (name, value)| new.set(name, value));
    let made = pollster::block_on(admin.create_topics([&new], &options()));
    let context = || format!("cannot create the topic {}", topic.name);
    outcome(made.with_context(context)?).with_context(context)?;
    wait_for_leaders(admin.inner(), topic)
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

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CHANGE_MAX)).operation_timeout(Some(CHANGE_MAX))
}

/// Returns the first refusal among the results of single topics.
fn outcome(results: Vec<TopicResult>) -> anyhow::Result<()> {
    let refused = results.into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |(_, code)| Err(anyhow::anyhow!("the cluster refuses it: {code}")))
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
