//! What the schema can say and this release cannot do yet, refused by name.

use super::validate::Problems;
use super::{
    Arrival, Compression, KeyDistribution, LoadMode, PayloadSource, Profile, Split, Target, Workload,
};

/// Refuses each key whose value is not supported yet.
pub(super) fn check(workload: &Workload, problems: &mut Problems) {
    let mut refuse = |key: &'static str, what: &str| {
        problems.refuse(&[key], format!("{what} is not supported yet"));
    };
    match &workload.target {
        Target::Engine => {}
        Target::Kafka { .. } => refuse("target", "a Kafka cluster as the target"),
        Target::Device => refuse("target", "the device as the target of a workload"),
    }
    if workload.compression != Compression::None {
        refuse("compression", "compression");
    }
    if let PayloadSource::File(file) = &workload.payload.source
        && file.split == Split::Size
    {
        refuse("payload.split", "splitting a payload by size");
    }
    if matches!(workload.key_distribution, KeyDistribution::Zipf(_)) {
        refuse("key_distribution", "a Zipf distribution of keys");
    }
    if let LoadMode::Open { arrival, profile, .. } = workload.load.mode {
        if arrival != Arrival::Constant {
            refuse("load.arrival", "any arrival but constant");
        }
        if profile != Profile::Constant {
            refuse("load.profile", "any profile but constant");
        }
    }
    if workload.backlog.is_some() {
        refuse("backlog", "building a backlog");
    }
    if workload.steady_state.is_some() {
        refuse("steady_state", "a steady-state test");
    }
    if !workload.require.is_empty() {
        refuse("require", "requiring that retention is reached");
    }
}
