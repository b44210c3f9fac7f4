//! Turns the measurements of a trial into claims: figures, a check of the records' integrity, and a verdict.

pub mod figures;
mod groups;
pub mod integrity;
mod latencies;
pub mod limit;
pub mod stall_figures;
#[cfg(test)]
mod tests;
pub mod verdict;
