//! Topics that killed runs have left in a cluster: names with vnotch's run ids. Nothing else is looked at or removed.

use super::cluster::first_answer;
use super::config::Client;
use super::errors::Noting;
use super::topics;
use crate::exit::UsageError;
use crate::num;
use crate::system::LeftTopic;
use crate::workload::Workload;
use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::Message as _;
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
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit());
    let is_id = DIGITS.contains(&id.len()) && id.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f'));
    (is_number && is_id).then_some(id)
}

/// The time in a run id, in seconds since the Unix epoch; `None` for an id that holds none.
fn made_s(id: &str) -> Option<u64> {
    u64::from_str_radix(id.get(..8).filter(|_| id.len() == DIGITS[0])?, 16).ok()
}

/// Returns the topics with names of runs in the cluster of a workload, by name.
///
/// # Errors
/// No broker answers, or a topic cannot be looked at.
pub(in crate::system) fn find(workload: &Workload) -> anyhow::Result<Vec<LeftTopic>> {
    let (client, address) = client(workload)?;
    let (probe, _) = first_answer(&client, address)?;
    let metadata = probe.client().fetch_metadata(None, ANSWER_MAX).context("cannot list the topics")?;
    let mut found = Vec::new();
    for topic in metadata.topics() {
        let Some(id) = run_id(topic.name()) else { continue };
        let partitions = num::low_u32(num::count(topic.partitions().len()));
        found.push(LeftTopic {
            name: topic.name().to_owned(),
            partitions,
            made_s: made_s(id),
            written_ms: newest(&client, topic.name(), partitions)?,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Removes topics with names of runs.
///
/// # Errors
/// A name is none of a run, no broker answers, or the cluster refuses it.
pub(in crate::system) fn remove(workload: &Workload, names: &[&str]) -> anyhow::Result<()> {
    if let Some(other) = names.iter().find(|name| run_id(name).is_none()) {
        return Err(UsageError::error(format!(
            "{other} is no name that a run gives to its topics (vnotch-<number>-<run id>); such a topic is never removed"
        )));
    }
    let (client, address) = client(workload)?;
    first_answer(&client, address)?;
    let admin = client.admin().create().context("cannot make a Kafka client")?;
    topics::delete(&admin, names)
}

fn client(workload: &Workload) -> anyhow::Result<(Client, &str)> {
    let address = workload.target.address().context("the target has no address")?;
    Ok((Client::of(workload, address)?, address))
}

/// Returns the timestamp of the newest record of a topic, in ms since the Unix epoch. `None` if it has no record.
fn newest(client: &Client, topic: &str, partitions: u32) -> anyhow::Result<Option<i64>> {
    let config = client.consumer("vnotch-leftovers", FETCH_BYTES_MAX);
    let consumer: BaseConsumer<Noting> = config.create_with_context(Noting::default())?;
    let mut ends = TopicPartitionList::new();
    for partition in 0..i32::try_from(partitions)? {
        let offsets = consumer.client().fetch_watermarks(topic, partition, ANSWER_MAX);
        let (low, high) = offsets.with_context(|| format!("cannot look at {topic}-{partition}"))?;
        if high > low {
            ends.add_partition_offset(topic, partition, Offset::Offset(high - 1))?;
        }
    }
    if ends.count() == 0 {
        return Ok(None);
    }
    consumer.assign(&ends)?;
    let (begun, mut newest, mut left) = (Instant::now(), None, ends.count());
    while left > 0 && begun.elapsed() < NEWEST_MAX {
        let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) else { continue };
        newest = newest.max(message.timestamp().to_millis());
        left -= 1;
    }
    Ok(newest)
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
    fn a_run_id_tells_when_its_topics_were_made() {
        let id = super::topics::run_id().unwrap();
        assert_eq!(id.len(), DIGITS[0]);
        assert_eq!(run_id(&format!("vnotch-0-{id}")), Some(id.as_str()));
        let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(made_s(&id).unwrap().abs_diff(now_s) < 60);
        assert_eq!(made_s("0a1b2c3d"), None);
    }
}
