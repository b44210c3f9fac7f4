//! The setup of a trial: what is run, and where.

use super::context::RunContext;
use super::cores::Place;
use super::inject::Injection;
use crate::load::pool::Pool;
use crate::workload::{Backlog, Requirement, Workload};
use std::path::Path;

/// The parts of a trial that not every trial has. A calibration has only the requirements.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extras<'a> {
    /// `--ack-log`.
    pub ack_log: Option<&'a Path>,
    /// `--inject`.
    pub injections: &'a [Injection],
    /// Conditions that must hold before the window opens.
    pub requirements: &'a [Requirement],
    /// The backlog that is built before the window opens.
    pub backlog: Option<Backlog>,
}

/// The setup of the trials of one combination.
pub struct Bench<'a> {
    /// Shared by all trials of the run.
    pub context: &'a RunContext<'a>,
    /// The workload of the combination.
    pub workload: &'a Workload,
    /// The cores of shards and load threads.
    pub place: &'a Place,
    /// The values that producers send.
    pub(crate) pool: Pool,
    /// The parts that not every trial has.
    pub extras: Extras<'a>,
}

impl<'a> Bench<'a> {
    /// Makes the values that producers send, and keeps the rest.
    ///
    /// # Errors
    /// The values cannot be made: a payload file cannot be read, or the values do not fit into memory.
    pub fn new(
        context: &'a RunContext<'a>,
        workload: &'a Workload,
        place: &'a Place,
        extras: Extras<'a>,
    ) -> anyhow::Result<Self> {
        Ok(Self { context, workload, place, pool: Pool::of(workload)?, extras })
    }

    /// The same bench for a calibration. Its window waits for the same requirements, because the writes differ before them.
    pub(crate) fn for_calibration(&self) -> Bench<'a> {
        let (context, workload, place) = (self.context, self.workload, self.place);
        let extras = Extras { requirements: self.extras.requirements, ..Extras::default() };
        Bench { context, workload, place, pool: self.pool.clone(), extras }
    }

    /// Whether load runs on the shards' own threads.
    pub(crate) fn is_colocated(&self) -> bool {
        self.workload.deployment().is_colocated()
    }
}

/// Makes the values of a workload once, to see that they can be made.
///
/// # Errors
/// They cannot be made.
pub fn check_values(workload: &Workload) -> anyhow::Result<()> {
    Pool::of(workload).map(drop)
}
