//! Load threads: producers and consumers that are paced, stamp their records and record latencies.

pub mod ack_log;
pub mod colocated;
pub mod consumers;
pub mod load_thread;
pub mod pacing;
pub mod partitioner;
pub mod plan;
pub mod pool;
pub mod producers;
pub mod seat;
pub mod shared;
pub mod stamp;
#[cfg(test)]
mod tests;
mod turn;
pub mod wake;
