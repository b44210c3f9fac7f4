//! The systems of a result in words: what an ack of each means, what lies between client and system, and what its processes take.
//! A result of the embedded engine alone has no such words.

use crate::quantity;
use crate::report::facts::name_of;
use crate::result::provenance::SystemIdentity;
use crate::result::{Point, RunResult};
use std::collections::{BTreeMap, BTreeSet};

/// The kind of the system that runs in the process of the load.
const ENGINE: &str = "engine";

/// Returns a sentence on the acks of each system and durability, and then one on what else makes the systems differ.
pub(in crate::report) fn sentences(result: &RunResult) -> Vec<String> {
    let measured = || result.points.iter().filter_map(|point| Some((point, point.system.as_ref()?)));
    if measured().all(|(_, system)| system.kind == ENGINE) {
        return Vec::new();
    }
    let mut acks = BTreeSet::new();
    let mut beside = BTreeMap::new();
    for (point, system) in measured() {
        let name = format!("{} {}", system.kind, system.version);
        if let Some(ack) = system.facts.get("ack") {
            acks.insert(format!("{name}, {}: {ack}", name_of(&point.durability)));
        }
        beside.insert(name, beside_the_ack(system, result));
    }
    let beside = beside.into_iter().filter(|(_, text)| !text.is_empty());
    let beside: Vec<String> = beside.map(|(name, text)| format!("{name}: {text}")).collect();
    acks.into_iter().chain(beside).collect()
}

/// Returns the sentence on one system of a comparison; `None` if its result does not say enough.
pub(in crate::report) fn of_side(system: &SystemIdentity) -> Option<String> {
    let ack = system.facts.get("ack")?;
    let parts = [Some(ack.clone()), network(system), warmed(system)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(format!("{} {}: {}", system.kind, system.version, parts.join("; ")))
}

/// Returns what lies between client and system, the load that warmed it, and what its processes take.
fn beside_the_ack(system: &SystemIdentity, result: &RunResult) -> String {
    let is_same = |point: &&Point| {
        point.system.as_ref().is_some_and(|it| (&it.kind, &it.version) == (&system.kind, &system.version))
    };
    let parts = [network(system), memory(result.points.iter().filter(is_same)), warmed(system)];
    parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn network(system: &SystemIdentity) -> Option<String> {
    system.facts.get("network").map(|network| match network.strip_prefix("none: ") {
        Some(why) => format!("no network, {why}"),
        None => network.clone(),
    })
}

fn warmed(system: &SystemIdentity) -> Option<String> {
    system.facts.get("warmed").map(|warmed| format!("warmed by {warmed}"))
}

/// Returns the most memory that each process of the system had.
fn memory<'a>(points: impl Iterator<Item = &'a Point>) -> Option<String> {
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for process in points.flat_map(|point| &point.trials).flat_map(|trial| &trial.resources.processes) {
        let bytes = process.rss_max_bytes.unwrap_or(0);
        let known = most.entry(&process.name).or_default();
        *known = bytes.max(*known);
    }
    let text = |(name, bytes): (&str, u64)| format!("{name} {}", quantity::bytes(bytes));
    let texts: Vec<String> = most.into_iter().filter(|(_, bytes)| *bytes > 0).map(text).collect();
    (!texts.is_empty()).then(|| format!("memory of {}", texts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system(kind: &str, facts: &[(&str, &str)]) -> SystemIdentity {
        let facts = facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        SystemIdentity { kind: kind.to_owned(), version: "1".to_owned(), facts }
    }

    #[test]
    fn a_side_says_what_its_ack_means_and_what_is_in_between() {
        let engine = system("engine", &[("ack", "flushed"), ("network", "none: it runs here")]);
        assert_eq!(of_side(&engine).as_deref(), Some("engine 1: flushed; no network, it runs here"));
        let warm = system("kafka", &[("ack", "acks=all"), ("network", "TCP"), ("warmed", "30 s of load")]);
        assert_eq!(of_side(&warm).as_deref(), Some("kafka 1: acks=all; TCP; warmed by 30 s of load"));
        assert_eq!(of_side(&system("engine", &[])), None, "an older result");
    }
}
