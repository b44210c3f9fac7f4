//! Where a result comes from: which build measured which workload against which target.

use crate::num;
use crate::workload::Lines;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Everything a result needs to be traced, beside the machine and the resolved workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Provenance {
    /// The build that measured.
    pub build: Build,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When it was gone on with after it had been interrupted; sweeps only.
    #[serde(default)]
    pub resumed_at: Vec<String>,
    /// SHA-256 of the resolved workload, hexadecimal.
    pub workload_sha256: String,
    /// Seed of the payloads and schedules.
    pub seed: u64,
    /// Seed of the order of trials, where there is one to choose.
    pub order_seed: Option<u64>,
    /// The files whose lines were sent; none where records were generated.
    #[serde(default)]
    pub payload_files: Vec<PayloadData>,
    /// What was measured.
    pub target: SystemIdentity,
    /// Where it ran.
    pub cores: CoresUsed,
    /// `--tag k=v`.
    pub tags: BTreeMap<String, String>,
}

/// The part of a payload file that was sent, over and over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PayloadData {
    /// Where it was.
    pub path: String,
    /// Records in it.
    pub records: u64,
    /// Bytes of all of them.
    pub bytes: u64,
    /// Whether the file is longer than what was used.
    pub is_part: bool,
    /// SHA-256 of what was used, line ends included, hexadecimal.
    pub sha256: String,
}

impl PayloadData {
    /// Of the lines that are used of the file at `path`.
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
    /// Commit it was built from; `unknown` outside a checkout.
    pub git_revision: String,
    /// Whether tracked files had been changed; `None` outside a checkout.
    pub git_dirty: Option<bool>,
    /// `release` or `debug`. A figure of a debug build is no figure.
    pub profile: String,
    /// The compiler.
    pub rustc: String,
    /// What it was compiled for.
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

/// A target, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SystemIdentity {
    /// `engine`, `kafka`, `device`.
    pub kind: String,
    /// Its own version.
    pub version: String,
    /// What shapes its figures: features in use, configuration.
    pub facts: BTreeMap<String, String>,
}

/// The cores a run was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CoresUsed {
    /// The core of each shard.
    pub shards: Vec<u32>,
    /// The core of each load thread.
    pub load: Vec<u32>,
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
