//! Opening partitions of a shard, several at the same time.

use crate::config::TopicConfig;
use crate::error::{DamageError, OpenError};
use crate::log::{Damaged, Epochs, Log, Origin};
use crate::shard::partition::ShardLog;
use crate::shard::{Partition, Shard};
use crate::types::TopicPartition;
use futures_util::stream::{StreamExt as _, iter};
use std::cell::Cell;
use std::path::PathBuf;
use std::rc::Rc;

/// Most partitions that a shard opens, or closes, at the same time.
const AT_ONCE_MAX: usize = 32;

/// A partition that a shard is asked to open.
pub(crate) struct PartitionToOpen {
    pub(crate) name: TopicPartition,
    /// The topic's id in the catalog.
    pub(crate) topic_id: u64,
    pub(crate) dir: PathBuf,
    pub(crate) config: TopicConfig,
    pub(crate) epochs: Epochs,
    pub(crate) origin: Origin,
}

/// A partition that a shard has opened.
pub(crate) struct PartitionOpened {
    pub(crate) slot: usize,
    pub(crate) damage: Option<Damaged>,
}

/// Refuses a new log that is damaged. Its files existed before, so the partition cannot be created.
fn refuse_damaged_new_log(log: Rc<ShardLog>, origin: Origin) -> Result<Rc<ShardLog>, OpenError> {
    match log.damage() {
        Some(damage) if origin == Origin::Created => Err(match damage.cause {
            DamageError::Unreadable(error) => error.into(),
            DamageError::Corrupt(corruption) => OpenError::Corrupt(corruption),
        }),
        _ => Ok(log),
    }
}

impl Shard {
    /// Opens partitions, several at the same time. Returns them in the order of `list`. After an error no further
    /// partition is begun, and none gets a slot.
    pub(crate) async fn open_partitions(
        &self,
        list: Vec<PartitionToOpen>,
    ) -> Result<Vec<PartitionOpened>, OpenError> {
        let has_failed = Cell::new(false);
        let opening = iter(list.into_iter().enumerate()).map(
            |(index, PartitionToOpen { name, topic_id, dir, config, epochs, origin })| {
                let (has_failed, context) = (&has_failed, self.context.clone());
                async move {
                    if has_failed.get() {
                        return None;
                    }
                    let opened = Log::open(context, dir, config, epochs, origin).await;
                    let log = opened.and_then(|log| refuse_damaged_new_log(log, origin));
                    has_failed.set(has_failed.get() || log.is_err());
                    Some(log.map(|log| (index, Partition::new(name, topic_id, log))))
                }
            },
        );
        let results: Vec<Option<Result<_, OpenError>>> =
            opening.buffer_unordered(self.partitions_at_once()).collect().await;
        let mut opened = results.into_iter().flatten().collect::<Result<Vec<_>, OpenError>>()?;
        opened.sort_unstable_by_key(|(index, _)| *index);
        Ok(opened.into_iter().map(|(_, partition)| self.add(partition)).collect())
    }

    /// Ends partitions that were opened and are not wanted any more: their caller has given up meanwhile.
    pub(crate) async fn end_opened(self: Rc<Self>, opened: Result<Vec<PartitionOpened>, OpenError>) {
        for PartitionOpened { slot, .. } in opened.into_iter().flatten() {
            Rc::clone(&self).end_partition(slot).await;
        }
    }

    /// Returns how many partitions are opened, or closed, at the same time. Each has one or two files open meanwhile.
    pub(in crate::shard) fn partitions_at_once(&self) -> usize {
        let files = self.context.limits.files;
        ((files.open_files_max + files.brief_max) / 4).clamp(1, AT_ONCE_MAX)
    }

    /// Gives an open partition its slot.
    fn add(&self, partition: Partition) -> PartitionOpened {
        let damage = partition.log.damage();
        let slot = {
            let mut partitions = self.partitions.borrow_mut();
            partitions.push(Some(Rc::new(partition)));
            partitions.len() - 1
        };
        self.list(slot);
        PartitionOpened { slot, damage }
    }
}
