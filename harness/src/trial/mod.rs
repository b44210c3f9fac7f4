//! One trial: it opens the system, runs the load, watches it, injects stalls, and measures slices of the device's ceiling.

pub mod backlog;
pub mod bench;
pub mod ceilings;
pub(crate) mod conduct;
pub mod context;
pub mod cores;
pub mod data_dir;
pub(crate) mod harvest;
pub mod inject;
pub mod progress;
pub mod require;
mod wall_clock;
pub mod watch;

pub use ceilings::Shape;
