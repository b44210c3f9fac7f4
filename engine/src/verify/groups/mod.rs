//! The consumer groups of a data directory that no engine has open: members, committed offsets and lag, from the log of the
//! internal topic `__consumer_offsets`. Changes nothing.

mod check;
mod logs;
mod replay;
mod report;

pub(super) use check::check_commits;
pub(super) use logs::Logs;
pub(super) use replay::{Stored, replay};
pub use report::{
    CommitReport, GroupMemberReport, GroupPartitionReport, GroupReport, GroupsReport, PartitionMark,
    PartitionOwner,
};

use super::found::Found;
use super::partition::Extent;
use super::report::{Defect, Findings, Progress, VerifyError};
use crate::catalog::{CATALOG_FILE, DAMAGED_FILE, META_FILE, partition_of};
use crate::group::{Assignment, CommittedOffset, DescribedGroup, DescribedMember, OFFSETS_TOPIC};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Protocol type of consumers, whose assignments can be decoded.
const CONSUMER_PROTOCOL_TYPE: &str = "consumer";

/// A partition, by topic and number.
type Place = (String, i32);

/// Reads the consumer groups of `data_dir`. No engine may have the directory open, and none can open it meanwhile.
///
/// Reads the internal topic whole. Of the topics that groups read, only the ends of the logs are read. Damaged records are
/// passed over and reported.
///
/// # Errors
/// [`VerifyError`]: it is no data directory, is in use, has a newer format, or reading failed.
pub fn groups(data_dir: &Path) -> Result<GroupsReport, VerifyError> {
    let (entries, _lock) = super::begin(data_dir)?;
    let mut ignored = |_: &Progress| {};
    let findings = &mut Findings::new(&mut ignored);
    super::read_meta(data_dir, findings)?;
    let snapshot = super::read_catalog(data_dir, findings)?;
    let found = Found::of(data_dir, snapshot.as_ref(), &entries, findings)?;
    let mut stored = Vec::new();
    for partition in found.partitions.iter().filter(|partition| partition.entry.topic == OFFSETS_TOPIC) {
        let walked = found.walk(partition, Extent::Whole, findings)?;
        if found.is_served(partition) {
            stored.push(replay(&walked, (&found, partition), findings)?);
        }
    }
    let groups = stored.iter().flat_map(|stored| {
        stored.groups.ids().filter_map(move |id| Some((stored, id, stored.groups.described(id)?)))
    });
    let groups: Vec<_> =
        groups.map(|(stored, id, described)| StoredGroup::of(stored, id, described)).collect();
    let topics: BTreeSet<&str> = groups.iter().flat_map(StoredGroup::topics).collect();
    let mut walked = Vec::new();
    for partition in found.partitions.iter().filter(|partition| topics.contains(partition.entry.topic)) {
        walked.push((partition, found.walk(partition, Extent::End, findings)?));
    }
    let logs = Logs::of(&found, walked.iter().map(|(partition, walked)| (*partition, walked)));
    let mut groups: Vec<GroupReport> = groups.into_iter().map(|group| group.report(&logs)).collect();
    groups.sort_by(|a, b| (&a.group, a.stored_in).cmp(&(&b.group, b.stored_in)));
    let mut defects = std::mem::take(&mut findings.defects);
    defects.retain(|defect| concerns_groups(data_dir, defect));
    Ok(GroupsReport { data_dir: data_dir.to_path_buf(), groups, defects })
}

/// Says whether a defect concerns the internal topic, or the directory as a whole.
fn concerns_groups(data_dir: &Path, defect: &Defect) -> bool {
    let below = defect.path.strip_prefix(data_dir).ok().and_then(|path| path.iter().next()?.to_str());
    below.is_some_and(|name| {
        [META_FILE, CATALOG_FILE, DAMAGED_FILE].contains(&name)
            || partition_of(name).is_some_and(|(topic, _)| topic == OFFSETS_TOPIC)
    })
}

/// A group, before its partitions are compared with their logs.
struct StoredGroup {
    report: GroupReport,
    /// Owners and commit of each partition.
    partitions: BTreeMap<Place, (Vec<PartitionOwner>, Option<CommittedOffset>)>,
}

impl StoredGroup {
    fn of(stored: &Stored, id: &str, described: DescribedGroup) -> Self {
        let mut partitions: BTreeMap<Place, (Vec<PartitionOwner>, Option<CommittedOffset>)> = BTreeMap::new();
        for (key, offset) in stored.groups.committed(id) {
            partitions.entry((key.topic, key.partition)).or_default().1 = Some(offset);
        }
        let is_of_consumers = described.protocol_type == CONSUMER_PROTOCOL_TYPE;
        let mut members = Vec::new();
        for member in described.members {
            let assignment = is_of_consumers.then(|| Assignment::decode(&member.assignment).ok()).flatten();
            let assigned = assignment.as_ref().map(|assignment| assignment.partitions.len());
            for assigned in assignment.into_iter().flat_map(|assignment| assignment.partitions) {
                // The numbers come from int32 fields.
                let number = i32::try_from(assigned.partition).unwrap_or(i32::MAX);
                let place = (assigned.topic.to_string(), number);
                partitions.entry(place).or_default().0.push(owner(&member));
            }
            members.push(GroupMemberReport {
                id: member.id,
                instance_id: member.instance_id,
                client_id: member.client_id,
                client_host: member.client_host,
                assigned,
            });
        }
        let view = stored.groups.view(id);
        let report = GroupReport {
            group: id.to_owned(),
            stored_in: stored.partition,
            state: described.state,
            generation: view.as_ref().map_or(0, |view| view.generation),
            protocol_type: described.protocol_type,
            protocol: view.as_ref().and_then(|view| view.protocol.clone()),
            leader: view.and_then(|view| view.leader),
            members,
            partitions: Vec::new(),
        };
        Self { report, partitions }
    }

    fn topics(&self) -> impl Iterator<Item = &str> {
        self.partitions.keys().map(|(topic, _)| topic.as_str())
    }

    fn report(self, logs: &Logs) -> GroupReport {
        let partition = |((topic, partition), (owners, committed)): (Place, (_, Option<CommittedOffset>))| {
            let bounds = logs.bounds(&topic, partition);
            let offset = committed.as_ref().map(|committed| committed.offset);
            let (log_start_offset, log_end_offset) = (bounds.map(|it| it.0), bounds.map(|it| it.1));
            let lag = log_end_offset.zip(offset).and_then(|(end, offset)| end.checked_sub(offset));
            GroupPartitionReport {
                mark: logs.mark(&topic, partition, offset),
                topic,
                partition,
                owners,
                committed: committed.map(commit),
                log_start_offset,
                log_end_offset,
                lag: lag.filter(|lag| *lag >= 0),
            }
        };
        GroupReport { partitions: self.partitions.into_iter().map(partition).collect(), ..self.report }
    }
}

fn owner(member: &DescribedMember) -> PartitionOwner {
    PartitionOwner {
        member_id: member.id.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
    }
}

fn commit(committed: CommittedOffset) -> CommitReport {
    CommitReport {
        offset: committed.offset,
        leader_epoch: Some(committed.leader_epoch).filter(|epoch| *epoch >= 0),
        metadata: committed.metadata,
        committed_ms: committed.committed_ms,
        expires_ms: committed.expires_ms,
    }
}
