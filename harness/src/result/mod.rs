//! A result: its schema and its directory. docs/result.schema.json is generated from the schema.
//!
//! - `schema`: the whole result and its points.
//! - `comparison`: the result of `compare`.
//! - `trial`: the figures of one trial.
//! - `latency`: histograms, the rules for percentiles, and the figures of latencies.
//! - `verdict`: whether the figures can be trusted.
//! - `series`: measurements over time.
//! - `store`: the files of a result.
//! - `staging`: the files of an unfinished sweep.
//! - `shelf`: a directory of results.
//!
//! These are plain values. docs/methodology.md says how they are measured.

pub mod comparison;
pub mod environment;
mod hlog;
pub mod latency;
mod names;
pub mod provenance;
mod record;
pub mod schema;
pub mod series;
pub mod shelf;
pub mod staging;
pub mod store;
mod timeline;
pub mod trial;
pub mod verdict;

pub use latency::figures::{Granularity, LatencyFigures, LatencySet};
pub use latency::percentile::Bound;
pub use record::{Artifact, Recording, TrialRecord};
pub use schema::{Figure, Interval, Kind, Point, RunResult, SCHEMA_VERSION, WorkloadList, in_time};
pub use series::{Event, SeriesRow};
pub use trial::{
    BacklogFigures, Batches, CeilingFigures, ClosedFigures, CoreRoundTrip, CpuPart, CpuPerGib, CpuSeconds,
    DsyncFigures, ErrorFigures, ErrorKind, Flow, GridCell, GroupFigures, InjectedStall, IntegrityFigures,
    LateAttempt, Limit, LimitKind, OF_CEILING_MAX, OfCeiling, Offered, ProcessFigures, PumpShares, Resources,
    ShardFigures, StallFigures, Trial, WriteShape, Writes,
};
pub use verdict::{Verdict, VerdictFlag, VerdictStatus};
