//! A result: its schema (docs/result.schema.json is generated from it) and its directory.
//!
//! `schema` is the whole result and its points, `trial` what one trial came to, `verdict` how far it can be trusted,
//! `series` what happened over time, `store` the files, `staging` those of a sweep under way, `shelf` a directory of
//! results. Plain values; how they came about is docs/methodology.md's.

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

pub use record::{Artifact, Recording, TrialRecord};
pub use schema::{Figure, Interval, Kind, Point, RunResult, SCHEMA_VERSION};
pub use series::{Event, SeriesRow};
pub use trial::{
    BacklogFigures, Batches, CeilingFigures, CpuSeconds, DsyncFigures, Flow, Granularity, InjectedStall,
    IntegrityFigures, LateAttempt, LatencyFigures, LatencySet, OfCeiling, Offered, Resources, ShardFigures,
    StallFigures, Trial, WriteShape, Writes,
};
pub use verdict::{Verdict, VerdictFlag, VerdictStatus};
