//! vnotch-engine: a thread-per-core commit log on glommio and io_uring, with Kafka's log model and file format.
//!
//! Imports run downward only: `engine` → `client` → `shard` → `coordinator` → `catalog`/`log` → `segment` → `disk` → `buffer` →
//! `record`/`index`. This crate does not know the benchmark harness.

pub mod buffer;
pub mod catalog;
pub mod client;
pub mod clock;
pub mod config;
pub mod coordinator;
pub mod disk;
pub mod engine;
pub mod error;
pub mod events;
pub mod group;
pub mod index;
pub mod log;
pub mod num;
pub mod record;
pub mod repair;
pub mod segment;
pub mod shard;
mod sizes;
pub mod types;
pub mod verify;

#[cfg(test)]
mod golden;
