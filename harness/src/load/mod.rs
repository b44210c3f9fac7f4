//! The load: producers that send records at a given pace, consumers that read them, and the threads that drive both.
//! Producers stamp their records, consumers check the stamps, and both record latencies.

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
pub(crate) mod tests;
mod turn;
pub mod wake;
