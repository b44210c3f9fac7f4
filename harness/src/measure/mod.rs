//! Values that are recorded during a trial: histograms, series, events, counters, and the ledger of integrity.

pub mod errors;
pub mod events;
pub mod finished;
pub mod group;
pub mod group_partition;
pub mod histograms;
pub mod ledger;
pub mod recorder;
pub(crate) mod sampled;
pub mod series;
pub mod shards;
pub mod thin;
pub mod writes;
