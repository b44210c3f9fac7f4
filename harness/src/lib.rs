//! vnotch: the instrument that measures commit logs. Workloads in; honest, charted results out.
//!
//! A library with a thin binary, so that tests and benches can use every module. `stats`, `result` and `report` know no
//! target; only `target` knows what is being measured.

pub mod campaign;
pub mod cli;
pub mod device;
pub mod doctor;
pub mod escape;
pub mod exit;
pub mod explain;
pub mod host;
pub mod interrupt;
pub mod judge;
pub mod load;
pub mod measure;
pub mod num;
pub mod quantity;
pub mod report;
pub mod result;
pub mod stats;
pub mod stderr;
pub mod system;
pub mod time;
pub mod trial;
pub mod workload;
