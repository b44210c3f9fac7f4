//! Phases (warm-up, measure, drain), pacing, producers and consumers: what drives a target.

pub mod ack_log;
pub mod backlog;
pub mod ceilings;
pub mod clock;
pub mod colocated;
pub mod consumers;
pub mod cores;
pub mod data_dir;
pub mod figures;
mod harvest;
pub mod inject;
pub mod integrity;
pub mod interrupt;
pub mod load_thread;
pub mod order;
pub mod pacing;
pub mod partitioner;
pub mod pass;
pub mod plan;
mod points;
pub mod pool;
pub mod producers;
pub mod progress;
pub mod require;
pub mod run;
pub mod schedule;
mod session;
pub mod shared;
pub mod stall_figures;
pub mod stamp;
#[cfg(test)]
mod sweep_tests;
#[cfg(test)]
mod tests;
pub mod timeline;
pub mod trial;
mod turn;
pub mod verdict;
pub mod wake;
pub mod watch;
