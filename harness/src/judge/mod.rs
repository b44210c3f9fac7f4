//! From the record of a trial to claims: figures, verdicts, integrity.

pub mod figures;
pub mod integrity;
pub mod stall_figures;
pub mod verdict;
