//! The deployment of the system under test. The settings of a system (`engine:`) are read here alone; the rest of the harness
//! asks the deployment.

use super::{Cores, Io, Placement, Poll, Workload};

/// The resolved deployment of the system under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deployment<'a> {
    /// The place where load runs: threads of its own, or the shards' threads.
    pub placement: Placement,
    /// Number of shards.
    pub shards: u32,
    /// The cores that the workload names; an empty list leaves the choice to the harness.
    pub cores: &'a Cores,
    /// How the log is written and read.
    pub io: Io,
    /// How a shard waits for completions.
    pub poll: Poll,
}

impl Deployment<'_> {
    /// Whether load runs on the shards' own threads.
    pub fn is_colocated(&self) -> bool {
        self.placement == Placement::Colocated
    }

    /// Whether writes go to the page cache, so that a completed one has not reached the device.
    pub fn is_page_cached(&self) -> bool {
        self.io == Io::Buffered
    }
}

impl Workload {
    /// The deployment that this workload asks for.
    pub fn deployment(&self) -> Deployment<'_> {
        let settings = &self.engine;
        Deployment {
            placement: settings.placement,
            shards: settings.shards,
            cores: &settings.cores,
            io: settings.io,
            poll: settings.poll,
        }
    }
}
