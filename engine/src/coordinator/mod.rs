//! The coordinator of the groups of one partition of `__consumer_offsets`: it drives the pure state machine of `group/` over
//! the partition's own log.
//!
//! ```text
//! request ─► Groups::handle ─┬─► replies
//!                            └─► batches ─► the partition's own log ─► ack ─► Groups::appended ─► replies
//! ```
//!
//! A coordinator spawns nothing and knows no shard. Its [`Owner`] (a shard, or a test on the simulated disk) lends it the log
//! and carries out its appends.

mod appends;
mod compaction;
mod damage;
mod owner;
mod removal;
mod replay;

pub use damage::{OffsetsDamage, OffsetsFault};
pub use owner::{LivingTopic, LogOf, Owner};

use crate::clock::{Clock as _, after};
use crate::config::GroupsConfig;
use crate::group::{
    EncodedRecord, GroupConfig, GroupError, Groups, Now, Output, Reply, ReplyBody, Request, RequestBody,
    partition_of_group,
};
use crate::types::TopicPartition;
use appends::Appends;
use compaction::Compaction;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The coordinator of the groups of one partition.
pub struct Coordinator<O: Owner> {
    owner: O,
    name: TopicPartition,
    /// Number of partitions of `__consumer_offsets`.
    partitions: u32,
    /// The time at which the state machine's monotonic clock is 0.
    started: Instant,
    expire_every: Duration,
    next_expiry: Cell<Instant>,
    /// Whether what has expired is being removed.
    is_expiring: Cell<bool>,
    config: GroupConfig,
    groups: RefCell<Groups>,
    /// The damage that was found in the stored records, if there is any. Then no group is served.
    damage: RefCell<Option<OffsetsDamage>>,
    appends: Appends,
    compaction: RefCell<Compaction>,
}

impl<O: Owner> Coordinator<O> {
    /// Returns a coordinator that serves once [`Coordinator::load`] has read the log. `partitions` is the number of partitions of
    /// the topic.
    pub fn new(owner: O, name: TopicPartition, partitions: u32, config: &GroupsConfig) -> Rc<Self> {
        let now = owner.clock().now();
        let expire_every = Duration::from_millis(config.offsets_retention_check_interval_ms.max(1));
        let machine = machine_config(config);
        Rc::new(Self {
            owner,
            name,
            partitions,
            started: now,
            expire_every,
            next_expiry: Cell::new(after(now, expire_every)),
            is_expiring: Cell::new(false),
            groups: RefCell::new(Groups::new(machine.clone())),
            config: machine,
            damage: RefCell::default(),
            appends: Appends::default(),
            compaction: RefCell::default(),
        })
    }

    /// Returns the owner.
    pub const fn owner(&self) -> &O {
        &self.owner
    }

    /// Returns the damage that keeps the groups from being served.
    pub fn damage(&self) -> Option<OffsetsDamage> {
        self.damage.borrow().clone()
    }

    /// Whether all groups that a request names belong to this partition.
    pub fn coordinates(&self, body: &RequestBody) -> bool {
        let is_own = |group: &str| partition_of_group(group, self.partitions) == self.name.partition;
        match body {
            RequestBody::DeleteGroups(delete) => delete.groups.iter().all(|group| is_own(group)),
            RequestBody::DescribeGroups(describe) => describe.groups.iter().all(|group| is_own(group)),
            body => body.group().is_none_or(is_own),
        }
    }

    /// Returns what `look` returns for the groups as they are now.
    pub fn look<R>(&self, look: impl FnOnce(&Groups) -> R) -> R {
        look(&self.groups.borrow())
    }

    /// Returns the present time, as the state machine counts it.
    fn now(&self) -> Now {
        let clock = self.owner.clock();
        Now { monotonic_ms: self.monotonic_ms(clock.now()), unix_ms: clock.wall_ms() }
    }

    /// Returns a time as the state machine's monotonic clock shows it, ms.
    fn monotonic_ms(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.started);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    /// Handles a request. The groups must not be damaged, and must belong to this partition. A commit of a consumer that has
    /// read an earlier topic of the same name is refused whole.
    pub fn handle(self: &Rc<Self>, request: Request) {
        if self.is_of_deleted_topic(&request.body) {
            let body = ReplyBody::refusal(&request.body, GroupError::UnknownTopicOrPartition);
            self.owner.reply(Reply { token: request.token, body });
            return;
        }
        let now = self.now();
        let output = self.groups.borrow_mut().handle(request, now);
        self.carry_out(output);
    }

    /// Whether the request commits offsets of a topic that does not exist any more. The offsets of one that is deleted later are
    /// removed then.
    fn is_of_deleted_topic(&self, body: &RequestBody) -> bool {
        let RequestBody::OffsetCommit(commit) = body else { return false };
        let living_id = |name: &str| self.owner.topic(name).map(|topic| topic.id);
        commit.topic_ids.iter().any(|(name, id)| living_id(name) != Some(*id))
    }

    /// Ends the sessions, rebalances and offsets whose time has come. The owner calls it at the time given to [`Owner::tick_at`].
    pub fn tick(self: &Rc<Self>) {
        self.tick_due_at(self.owner.clock().now());
    }

    /// Does what [`Coordinator::tick`] does for times up to `due_at`. An owner uses a time in the past if it has not handled the
    /// requests yet that have arrived since: one of them may keep a session.
    pub fn tick_due_at(self: &Rc<Self>, due_at: Instant) {
        if self.damage.borrow().is_some() {
            return;
        }
        let now = self.now();
        let output = self.groups.borrow_mut().tick_until(self.monotonic_ms(due_at), now);
        self.carry_out(output);
        if self.next_expiry.get() <= due_at {
            self.next_expiry.set(after(due_at, self.expire_every));
            self.begin_expiry();
        }
        self.set_timer();
    }

    /// Sends the replies and appends the batches of a step, and sets the next timer.
    fn carry_out(&self, output: Output) {
        for reply in output.replies {
            self.owner.reply(reply);
        }
        for append in output.appends {
            self.append_step(append);
        }
        self.set_timer();
    }

    /// Tells the owner the time of the next tick.
    fn set_timer(&self) {
        let deadline_ms = self.groups.borrow().next_deadline_ms();
        let deadline = deadline_ms.map(|ms| after(self.started, Duration::from_millis(ms)));
        let expiry = self.next_expiry.get();
        self.owner.tick_at(deadline.map_or(expiry, |deadline| deadline.min(expiry)));
    }

    /// Ends the coordinator of a partition that has closed. Requests that still wait are answered with `NOT_COORDINATOR`.
    pub fn end(&self) {
        let output = self.groups.borrow_mut().unload();
        self.carry_out(output);
    }

    /// Returns the whole stored state as records.
    pub fn stored(&self) -> Vec<EncodedRecord> {
        self.groups.borrow().snapshot().collect()
    }
}

/// Returns the state machine's configuration.
fn machine_config(config: &GroupsConfig) -> GroupConfig {
    GroupConfig {
        group_max_size: config.group_max_size,
        initial_rebalance_delay_ms: config.group_initial_rebalance_delay_ms,
        min_session_timeout_ms: config.group_min_session_timeout_ms,
        max_session_timeout_ms: config.group_max_session_timeout_ms,
        offset_metadata_max_chars: config.offset_metadata_max_bytes,
        offsets_retention_ms: config.offsets_retention_ms,
        ..GroupConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BATCH_BYTES_MAX;
    use crate::group::RECORD_REST_BYTES;

    #[test]
    fn the_record_of_the_largest_group_fits_a_batch_of_the_offsets_topic() {
        let config = machine_config(&GroupsConfig::default());
        let largest = config.group_members_bytes_max + config.assignments_bytes_max + RECORD_REST_BYTES;
        assert!(largest <= BATCH_BYTES_MAX, "{largest} of {BATCH_BYTES_MAX} bytes");
        assert_eq!(GroupsConfig::default().topic().max_message_bytes, BATCH_BYTES_MAX);
    }
}
