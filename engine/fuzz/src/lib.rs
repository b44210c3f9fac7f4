//! Checks that the engine survives arbitrary bytes where it reads files. Each target is one module with two functions:
//! `check` takes an input and panics when a promise is broken; `seeds` gives the inputs that fuzzing starts from.
//!
//! libFuzzer drives the checks (`fuzz_targets/`, `scripts/fuzz`). The engine's test `fuzz_seeds` has these files as modules of its own,
//! and runs the checks over the seeds alone.
//!
//! Most mutations break a checksum. Then no code behind the check runs. The checks therefore repair checksums first
//! ([`repair`]); a bit of the input turns that off where a wrong checksum is a case of its own.

pub mod batch;
pub mod catalog;
pub mod checkpoint;
pub mod fixture;
pub mod group_records;
pub mod offset_index;
pub mod recovery;
pub mod repair;
pub mod simulated;
pub mod time_index;

/// A target: its name, its check, and its seeds.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// The name of its binary and of its folder in the corpus.
    pub name: &'static str,
    /// The check, which panics when an input breaks a promise.
    pub check: fn(&[u8]),
    /// Returns the inputs that fuzzing starts from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub const TARGETS: [Target; 7] = [
    Target { name: "batch", check: batch::check, seeds: batch::seeds },
    Target { name: "offset_index", check: offset_index::check, seeds: offset_index::seeds },
    Target { name: "time_index", check: time_index::check, seeds: time_index::seeds },
    Target { name: "catalog", check: catalog::check, seeds: catalog::seeds },
    Target { name: "checkpoint", check: checkpoint::check, seeds: checkpoint::seeds },
    Target { name: "group_records", check: group_records::check, seeds: group_records::seeds },
    Target { name: "recovery", check: recovery::check, seeds: recovery::seeds },
];
