//! The workload file: its schema, its units, and errors that point at the mistake.

mod capabilities;
mod decode;
mod deployment;
mod effects;
mod estimate;
mod file;
mod keys;
pub mod limits;
mod load;
mod message;
mod nearest;
mod overrides;
mod payload_file;
mod placement;
pub mod profile;
mod resolved;
mod settings;
mod slo;
pub mod spec;
mod study;
#[cfg(test)]
mod tests;
mod tree;
pub mod units;
mod unsupported;
mod validate;

pub use capabilities::{Capabilities, capabilities_of};
pub use deployment::Deployment;
pub use estimate::Estimate;
#[cfg(test)]
pub(crate) use file::parse_study;
pub use file::{BUILT_IN, load_study};
#[cfg(test)]
pub(crate) use file::{load, parse};
pub use keys::keys;
pub use load::{Arrival, Load, LoadMode, Pass, PassKind};
pub use message::{KeyDistribution, MessageSize, Payload, PayloadSource, SizeRange, Split, WeightedSize};
pub use overrides::Override;
pub use payload_file::{Lines, PayloadFile};
pub use profile::Profile;
pub use resolved::{Difference, differences};
pub use settings::{Cores, EngineSettings, Io, LogSettings, Placement, Poll, Preallocate};
pub use slo::{Histogram, LatencyBound, Slo, Statistic};
pub use spec::{
    Backlog, BacklogCache, Batch, Ceiling, Compression, Durability, Phases, Requirement, SteadyMetric,
    SteadyState, Target, Verify, WarmMemory, Workload,
};
pub use study::{Combination, Many, Study, label};
pub use units::{Bytes, Fraction, Limit, Rate, TimeSpan};
