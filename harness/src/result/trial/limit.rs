//! The limit of a trial under `max`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The limit of a trial under `max`, with the figures that show it. Each figure is a share, 0 to 1; `None` where it is not
/// known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Limit {
    /// What limited the rate.
    pub kind: LimitKind,
    /// Bytes that the device moved ÷ what it moved with the same writes and without the target. `None` above 1.05, where the slices
    /// beside the trial were no ceiling.
    pub disk: Option<f64>,
    /// Share of the time in which the busiest shard's thread worked, colocated load included.
    pub shard_cpu: Option<f64>,
    /// Share of the time in which the busiest load thread had something to do.
    pub load_thread: Option<f64>,
    /// Mean bytes in flight ÷ `load.in_flight_bytes`.
    pub in_flight: Option<f64>,
}

/// The things that limit a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitKind {
    /// The load generator: a load thread had no time left.
    LoadThread,
    /// The thread of a shard.
    ShardCpu,
    /// The rate at which the device takes such writes.
    Disk,
    /// The rate at which the device completes syncs. It could take more bytes.
    Sync,
    /// `load.in_flight_bytes`: the producers had handed over all that they may.
    InFlightBytes,
    /// None of these was used up.
    Unknown,
}
