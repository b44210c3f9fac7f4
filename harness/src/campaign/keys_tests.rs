//! Every key of a workload has an effect: two values of it change what a fake system and a fake device are asked for, in each of two
//! trials.

mod bench;
mod table;

use crate::host::environment::cores_allowed;
use crate::num;
use crate::result::RunResult;
use crate::system::fake::{Behaviour, Failing};
use crate::workload::keys;
use bench::{Asked, Ran, run, study};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use table::{OF_THE_ANSWER, Part, REFUSED, ROWS, Row, WITHOUT_EFFECT, World};

/// The workload that each row of the tables changes.
const BASE: &str = "
name: keys
payload: {pool: 10}
batch: {max_records: 10}
subscriptions_per_topic: 0
ceiling: off
warm_memory: off
phases: {warmup: 0, measure: 200ms, drain: 5s}
trials: 2
late_retries: 0
load: {mode: open, rate: 1k/s}
";
/// Runs at the same time. They sleep most of the time.
const AT_ONCE: usize = 12;
/// Runs at the same time beside tests of Kafka's client, whose sessions end on a busy machine.
#[cfg(feature = "kafka")]
const FEW_AT_ONCE: usize = 3;
/// A delay of the generator that is far longer than a busy machine causes.
const HOLDS_UP: Duration = Duration::from_millis(200);
/// A system that is open for so long was kept open by a long drain.
const KEPT_OPEN: Duration = Duration::from_millis(1500);

impl World {
    fn behaviour(self) -> Behaviour {
        // The clock of the fake stands still, so an ack that takes any time never comes.
        let never = 1;
        match self {
            Self::Acks => Behaviour { retains_at: Some(1), ..Behaviour::default() },
            Self::NeverAcks => Behaviour { ack_ns: never, ..Behaviour::default() },
            Self::LateGenerator => Behaviour { holds_up: Some((0, HOLDS_UP)), ..Behaviour::default() },
            Self::Fails => {
                let always = Failing { during: 0..u64::MAX, ..Failing::default() };
                Behaviour { failing: Some(always), ..Behaviour::default() }
            }
            Self::HidesRecords => Behaviour { hidden_from: Some(0), ..Behaviour::default() },
            Self::RetainsAll => Behaviour::default(),
        }
    }
}

impl Part {
    /// The part of a run that a key changes: an entry for each trial, or one entry for the whole run.
    fn of(self, ran: &Ran) -> Vec<Value> {
        let text = |value: &dyn std::fmt::Debug| json!(format!("{value:?}"));
        let each = |of: &dyn Fn(&Asked) -> Value| ran.trials.iter().map(of).collect();
        let result = |of: fn(&RunResult) -> Value| vec![ran.result.as_ref().map_or(Value::Null, of)];
        match self {
            Self::Config => each(&|asked| json!(asked.config)),
            Self::Topics => each(&|asked| text(&asked.topics)),
            Self::Clients => each(&|asked| text(&asked.clients)),
            Self::Records => each(&|asked| text(&asked.records)),
            Self::Count => each(&|asked| json!(asked.records.len())),
            Self::Batching => each(&|asked| json!(asked.batches > 1)),
            Self::LoadCores => each(&|asked| text(&asked.load_cores)),
            Self::LoadThreads => each(&|asked| text(&asked.load_threads)),
            Self::KeptOpen => each(&|asked| json!(asked.open_for > KEPT_OPEN)),
            Self::Calls => {
                vec![text(&ran.trials.iter().flat_map(|asked| &asked.calls).collect::<BTreeSet<_>>())]
            }
            Self::Trials => vec![json!(ran.trials.len())],
            Self::Device => vec![json!(ran.device)],
            Self::Label => result(|result| json!([result.name, result.question])),
            Self::Status => result(|result| json!(result.verdict.status)),
            Self::Checked => result(|result| json!(result.points[0].trials[0].integrity.checked.is_some())),
            Self::Rebalanced => result(|result| {
                let trials = result.points[0].trials.iter();
                let groups = trials.map(|trial| trial.groups.as_ref().map(|groups| groups.rebalances > 0));
                json!(groups.collect::<Vec<_>>())
            }),
            Self::Warmed => result(|result| {
                let trials = result.points[0].trials.iter();
                json!(trials.map(|trial| trial.resources.warmed_bytes).collect::<Vec<_>>())
            }),
        }
    }

    /// Whether there is an entry for each trial.
    const fn is_of_trials(self) -> bool {
        matches!(
            self,
            Self::Config
                | Self::Topics
                | Self::Clients
                | Self::Records
                | Self::Count
                | Self::Batching
                | Self::LoadCores
                | Self::LoadThreads
                | Self::KeptOpen
        )
    }
}

/// Returns the keys that have values. A key with keys below it is a section.
fn keys_with_values() -> BTreeSet<String> {
    let all = keys();
    let is_section = |key: &String| {
        let prefix = format!("{key}.");
        all.iter().any(|other| other.starts_with(&prefix))
    };
    all.iter().filter(|key| !is_section(key)).cloned().collect()
}

/// Returns the `--set` arguments of a row with one of its values.
fn sets(row: &Row, value: &str, dir: &Path) -> Vec<String> {
    let cores = cores_allowed();
    let (first, last) = (cores[0], cores[cores.len() - 1]);
    let fill = |text: &str| {
        let text = text.replace("DIR", &dir.display().to_string());
        text.replace("CORE0", &first.to_string()).replace("CORE1", &last.to_string())
    };
    let own = match value.strip_prefix("set ") {
        Some(set) => fill(set),
        None => format!("{}={}", row.key, fill(value)),
    };
    row.with.iter().map(|set| fill(set)).chain([own]).collect()
}

/// Runs a row with one of its values. Returns the part that the row names, and the notes of `check` on settings without effect.
fn outcome(row: &Row, value: &str) -> (Vec<Value>, Vec<String>) {
    let memory = Path::new("/dev/shm");
    let dir = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    std::fs::write(dir.path().join("a.txt"), "one\ntwo\n").unwrap();
    std::fs::write(dir.path().join("b.txt"), "three\nfour\n").unwrap();
    let study = study(BASE, &sets(row, value, dir.path()))
        .unwrap_or_else(|error| panic!("{} = {value}: {error:#}", row.key));
    let notes = study.combinations[0].workload.without_effect();
    (row.part.of(&run(dir.path(), &study, &row.world.behaviour())), notes)
}

/// Runs rows with both values each, `at_once` at the same time, and lets `fault` say what is wrong with a pair of outcomes.
fn faults(
    rows: &[Row],
    at_once: usize,
    fault: impl Fn(&Row, &[(Vec<Value>, Vec<String>); 2]) -> Option<String> + Sync,
) -> Vec<String> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(row) = rows.get(next.fetch_add(1, Ordering::SeqCst)) {
            let outcomes = row.values.map(|value| outcome(row, value));
            if let Some(fault) = fault(row, &outcomes) {
                found.lock().unwrap().push(format!("{} {:?}: {fault}", row.key, row.values));
            }
        }
    };
    std::thread::scope(|scope| (0..at_once).for_each(|_| drop(scope.spawn(work))));
    found.into_inner().unwrap()
}

#[test]
fn every_key_has_a_row_and_every_row_a_key() {
    let keys = keys_with_values();
    let rows =
        ROWS.iter().map(|row| row.key).chain(REFUSED.iter().map(|(key, ..)| *key)).chain(OF_THE_ANSWER);
    let named: BTreeSet<String> = rows.map(str::to_owned).collect();
    let is_latency = |key: &&String| key.starts_with("slo.") && *key != "slo.min_achieved";
    let missing: Vec<&String> = keys.difference(&named).filter(|key| !is_latency(key)).collect();
    assert!(missing.is_empty(), "give these keys a row that shows their effect: {missing:?}");
    let unknown: Vec<&String> = named.difference(&keys).collect();
    assert!(unknown.is_empty(), "no key of a workload: {unknown:?}");
    assert!(WITHOUT_EFFECT.iter().all(|(row, _)| named.contains(row.key)), "each has an effect elsewhere");
}

/// Says what is wrong if the two values of a key that has an effect ask for the same, or if the trials of one run differ.
fn without_difference(row: &Row, [(one, _), (other, _)]: &[(Vec<Value>, Vec<String>); 2]) -> Option<String> {
    if cores_allowed().len() < 2 && row.key.starts_with("engine.cores.") {
        return None;
    }
    if row.part.is_of_trials() {
        let both = [one, other].map(|trials| trials.len() == 2 && trials[0] == trials[1]);
        if both != [true, true] {
            return Some(format!("the two trials are not alike: {one:.300?} and {other:.300?}"));
        }
    }
    (one == other).then(|| format!("both ask for the same: {one:.300?}"))
}

/// Says what is wrong if the two values of a key without effect ask for different things, or if `check` does not note it.
fn with_difference(row: &Row, [(one, _), (other, notes)]: &[(Vec<Value>, Vec<String>); 2]) -> Option<String> {
    let note = format!("`{}`", row.key);
    if !notes.iter().any(|said| said.starts_with(&note)) {
        return Some(format!("`check` does not say so: {notes:?}"));
    }
    (one != other).then(|| format!("it has an effect: {one:.300?} and {other:.300?}"))
}

#[test]
fn two_values_of_a_key_ask_for_something_else_in_each_trial() {
    let faults = faults(ROWS, AT_ONCE, without_difference);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn where_a_key_has_no_effect_nothing_changes_and_check_says_so() {
    let rows: Vec<Row> = WITHOUT_EFFECT.iter().map(|(row, _)| *row).collect();
    let faults = faults(&rows, AT_ONCE, with_difference);
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[cfg(feature = "kafka")]
#[test]
fn two_values_of_a_key_ask_kafka_for_something_else() {
    use table::{KAFKA_ROWS, KAFKA_WITHOUT_EFFECT};
    let keys = keys_with_values();
    let missing: Vec<&String> = keys
        .iter()
        .filter(|key| key.starts_with("kafka.") && KAFKA_ROWS.iter().all(|row| row.key != *key))
        .collect();
    assert!(missing.is_empty(), "give these keys a row that shows their effect: {missing:?}");
    let mut faults = faults(KAFKA_ROWS, FEW_AT_ONCE, without_difference);
    faults.extend(self::faults(KAFKA_WITHOUT_EFFECT, FEW_AT_ONCE, with_difference));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_value_that_could_have_no_effect_is_refused() {
    for (key, sets, message) in REFUSED {
        let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
        let Err(error) = study(BASE, &sets) else { panic!("{key}: {sets:?} was accepted") };
        let error = format!("{error:#}");
        assert!(error.contains(message), "{key}: {error}");
    }
}

#[test]
fn every_objective_is_judged() {
    let slo = keys().into_iter().filter(|key| key.starts_with("slo.") && key != "slo.min_achieved");
    let slo: Vec<String> = slo.map(|key| key.trim_start_matches("slo.").to_owned()).collect();
    assert_eq!(num::count(slo.len()), 5 * 7, "five latencies and seven statistics");
    let bounds: Vec<String> = slo.iter().map(|key| format!("{key}: 1ns")).collect();
    let reasons = |more: &[&str]| {
        let sets = [format!("slo={{{}}}", bounds.join(", ")), "subscriptions_per_topic=1".to_owned()];
        let sets: Vec<String> = sets.into_iter().chain(more.iter().map(|set| (*set).to_owned())).collect();
        let dir = tempfile::tempdir().unwrap();
        let ran = run(dir.path(), &study(BASE, &sets).unwrap(), &World::NeverAcks.behaviour());
        ran.result.unwrap().verdict.reasons
    };
    // Nothing is acked. Each latency is at least its records' age, or not known. Both name the objective. That another bound gives
    // another verdict is shown where objectives are judged (judge/verdict).
    let mut said = reasons(&["phases.drain=100ms"]);
    // Most records are refused, so they are blocked.
    said.extend(reasons(&["phases.drain=100ms", "load.in_flight_bytes=8KiB", "batch.max_bytes=4KiB"]));
    for key in &slo {
        assert!(said.iter().any(|reason| reason.starts_with(&format!("{key} is "))), "{key}: {said:?}");
    }
}
