//! The workload file: its schema, its units, and errors that point at the mistake.

mod checks;
mod deployment;
mod estimate;
mod file;
pub mod limits;
mod load;
mod message;
mod metric;
mod payload_file;
mod reading;
mod resolved;
mod settings;
mod slo;
pub mod spec;
mod study;
#[cfg(test)]
mod tests;
pub mod units;

pub use checks::capabilities::{Capabilities, capabilities_of};
pub use checks::kafka::FROM_ENVIRONMENT;
pub use deployment::{Deployment, Host};
pub use estimate::Estimate;
pub use file::{BUILT_IN, built_in_text, load_study, parse_study};
#[cfg(test)]
pub(crate) use file::{load, parse};
pub use load::{Arrival, Load, LoadMode, Pass, PassKind, profile};
pub use message::{KeyDistribution, MessageSize, Payload, PayloadSource, SizeRange, WeightedSize};
pub use metric::{Answer, Metric};
pub use payload_file::{Lines, PayloadFile, Split};
pub use profile::Profile;
pub use reading::keys::keys;
pub use reading::nearest::nearest;
pub use reading::overrides::Override;
pub use resolved::{Difference, differences, with_former_defaults};
pub use settings::{
    Assignment, Assignor, Churn, Commit, CommitMode, Consume, Cores, EngineSettings, Io, KafkaSettings,
    KafkaVersion, LogSettings, Placement, Poll, Preallocate,
};
pub use slo::{Histogram, LatencyBound, Slo, Statistic};
pub use spec::{
    Backlog, BacklogCache, Batch, Ceiling, Compression, Durability, OnError, Phases, Requirement,
    SteadyMetric, SteadyState, Target, Verify, WarmMemory, Workload,
};
pub(crate) use study::is_within;
pub use study::{Combination, Many, Study, label};
pub use units::{Bytes, Fraction, Limit, Rate, RecordRate, TimeSpan};
