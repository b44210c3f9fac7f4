//! The differences between the machine and build of a stored result and those of now. These are plain values: others look at
//! the machine.

use super::{Build, PayloadData, Provenance};
use crate::quantity;
use crate::result::environment::Environment;
use serde::Serialize;

/// The machine and the build of now.
#[derive(Debug, Clone, PartialEq)]
pub struct Here {
    /// The build that is running.
    pub build: Build,
    /// A hash that tells machines apart.
    pub machine_id: Option<String>,
    /// The machine.
    pub environment: Environment,
    /// The payload files of the result that can be read here.
    pub payload_files: Vec<PayloadData>,
}

/// One thing that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Name of the thing.
    pub what: String,
    /// Value in the stored result.
    pub there: String,
    /// Value of now.
    pub here: String,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} there, {} here", self.what, self.there, self.here)
    }
}

/// Returns what differs: machine, processor, memory, kernel, file system and device, build, and payload files.
pub fn changes(provenance: &Provenance, environment: &Environment, here: &Here) -> Vec<Change> {
    let mut changes = Vec::new();
    let short = |id: &Option<String>| id.as_ref().map(|id| format!("id {id:.12}"));
    let mut add = |what: &str, there: Option<String>, here: Option<String>| {
        if there != here {
            let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
            changes.push(Change { what: what.to_owned(), there: known(there), here: known(here) });
        }
    };
    add("machine", short(&provenance.machine_id), short(&here.machine_id));
    for ((what, there), (_, here)) in facts(environment).into_iter().zip(facts(&here.environment)) {
        add(what, there, here);
    }
    let missing = missing_cores(provenance, &here.environment);
    if !missing.is_empty() {
        add("cores used", Some(missing), Some("may not be used".to_owned()));
    }
    add("build", Some(provenance.build.to_string()), Some(here.build.to_string()));
    for there in &provenance.payload_files {
        let found = here.payload_files.iter().find(|here| here.path == there.path);
        let content = |data: &PayloadData| format!("{} records, SHA-256 {:.12}", data.records, data.sha256);
        let here = found.map_or_else(|| "no file that can be read".to_owned(), content);
        add(&format!("payload file {}", there.path), Some(content(there)), Some(here));
    }
    changes
}

/// Returns the facts about a machine that a figure depends on.
fn facts(environment: &Environment) -> [(&'static str, Option<String>); 15] {
    let Environment { kernel, cpu, memory, cgroup, storage, .. } = environment;
    let device = storage.device.as_ref();
    [
        ("processor", cpu.model.clone()),
        ("cores online", Some(cpu.cores_online.to_string())),
        ("cores allowed", Some(listed(&cpu.cores_allowed))),
        (
            "CPU quota",
            Some(cgroup.cpu_quota_cores.map_or_else(|| "none".to_owned(), |cores| format!("{cores} cores"))),
        ),
        ("frequency governors", Some(cpu.governors.join(", ")).filter(|names| !names.is_empty())),
        ("virtual machine", Some(if cpu.hypervisor { "yes" } else { "no" }.to_owned())),
        ("memory", memory.total_bytes.map(quantity::bytes)),
        ("huge pages", memory.transparent_huge_pages.clone()),
        ("kernel", Some(kernel.clone())),
        ("file system", storage.filesystem.clone()),
        ("mount options", storage.mount_options.clone()),
        ("device", device.map(|device| device.name.clone())),
        ("device model", device.and_then(|device| device.model.clone())),
        ("I/O scheduler", device.and_then(|device| device.scheduler.clone())),
        ("write cache", device.and_then(|device| device.write_cache.clone())),
    ]
}

/// Returns the cores that the run used and that this process may not use; empty if there are none.
fn missing_cores(provenance: &Provenance, here: &Environment) -> String {
    let used = provenance.cores.shards.iter().chain(&provenance.cores.load);
    let mut missing: Vec<u32> = used.filter(|core| !here.cpu.cores_allowed.contains(core)).copied().collect();
    missing.sort_unstable();
    missing.dedup();
    listed(&missing)
}

fn listed(cores: &[u32]) -> String {
    cores.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}
