//! Checks for settings that the schema has and this release does not support yet. Each is refused by name.

use super::problems::Problems;
use crate::workload::{Compression, KeyDistribution, PayloadSource, Split, Workload};

/// Refuses each key whose value is not supported yet.
pub(in crate::workload) fn check(workload: &Workload, problems: &mut Problems) {
    let mut refuse = |key: &'static str, what: &str| {
        problems.refuse(&[key], format!("{what} is not supported yet"));
    };
    if workload.target.system() == "device" {
        refuse("target", "the device as the target of a workload");
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
    if workload.steady_state.is_some() {
        refuse("steady_state", "a steady-state test");
    }
}
