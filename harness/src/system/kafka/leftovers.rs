//! Topics and consumer groups that killed runs have left in a cluster: names with vnotch's run ids. Nothing else is removed.

use super::cluster::first_answer;
use super::config::Client;
use super::errors::Noting;
use super::groups;
use super::topics;
use crate::exit::UsageError;
use crate::num;
use crate::system::{LeftInCluster, LeftKind, Newest};
use crate::workload::Workload;
use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::groups::GroupInfo;
use rdkafka::message::Message as _;
use rdkafka::metadata::MetadataTopic;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::time::{Duration, Instant};

/// Longest time of one request.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Longest wait for the newest records of one topic.
const NEWEST_MAX: Duration = Duration::from_secs(5);
/// Bytes that a fetch of the newest record returns at most.
const FETCH_BYTES_MAX: u64 = 1 << 20;
/// Digits of a run id, and of those from before ids held the time.
const DIGITS: [usize; 2] = [16, 8];

/// The run id in a topic's name: `vnotch-<number>-<digits>`. `None` if a run does not name topics so.
fn run_id(name: &str) -> Option<&str> {
    let (number, id) = name.strip_prefix("vnotch-")?.split_once('-')?;
    (is_number(number) && is_id(id)).then_some(id)
}

/// The run id behind the name of a group with the default pattern of `group`: `vnotch-vnotch-<number>-bench<number>-group-<run id>`.
/// `None` if a run does not name groups so.
fn group_run_id(name: &str) -> Option<&str> {
    let (group, id) = name.strip_prefix("vnotch-vnotch-")?.rsplit_once("-group-")?;
    let (topic, service) = group.split_once("-bench")?;
    (is_number(topic) && is_number(service) && is_id(id)).then_some(id)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn is_id(text: &str) -> bool {
    DIGITS.contains(&text.len()) && text.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'))
}

/// The time in a run id, in seconds since the Unix epoch; `None` for an id that holds none.
fn made_s(id: &str) -> Option<u64> {
    u64::from_str_radix(id.get(..8).filter(|_| id.len() == DIGITS[0])?, 16).ok()
}

/// Returns the topics and groups with names of runs in the cluster of a workload: topics first, each kind by name.
///
/// # Errors
/// No broker answers, or a topic or the groups cannot be looked at.
pub(in crate::system) fn find(workload: &Workload) -> anyhow::Result<Vec<LeftInCluster>> {
    let (client, address) = client(workload)?;
    let (probe, _) = first_answer(&client, address)?;
    let mut found = topics_left(&client, &probe)?;
    found.extend(groups_left(&probe)?);
    Ok(found)
}

/// Returns the topics with names of runs, by name.
pub(super) fn topics_left(
    client: &Client,
    probe: &BaseConsumer<Noting>,
) -> anyhow::Result<Vec<LeftInCluster>> {
    let metadata = probe.client().fetch_metadata(None, ANSWER_MAX).context("cannot list the topics")?;
    let mut found = Vec::new();
    for topic in metadata.topics() {
        let Some(id) = run_id(topic.name()) else { continue };
        let partitions = num::low_u32(num::count(topic.partitions().len()));
        found.push(LeftInCluster {
            name: topic.name().to_owned(),
            made_s: made_s(id),
            kind: LeftKind::Topic { partitions, newest: newest(client, topic)? },
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Returns the groups with names of runs, by name.
fn groups_left(probe: &BaseConsumer<Noting>) -> anyhow::Result<Vec<LeftInCluster>> {
    let listed = probe.client().fetch_group_list(None, ANSWER_MAX).context("cannot list the groups")?;
    let left = |group: &GroupInfo| {
        let members = num::low_u32(num::count(group.members().len()));
        let (name, id) = (group.name().to_owned(), group_run_id(group.name())?);
        Some(LeftInCluster { name, made_s: made_s(id), kind: LeftKind::Group { members } })
    };
    let mut found: Vec<LeftInCluster> = listed.groups().iter().filter_map(left).collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes topics and groups with names of runs.
///
/// # Errors
/// A name is none of a run, no broker answers, or the cluster refuses it.
pub(in crate::system) fn remove(workload: &Workload, left: &[&LeftInCluster]) -> anyhow::Result<()> {
    let is_topic = |left: &LeftInCluster| matches!(left.kind, LeftKind::Topic { .. });
    let is_of_run = |left: &LeftInCluster| match left.kind {
        LeftKind::Topic { .. } => run_id(&left.name).is_some(),
        LeftKind::Group { .. } => group_run_id(&left.name).is_some(),
    };
    if let Some(other) = left.iter().find(|left| !is_of_run(left)) {
        return Err(UsageError::error(format!(
            "{} is no name that a run gives to its topics (vnotch-<number>-<run id>) or groups \
             (vnotch-vnotch-<number>-bench<number>-group-<run id>); it is never removed",
            other.name
        )));
    }
    let (client, address) = client(workload)?;
    first_answer(&client, address)?;
    let admin = client.admin().create().context("cannot make a Kafka client")?;
    let names = |is_wanted: bool| -> Vec<&str> {
        left.iter().filter(|it| is_topic(it) == is_wanted).map(|it| it.name.as_str()).collect()
    };
    let (topics, groups) = (names(true), names(false));
    if !topics.is_empty() {
        topics::delete(&admin, &topics)?;
    }
    groups::removal::delete(&admin, &groups, groups::removal::OF_EARLIER_RUNS)
}

fn client(workload: &Workload) -> anyhow::Result<(Client, &str)> {
    let address = workload.target.address().context("the target has no address")?;
    Ok((Client::of(workload, address)?, address))
}

/// Returns the newest record of a topic.
///
/// # Errors
/// The client cannot be made.
fn newest(client: &Client, topic: &MetadataTopic) -> anyhow::Result<Newest> {
    let config = client.consumer("vnotch-leftovers", FETCH_BYTES_MAX);
    let consumer: BaseConsumer<Noting> = config.create_with_context(Noting::default())?;
    let mut ends = TopicPartitionList::new();
    for partition in topic.partitions() {
        // Without a leader nobody answers, so each request would wait for its whole time.
        if partition.leader() < 0 {
            return Ok(Newest::Unknown);
        }
        let offsets = consumer.client().fetch_watermarks(topic.name(), partition.id(), ANSWER_MAX);
        let Ok((low, high)) = offsets else { return Ok(Newest::Unknown) };
        if high > low {
            ends.add_partition_offset(topic.name(), partition.id(), Offset::Offset(high - 1))?;
        }
    }
    if ends.count() == 0 {
        return Ok(Newest::None);
    }
    consumer.assign(&ends)?;
    let (begun, mut newest, mut left) = (Instant::now(), None, ends.count());
    while left > 0 && begun.elapsed() < NEWEST_MAX {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        newest = newest.max(message.timestamp().to_millis());
        left -= 1;
    }
    // A record that did not come may be the newest one.
    Ok(newest.filter(|_| left == 0).map_or(Newest::Unknown, Newest::Written))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_runs_give_are_leftovers() {
        for name in ["vnotch-0-0a1b2c3d", "vnotch-12-6929f0c10a1b2c3d"] {
            assert!(run_id(name).is_some(), "{name}");
        }
        for name in [
            "orders",
            "vnotch",
            "vnotch-0",
            "vnotch-0-orders",
            "vnotch-0-0A1B2C3D",
            "vnotch--0a1b2c3d",
            "vnotch-x-0a1b2c3d",
            "vnotch-0-0a1b2c3d-copy",
            "my-vnotch-0-0a1b2c3d",
        ] {
            assert_eq!(run_id(name), None, "{name}");
        }
    }

    #[test]
    fn groups_of_runs_have_a_run_id_behind_the_default_pattern() {
        let group = Workload::default().group_id(&crate::load::plan::topic_name(12), 0);
        let name = format!("{group}-6929f0c10a1b2c3d");
        assert_eq!(group_run_id(&name), Some("6929f0c10a1b2c3d"), "{name}");
        for name in [
            "orders",
            "vnotch-vnotch-12-bench1-group",
            "vnotch-orders-bench1-group-6929f0c10a1b2c3d",
            "vnotch-vnotch-0-bench-group-6929f0c10a1b2c3d",
            "vnotch-vnotch-0-bench1-group-orders",
            "my-vnotch-vnotch-0-bench1-group-6929f0c10a1b2c3d",
        ] {
            assert_eq!(group_run_id(name), None, "{name}");
        }
    }

    #[test]
    fn a_run_id_tells_when_its_topics_were_made() {
        let id = super::topics::run_id().unwrap();
        assert_eq!(id.len(), DIGITS[0]);
        assert_eq!(run_id(&format!("vnotch-0-{id}")), Some(id.as_str()));
        let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(made_s(&id).unwrap().abs_diff(now_s) < 60);
        assert_eq!(made_s("0a1b2c3d"), None);
    }
}
