//! The origin of a result: which build measured which workload against which target.

pub mod changes;

use crate::num;
use crate::workload::Lines;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The origin of a result, beside the machine's description and the resolved workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The build that measured.
    pub build: Build,
    /// A hash that tells machines apart: of `/etc/machine-id`, or else of the kernel's boot id, which changes at each boot.
    /// `None` if neither can be read, and in schema version 1.
    #[serde(default)]
    pub machine_id: Option<String>,
    /// When the run began, RFC 3339.
    pub started_at: String,
    /// When the run was resumed after an interruption, RFC 3339, one entry for each time; sweeps only.
    #[serde(default)]
    pub resumed_at: Vec<String>,
    /// The command line as typed, one entry for each word. Empty in schema version 1.
    #[serde(default)]
    pub command_line: Vec<String>,
    /// The part of the command line that describes this workload: its file or name, then flags such as `--set`, each followed by
    /// its value. Empty in schema version 1.
    #[serde(default)]
    pub workload_arguments: Vec<String>,
    /// The stalls that `--inject` asked for, each as it was written. Empty in schema version 1.
    #[serde(default)]
    pub injected: Vec<String>,
    /// SHA-256 of the resolved workload, hexadecimal.
    pub workload_sha256: String,
    /// Seed of the payloads and schedules.
    pub seed: u64,
    /// Seed of the order of trials; `None` for a run, whose order is fixed.
    pub order_seed: Option<u64>,
    /// The files whose lines were sent; empty where records were generated.
    #[serde(default)]
    pub payload_files: Vec<PayloadData>,
    /// The system that was measured.
    pub target: SystemIdentity,
    /// The cores that the run used.
    pub cores: CoresUsed,
    /// The tags of `--tag k=v`.
    pub tags: BTreeMap<String, String>,
}

/// The part of a payload file that was sent, again and again from its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadData {
    /// Path of the file.
    pub path: String,
    /// Records in the part.
    pub records: u64,
    /// Bytes of those records.
    pub bytes: u64,
    /// Whether the file is longer than the part.
    pub is_part: bool,
    /// SHA-256 of the part, line ends included, hexadecimal.
    pub sha256: String,
}

impl PayloadData {
    /// Describes `lines`, the lines that are used of the file at `path`.
    pub fn of(path: &Path, lines: &Lines) -> Self {
        Self {
            path: path.display().to_string(),
            records: num::count(lines.records.len()),
            bytes: num::count(lines.records.iter().map(ExactSizeIterator::len).sum()),
            is_part: lines.is_part,
            sha256: lines.sha256(),
        }
    }
}

/// A build of vnotch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// Version of the crate.
    pub version: String,
    /// The commit that was built; `unknown` outside a checkout.
    pub git_revision: String,
    /// Whether tracked files differed from that commit; `None` outside a checkout.
    pub git_dirty: Option<bool>,
    /// Build profile: `release` or `debug`. Figures of a debug build mean nothing.
    pub profile: String,
    /// Version of the compiler.
    pub rustc: String,
    /// The platform that the build is for.
    pub target: String,
}

impl Build {
    /// The build that is running.
    pub fn current() -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: env!("VNOTCH_GIT_REVISION").to_owned(),
            git_dirty: match env!("VNOTCH_GIT_STATE") {
                "clean" => Some(false),
                "dirty" => Some(true),
                _ => None,
            },
            profile: env!("VNOTCH_PROFILE").to_owned(),
            rustc: env!("VNOTCH_RUSTC").to_owned(),
            target: env!("VNOTCH_TARGET").to_owned(),
        }
    }
}

impl std::fmt::Display for Build {
    /// Writes version, revision, profile and compiler: `vnotch 0.1.0 (1a2b3c4d5e6f, changed, release, rustc 1.90.0)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let changed = if self.git_dirty == Some(true) { ", changed" } else { "" };
        let Self { version, git_revision, profile, rustc, .. } = self;
        write!(f, "vnotch {version} ({git_revision:.12}{changed}, {profile}, {rustc})")
    }
}

/// The description that a target gives of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SystemIdentity {
    /// Kind of target: `engine`, `kafka`, `device`.
    pub kind: String,
    /// Version of the target.
    pub version: String,
    /// Facts that influence the figures: features in use, configuration.
    pub facts: BTreeMap<String, String>,
}

/// The cores that a run used, and the priority of the load threads on them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoresUsed {
    /// The core of each shard.
    pub shards: Vec<u32>,
    /// The core of each load thread.
    pub load: Vec<u32>,
    /// The nice value of load threads that pace an open load. `None` if they have the priority of the process.
    #[serde(default)]
    pub load_nice: Option<i32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_knows_its_compiler_and_profile() {
        let build = Build::current();
        assert!(build.rustc.starts_with("rustc "));
        assert!(["debug", "release"].contains(&build.profile.as_str()));
        assert!(build.git_revision == "unknown" || build.git_revision.len() >= 40);
    }
}
