//! The workload file: schema, units, errors that point at the mistake.

mod load;
mod message;
mod settings;
mod slo;
pub mod spec;
pub mod units;

pub use load::{Arrival, Load, LoadMode, Pass, PassKind, Profile};
pub use message::{KeyDistribution, MessageSize, Payload, PayloadSource, SizeRange, Split, WeightedSize};
pub use settings::{Cores, EngineSettings, Io, LogSettings, Placement, Poll, Preallocate};
pub use slo::{Histogram, LatencyBound, Slo, Statistic};
pub use spec::{
    Backlog, BacklogCache, Batch, Ceiling, Compression, Durability, Phases, Requirement, SteadyMetric,
    SteadyState, Target, Verify, WarmMemory, Workload,
};
pub use units::{Bytes, Fraction, Limit, Rate, TimeSpan};
