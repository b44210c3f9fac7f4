//! The owner of a coordinator, as the coordinator sees it.

use crate::clock::Clock;
use crate::disk::Disk;
use crate::error::DeleteRecordsError;
use crate::group::Reply;
use crate::log::Log;
use crate::types::Durability;
use futures_util::future::LocalBoxFuture;
use std::rc::Rc;
use std::time::Instant;

/// The log of an owner's partition.
pub type LogOf<O> = Log<<O as Owner>::Disk, <O as Owner>::Clock, <O as Owner>::Ack>;

/// A topic that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LivingTopic {
    /// Distinguishes the topic from earlier ones of the same name.
    pub id: u64,
    /// The open in which the topic was created; 0 if that is not known.
    pub created_in: i32,
}

/// The owner of a coordinator: a shard, or a test. It owns the log, runs the coordinator's futures, and reaches the callers.
pub trait Owner: 'static {
    /// The disk of the log.
    type Disk: Disk;
    /// The clock of the log and of the coordinator.
    type Clock: Clock;
    /// The owner's tag of an append.
    type Ack: 'static;

    /// Returns the clock.
    fn clock(&self) -> &Self::Clock;

    /// Returns the log; `None` once the partition has ended.
    fn log(&self) -> Option<Rc<LogOf<Self>>>;

    /// Returns the topic that has this name now, if there is one.
    fn topic(&self, name: &str) -> Option<LivingTopic>;

    /// Returns an empty buffer for the next batch.
    fn buffer(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Appends a batch behind all earlier ones. The outcome goes to [`Coordinator::acked`](super::Coordinator::acked) later, with
    /// the same number. `level` is the durability at which the batch is acked; `None` stands for the topic's.
    fn append(&self, batch: Vec<u8>, level: Option<Durability>, number: u32);

    /// Deletes the records below `offset` durably, and begins to remove their segments.
    fn delete_records(&self, offset: i64) -> LocalBoxFuture<'static, Result<i64, DeleteRecordsError>>;

    /// Whether appends are taken. `false` while the partition closes.
    fn takes_appends(&self) -> bool;

    /// Whether the partition is about to close: nothing long begins any more.
    fn is_closing(&self) -> bool;

    /// Sends a reply to the caller.
    fn reply(&self, reply: Reply);

    /// Calls [`Coordinator::tick`](super::Coordinator::tick) at `at`. If an earlier time is set, that one stays: its tick sets the
    /// next.
    fn tick_at(&self, at: Instant);

    /// Runs `work` in the background, and lets the partition not close before its end.
    fn spawn(&self, work: LocalBoxFuture<'static, ()>);

    /// Waits until other work of the owner has had its turn.
    fn next_turn(&self) -> LocalBoxFuture<'static, ()>;

    /// Called before the log is read from files.
    fn will_read(&self) {}

    /// Called after the log was read from files.
    fn has_read(&self) {}
}
