//! A comparison whose pairs are measured turn by turn: `vnotch compare --interleave`.
//!
//! - `plan`, `side`, `binary`: what is measured, and the arguments of the processes.
//! - `checked`: the check of a side before anything is measured.
//! - `agenda`: the order of the trials, as a pure value.
//! - `pairs`: the pairs that were measured, as plain values.
//! - `child`: the process of one trial.
//! - `outcome`, `metric`: the document that a trial's process printed, and the figure in it that decides.
//! - `series`: measures the pairs and stores each one.
//! - `record`: the document of the series.

mod agenda;
mod binary;
mod checked;
pub(crate) mod child;
mod metric;
mod outcome;
mod pairs;
mod plan;
mod record;
mod series;
mod side;

pub(crate) use binary::Binary;
pub(crate) use checked::{Checked, alike, check, differences_of};
pub(crate) use metric::metric_of;
pub(crate) use pairs::{Pairs, Side};
pub(crate) use plan::{Length, Plan};
pub(crate) use record::record;
pub(crate) use series::Session;
pub(crate) use side::{SidePlan, WorkloadText};
