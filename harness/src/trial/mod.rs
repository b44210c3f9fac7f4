//! One trial: it opens the system, runs the load, watches it, injects stalls, and measures slices of the device's ceiling.

pub mod backlog;
pub mod bench;
pub mod ceilings;
mod conduct;
pub mod context;
pub mod cores;
pub mod data_dir;
mod harvest;
pub mod inject;
pub mod progress;
pub(crate) mod read_back;
pub mod require;
mod shape;
pub mod watch;

pub use shape::Shape;
