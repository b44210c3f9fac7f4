//! vnotch-engine: a thread-per-core commit log on glommio and io_uring, in Kafka's log model and file format.
//!
//! Imports run downward only: `engine` → `client` → `shard` → `catalog`/`log` → `segment` → `disk` → `buffer` →
//! `record`/`index`. Nothing here knows that benchmarks exist.

pub mod index;
pub mod record;

#[cfg(test)]
mod golden;
