//! A catalog while topics are created and deleted. After each failure and each end of the process, a topic is there with
//! all its files, or neither the topic nor any of its files is there.

use crate::faults::failure;
use crate::restart::{Fate, INJECTED};
use crate::tally;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use vnotch_engine::catalog::{Catalog, DamageRecord, DamageRecords, Topic, partition_dir};
use vnotch_engine::config::TopicConfig;
use vnotch_engine::disk::sim::{Fault, SimDisk};
use vnotch_engine::disk::{Disk as _, DiskFile as _, OpenMode, WriteData, WriteSync};
use vnotch_engine::error::{Corruption, CorruptionKind, DamageError, OpenError, TopicError};
use vnotch_engine::types::{IoMode, TopicPartition};

const DATA: &str = "/data";

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Name of the file in each partition that stands for the files of its log.
const MARKER: &str = "marker";

/// Something that happens to a catalog, or to the process around it.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Create {
        name: usize,
        partitions: u32,
    },
    Delete {
        name: usize,
    },
    /// Adds `added` partitions to a topic.
    Grow {
        name: usize,
        added: u32,
    },
    Restart {
        fate: Fate,
        seed: u64,
        fault: Option<Fault>,
    },
}

/// A change, a fault that is injected into it, and the number of steps after which the process ends during it.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    change: Change,
    fault: Option<Fault>,
    ends: Option<(usize, Fate, u64)>,
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let fate = || prop::sample::select(vec![Fate::Kill, Fate::PowerLoss]);
    let fault = || prop::option::weighted(0.15, failure());
    let change = prop_oneof![
        4 => (0..NAMES.len(), 1_u32..4).prop_map(|(name, partitions)| Change::Create { name, partitions }),
        4 => (0..NAMES.len()).prop_map(|name| Change::Delete { name }),
        4 => (0..NAMES.len(), 1_u32..3).prop_map(|(name, added)| Change::Grow { name, added }),
        1 => (fate(), any::<u64>(), fault())
            .prop_map(|(fate, seed, fault)| Change::Restart { fate, seed, fault }),
    ];
    let ends = prop::option::weighted(0.2, (0_usize..60, fate(), any::<u64>()));
    (change, fault(), ends).prop_map(|(change, fault, ends)| Step { change, fault, ends })
}

/// A topic that was created. Its generation distinguishes it from other topics of the same name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Made {
    generation: u64,
    partitions: u32,
    /// Whether its files have to be there. False after an attempt to remove them.
    has_files: bool,
}

/// A catalog, and for each name the topics that the next open may find.
struct Rig {
    disk: SimDisk,
    catalog: Catalog,
    /// Topics that each name may have. More than one after a change that failed or was interrupted.
    possible: BTreeMap<&'static str, Vec<Option<Made>>>,
    generation: u64,
}

async fn open(disk: &SimDisk) -> Result<Catalog, OpenError> {
    disk.create_dir(Path::new(DATA)).await?;
    disk.sync_dir(Path::new("/")).await?;
    Catalog::open(disk, Path::new(DATA), 1).await
}

/// Creates a topic as an engine does, with one file in each partition.
async fn create(catalog: &mut Catalog, disk: &SimDisk, name: &str, topic: Topic) -> Result<(), TopicError> {
    catalog.announce(disk, name, &topic).await?;
    make_partitions(disk, name, &topic, 0).await?;
    catalog.create(disk, name, topic).await
}

/// Adds partitions to a topic as an engine does, up to the number `total`.
async fn grow(catalog: &mut Catalog, disk: &SimDisk, name: &str, total: u32) -> Result<(), TopicError> {
    let present = catalog.topics().get(name).map_or(0, |topic| topic.partitions);
    let topic = catalog.announce_partitions(disk, name, total).await?;
    make_partitions(disk, name, &topic, present).await?;
    catalog.add_partitions(disk, name).await
}

/// Makes the directories of a topic's partitions from number `first` on, with one file in each.
async fn make_partitions(disk: &SimDisk, name: &str, topic: &Topic, first: u32) -> Result<(), TopicError> {
    let generation = topic.config.segment_ms.unwrap_or(0);
    for partition in first..topic.partitions {
        let dir = partition_dir(Path::new(DATA), name, partition);
        disk.create_dir(&dir).await?;
        disk.sync_dir(Path::new(DATA)).await?;
        let file = disk.open(&dir.join(MARKER), OpenMode::CreateNew, IoMode::Buffered).await?;
        let content: Rc<[u8]> = generation.to_be_bytes().into();
        file.write(WriteData::Heap(content), 0, WriteSync::None).await?;
        file.sync().await?;
        disk.sync_dir(&dir).await?;
    }
    Ok(())
}

/// Deletes a topic as an engine does. After an error the catalog may still have the topic.
async fn delete(catalog: &mut Catalog, disk: &SimDisk, name: &str) -> Result<(), TopicError> {
    catalog.delete(disk, name).await?;
    // The next open, or the next topic of that name, tries again.
    let _ = catalog.remove_files(disk, name).await;
    Ok(())
}

/// Polls a future for at most `steps` steps of the disk. Returns its output if it ended within them.
fn run_for<T>(disk: &SimDisk, steps: Option<usize>, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let context = &mut Context::from_waker(Waker::noop());
    for _ in 0..=steps.unwrap_or(usize::MAX - 1) {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Some(output);
        }
        assert!(disk.step(), "the catalog waits for nothing");
    }
    None
}

impl Rig {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let catalog = disk.run_until(open(&disk)).unwrap();
        let possible = NAMES.iter().map(|name| (*name, vec![None])).collect();
        Self { disk, catalog, possible, generation: 0 }
    }

    fn apply(&mut self, step: &Step) {
        let steps = step.ends.map(|(steps, ..)| steps);
        if let Some(fault) = step.fault {
            self.disk.inject(fault);
        }
        match &step.change {
            Change::Create { name, partitions } => self.create(NAMES[*name], *partitions, steps),
            Change::Delete { name } => self.delete(NAMES[*name], steps),
            Change::Grow { name, added } => self.grow(NAMES[*name], *added, steps),
            Change::Restart { fate, seed, fault } => self.restart(*fate, *seed, *fault),
        }
        self.disk.clear_faults();
        if let Some((_, fate, seed)) = step.ends {
            self.restart(fate, seed, None);
        }
    }

    fn create(&mut self, name: &'static str, partitions: u32, steps: Option<usize>) {
        self.generation += 1;
        let config = TopicConfig { segment_ms: Some(self.generation), ..TopicConfig::default() };
        let topic = Topic::new(partitions, config);
        let disk = self.disk.clone();
        let created = run_for(&disk, steps, create(&mut self.catalog, &disk, name, topic));
        let made = Made { generation: self.generation, partitions, has_files: true };
        let possible = self.possible.get_mut(name).unwrap();
        match created {
            Some(Ok(())) => *possible = vec![Some(made)],
            None => possible.push(Some(made)),
            Some(Err(TopicError::Exists(_))) => {}
            Some(Err(error)) => {
                assert!(is_injected(&error), "{name} cannot be created: {error}");
                tally::count("catalog: a creation failed");
                if matches!(error, TopicError::Unconfirmed(_)) {
                    possible.push(Some(Made { has_files: false, ..made }));
                }
                let _ = run_for(&disk, None, self.catalog.remove_files(&disk, name));
            }
        }
    }

    fn delete(&mut self, name: &'static str, steps: Option<usize>) {
        let disk = self.disk.clone();
        let deleted = run_for(&disk, steps, delete(&mut self.catalog, &disk, name));
        let possible = self.possible.get_mut(name).unwrap();
        match deleted {
            Some(Ok(())) => *possible = vec![None],
            None => possible.push(None),
            Some(Err(TopicError::Unknown(_))) => {}
            Some(Err(error)) => {
                assert!(is_injected(&error), "{name} cannot be deleted: {error}");
                tally::count("catalog: a deletion failed");
                if matches!(error, TopicError::Unconfirmed(_)) {
                    possible.push(None);
                }
            }
        }
    }

    fn grow(&mut self, name: &'static str, added: u32, steps: Option<usize>) {
        let disk = self.disk.clone();
        let present = self.catalog.topics().get(name).map(|topic| topic.partitions);
        let total = present.unwrap_or(0) + added;
        let grown = run_for(&disk, steps, grow(&mut self.catalog, &disk, name, total));
        let possible = self.possible.get_mut(name).unwrap();
        let larger: Vec<Option<Made>> =
            possible.iter().flatten().map(|made| Some(Made { partitions: total, ..*made })).collect();
        match grown {
            Some(Ok(())) => {
                *possible = larger;
                tally::count("catalog: partitions added");
            }
            None => possible.extend(larger),
            Some(Err(TopicError::Unknown(_))) => assert_eq!(present, None),
            Some(Err(error)) => {
                assert!(is_injected(&error), "{name} cannot get partitions: {error}");
                tally::count("catalog: an addition of partitions failed");
                // After a failure of this too, the next open finds the old number or the new one.
                let removed = run_for(&disk, None, self.catalog.remove_added_files(&disk, name)).unwrap();
                if matches!(error, TopicError::Unconfirmed(_)) && removed.is_err() {
                    possible.extend(larger);
                }
            }
        }
    }

    fn restart(&mut self, fate: Fate, seed: u64, fault: Option<Fault>) {
        self.disk = fate.of(&self.disk, seed);
        let disk = self.disk.clone();
        if let Some(fault) = fault {
            disk.inject(fault);
            if let Err(error) = disk.run_until(open(&disk)) {
                assert!(
                    matches!(&error, OpenError::Disk(error) if error.source.kind() == INJECTED),
                    "{error}"
                );
                tally::count("catalog: an open failed");
            }
            disk.clear_faults();
        }
        self.catalog = disk.run_until(open(&disk)).unwrap();
        tally::count("catalog: opened");
        self.check();
    }

    /// Checks that each name has one of its possible topics with all its files, or no topic and no file.
    fn check(&mut self) {
        let disk = self.disk.clone();
        let dirs = disk.run_until(disk.list(Path::new(DATA))).unwrap();
        for (name, possible) in &mut self.possible {
            let found = self.catalog.topics().get(*name);
            let identity = found.map(|topic| (topic.config.segment_ms.unwrap_or(0), topic.partitions));
            let is_found =
                |made: &&Option<Made>| made.map(|made| (made.generation, made.partitions)) == identity;
            // If there are two of one generation, the one without files comes last.
            let made = *possible.iter().rfind(is_found).unwrap_or_else(|| {
                panic!("topic {name} is {found:?} and not one of {possible:?}");
            });
            if let Some(made) = made {
                let beyond = format!("{name}-{}", made.partitions);
                assert!(dirs.iter().all(|dir| dir.name != beyond), "{beyond} is left of an addition");
                for partition in (0..made.partitions).filter(|_| made.has_files) {
                    let marker = partition_dir(Path::new(DATA), name, partition).join(MARKER);
                    let content = disk.run_until(disk.read_file(&marker)).unwrap();
                    assert_eq!(content, made.generation.to_be_bytes(), "{}", marker.display());
                }
            } else {
                let left = dirs.iter().find(|dir| dir.name.starts_with(&format!("{name}-")));
                assert!(left.is_none(), "topic {name} is deleted, but {left:?} is there");
            }
            *possible = vec![made];
        }
    }
}

fn is_injected(error: &TopicError) -> bool {
    let disk_error = match error {
        TopicError::Disk(error)
        | TopicError::Unconfirmed(error)
        | TopicError::Open(OpenError::Disk(error)) => error,
        _ => return false,
    };
    disk_error.source.kind() == INJECTED
}

/// Runs a history in which topics are created and deleted.
pub(crate) fn history(seed: u64, steps: &[Step]) {
    let mut rig = Rig::new(seed);
    for step in steps {
        rig.apply(step);
    }
    rig.restart(Fate::PowerLoss, seed, None);
    tally::add_faults(&rig.disk);
}

proptest! {
    #![proptest_config(crate::config(96))]

    /// Operations fail, and the process ends at any step.
    #[test]
    fn a_topic_is_there_with_all_its_files_or_not_there_with_none(
        seed: u64, steps in prop::collection::vec(step(), 1..40),
    ) {
        history(seed, &steps);
    }
}

/// A power loss right after a deletion, and another one right after the open that follows it.
#[test]
fn a_deleted_topic_does_not_come_back_after_two_power_losses() {
    for seed in 0..100 {
        let mut rig = Rig::new(seed);
        rig.create("a", 2, None);
        rig.delete("a", None);
        rig.restart(Fate::PowerLoss, seed, None);
        rig.create("a", 2, None);
        rig.restart(Fate::PowerLoss, seed + 1, None);
    }
}

#[test]
fn an_end_at_every_step_of_an_addition_leaves_the_old_number_of_partitions_or_the_new_one() {
    for fate in [Fate::Kill, Fate::PowerLoss] {
        let (mut seen_old, mut seen_new) = (0, 0);
        for seed in 0..10 {
            for steps in 0.. {
                let mut rig = Rig::new(seed);
                rig.create("a", 2, None);
                rig.grow("a", 2, Some(steps));
                let has_ended = rig.possible["a"].len() == 1;
                rig.restart(fate, seed, None);
                let partitions = rig.catalog.topics()["a"].partitions;
                seen_old += u32::from(partitions == 2);
                seen_new += u32::from(partitions == 4 && !has_ended);
                // A second attempt is not hindered by what the first one has left.
                if partitions == 2 {
                    rig.grow("a", 1, None);
                    assert_eq!(rig.catalog.topics()["a"].partitions, 3);
                    rig.restart(fate, seed + 1, None);
                }
                if has_ended {
                    break;
                }
            }
        }
        assert!(seen_old > 0 && seen_new > 0, "{fate:?}: {seen_old}, {seen_new}");
    }
}

#[test]
fn a_topic_that_was_being_enlarged_can_be_deleted_with_all_its_directories() {
    for steps in 0..30 {
        let mut rig = Rig::new(1);
        rig.create("a", 1, None);
        rig.grow("a", 2, Some(steps));
        // The process continues, as after a failure that left directories behind.
        while rig.disk.step() {}
        rig.delete("a", None);
        rig.possible.insert("a", vec![None]);
        rig.restart(Fate::PowerLoss, 2, None);
    }
}

#[test]
fn a_power_loss_at_every_step_of_a_deletion_leaves_all_of_the_topic_or_nothing() {
    for seed in 0..30 {
        for steps in 0.. {
            let mut rig = Rig::new(seed);
            rig.create("a", 2, None);
            rig.delete("a", Some(steps));
            let has_ended = rig.possible["a"] == [None];
            rig.restart(Fate::PowerLoss, seed, None);
            if has_ended {
                assert!(steps > 5, "{steps} steps");
                break;
            }
        }
    }
}

/// Returns damage records for partition 0 of the topics with these ids.
fn records(topic_ids: &[u64]) -> DamageRecords {
    let kind = CorruptionKind::EndsEarly { expected: 10, found: 20 };
    let cause = DamageError::Corrupt(Corruption { path: "/data/a-0/0.log".into(), position: 5, kind });
    let mut records = DamageRecords::default();
    for topic_id in topic_ids {
        let partition = TopicPartition { topic: "a".into(), partition: 0 };
        records.add(DamageRecord::new(Path::new(DATA), (*topic_id, &partition), 10, &cause, i64::MIN));
    }
    records
}

/// The process ends at any step while the damage records are replaced. The old records are there or the new ones.
#[test]
fn a_record_of_damage_is_replaced_as_a_whole_and_durable_once_it_is_answered() {
    for fate in [Fate::Kill, Fate::PowerLoss] {
        for (old, new) in [(vec![], vec![1]), (vec![1], vec![1, 2]), (vec![1, 2], vec![])] {
            let (old, new) = (records(&old), records(&new));
            for steps in (0..).map(Some) {
                let disk = SimDisk::new(3);
                let mut catalog = disk.run_until(open(&disk)).unwrap();
                disk.run_until(catalog.record_damage(&disk, old.clone())).unwrap();
                let replaced = run_for(&disk, steps, catalog.record_damage(&disk, new.clone()));
                let disk = fate.of(&disk, 7);
                let catalog = disk.run_until(open(&disk)).unwrap();
                let found = catalog.damage_records();
                if replaced.is_some() {
                    assert_eq!(found, &new);
                    break;
                }
                assert!([&old, &new].contains(&found), "{found:?}");
            }
        }
    }
}
