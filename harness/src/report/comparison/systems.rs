//! The systems of a result in words: what an ack of each means, who batches, what lies between client and system, and what its
//! processes take. A result of the embedded engine alone has no such words.

use crate::num;
use crate::quantity;
use crate::report::facts::name_of;
use crate::result::provenance::SystemIdentity;
use crate::result::{Point, RunResult, Trial};
use std::collections::{BTreeMap, BTreeSet};

/// The kind of the system that runs in the process of the load.
const ENGINE: &str = "engine";
/// The least bytes for each byte produced that are shown of a process.
const SHOWN_MIN: f64 = 0.01;

/// Returns a sentence on the acks of each system and durability, and then two on what else makes each system differ.
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
    let beside = beside.into_iter().flat_map(|(name, texts)| texts.map(|text| (name.clone(), text)));
    let beside = beside.filter(|(_, text)| !text.is_empty());
    let beside: Vec<String> = beside.map(|(name, text)| format!("{name}: {text}")).collect();
    acks.into_iter().chain(beside).collect()
}

/// Returns the sentence on one system of a comparison; `None` if its result does not say enough.
pub(in crate::report) fn of_side(system: &SystemIdentity) -> Option<String> {
    let ack = system.facts.get("ack")?;
    let parts = [Some(ack.clone()), network(system), warmed(system), batching(system)];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    Some(format!("{} {}: {}", system.kind, system.version, parts.join("; ")))
}

/// Returns what lies between client and system, what its processes take, and the load that warmed it; then who batches, and what
/// the processes write and read. The first of the two fits a line of a terminal.
fn beside_the_ack(system: &SystemIdentity, result: &RunResult) -> [String; 2] {
    let is_same = |point: &&Point| {
        point.system.as_ref().is_some_and(|it| (&it.kind, &it.version) == (&system.kind, &system.version))
    };
    let trials = || result.points.iter().filter(is_same).flat_map(|point| &point.trials);
    let joined = |parts: &[Option<String>]| parts.iter().flatten().cloned().collect::<Vec<_>>().join("; ");
    let place = [network(system), memory(trials()), warmed(system)];
    let work = [batching(system), moved(trials())];
    [joined(&place), joined(&work)]
}

fn network(system: &SystemIdentity) -> Option<String> {
    system.facts.get("network").map(|network| match network.strip_prefix("none: ") {
        Some(why) => format!("no network, {why}"),
        None => network.clone(),
    })
}

fn batching(system: &SystemIdentity) -> Option<String> {
    system.facts.get("batching").map(|who| format!("batches are made by {who}"))
}

fn warmed(system: &SystemIdentity) -> Option<String> {
    system.facts.get("warmed").map(|warmed| format!("warmed by {warmed}"))
}

/// Returns the most memory that each process of the system had.
fn memory<'a>(trials: impl Iterator<Item = &'a Trial>) -> Option<String> {
    let mut most: BTreeMap<&str, u64> = BTreeMap::new();
    for process in trials.flat_map(|trial| &trial.resources.processes) {
        let bytes = process.rss_max_bytes.unwrap_or(0);
        let known = most.entry(&process.name).or_default();
        *known = bytes.max(*known);
    }
    let text = |(name, bytes): (&str, u64)| format!("{name} {}", quantity::bytes(bytes));
    let texts: Vec<String> = most.into_iter().filter(|(_, bytes)| *bytes > 0).map(text).collect();
    (!texts.is_empty()).then(|| format!("memory of {}", texts.join(", ")))
}

/// Returns the bytes that each process of the system wrote to files and read from devices, for each byte that was produced.
/// Processes that moved next to nothing are left out.
fn moved<'a>(trials: impl Iterator<Item = &'a Trial>) -> Option<String> {
    let mut sums: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for trial in trials {
        for process in &trial.resources.processes {
            let (Some(written), Some(read)) = (process.write_bytes, process.read_bytes) else { continue };
            let sum = sums.entry(&process.name).or_default();
            *sum = [sum[0] + written, sum[1] + read, sum[2] + trial.produce.bytes];
        }
    }
    let text = |(name, [written, read, produced]): (&str, [u64; 3])| {
        let [written, read] = [written, read].map(|bytes| num::f64_of(bytes) / num::f64_of(produced));
        let is_shown = produced > 0 && written + read >= SHOWN_MIN;
        is_shown.then(|| format!("{name} wrote {written:.2} B and read {read:.2} B"))
    };
    let texts: Vec<String> = sums.into_iter().filter_map(text).collect();
    (!texts.is_empty()).then(|| format!("for each byte produced {}", texts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::{Flow, ProcessFigures, Resources};

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

    #[test]
    fn who_batches_is_said() {
        let by = "librdkafka, by linger.ms and batch.size";
        let facts = [("ack", "acks=all"), ("network", "TCP"), ("batching", by)];
        let said = of_side(&system("kafka", &facts)).unwrap();
        assert_eq!(said, format!("kafka 1: acks=all; TCP; batches are made by {by}"));
    }

    #[test]
    fn the_bytes_of_a_process_stand_beside_those_that_were_produced() {
        let trial = |written, read, produced| {
            let process = |name: &str, written, read| ProcessFigures {
                name: name.to_owned(),
                write_bytes: Some(written),
                read_bytes: Some(read),
                ..ProcessFigures::default()
            };
            let processes = vec![process("broker-1", written, read), process("zookeeper", 1, 0)];
            let resources = Resources { processes, ..Resources::default() };
            Trial { resources, produce: Flow::over(1.0, 1, produced, None), ..Trial::default() }
        };
        let said = moved([trial(300, 0, 200), trial(100, 48, 200)].iter());
        assert_eq!(said.as_deref(), Some("for each byte produced broker-1 wrote 1.00 B and read 0.12 B"));
        assert_eq!(moved([trial(300, 0, 0)].iter()), None, "nothing was produced");
    }
}
