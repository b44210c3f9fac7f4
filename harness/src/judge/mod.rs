//! Turns the measurements of a trial into claims: figures, a check of the records' integrity, and a verdict.

pub mod figures;
pub mod integrity;
pub mod stall_figures;
pub mod verdict;
