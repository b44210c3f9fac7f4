//! What is recorded while a target is driven: histograms, series, events, host figures.

pub mod disk_use;
pub mod environment;
pub mod events;
pub mod host;
pub mod memory;
pub mod procfs;
pub mod provenance;
pub mod recorder;
pub mod series;
pub mod storage;
pub mod thin;
