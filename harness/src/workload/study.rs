//! Expands a `sweep` into one workload for every combination of its values. Each workload is checked like a file of its
//! own. A mistake is shown at its place in the sweep.

use super::checks::{consume, metric, problems::Problem, validate};
use super::reading::keys::keys;
use super::reading::nearest::nearest;
use super::reading::tree::{Node, Place, Value as Written};
use super::{Capabilities, Rate, Workload};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// The most combinations that run without `--yes`.
pub(super) const COMBINATIONS_UNASKED_MAX: u64 = 9_999;
/// The most combinations of one sweep.
pub(super) const COMBINATIONS_MAX: u64 = 100_000;
/// Number of different mistakes that are shown. Showing more would not help.
const MISTAKES_SHOWN: usize = 8;

/// Keys that all points of a sweep share, each with the reason.
const SHARED: [(&str, &str); 12] = [
    ("version", "a file has one schema"),
    ("name", "the one result has one name"),
    ("question", "a sweep answers one question"),
    ("metric", "all combinations are compared by the same figure"),
    ("answer", "a sweep gives one kind of answer"),
    ("sweep", "sweeps cannot be nested; put several keys into one sweep, and every combination is run"),
    ("trials", "every combination is measured equally often"),
    ("late_retries", "the same retries apply to every combination"),
    ("ceiling", "all points are compared with the same device"),
    ("steady_state", "the same rule ends every point's warm-up"),
    ("require", "the same conditions apply to every point"),
    ("slo", "the same objectives apply to every point"),
];

/// A workload and the workloads that its sweep expands to. Without a sweep, that is only the workload itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Study {
    /// The workload as written, including its sweep.
    pub workload: Workload,
    /// All combinations. The first key of the sweep changes slowest.
    pub combinations: Vec<Combination>,
}

/// One combination of a sweep's values.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// Each swept key with its value as written; empty without a sweep.
    pub settings: BTreeMap<String, Value>,
    /// The workload to run: it has these settings and no sweep.
    pub workload: Workload,
}

/// Permission for a sweep of 10,000 combinations or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Many {
    /// Such a sweep is refused, with what it would cost.
    Refused,
    /// The user allows it with `--yes`.
    Allowed,
}

impl Study {
    /// Returns the study of a workload without a sweep.
    pub fn alone(workload: Workload) -> Self {
        let combination = Combination { settings: BTreeMap::new(), workload: workload.clone() };
        Self { workload, combinations: vec![combination] }
    }

    /// Tells whether there is a sweep.
    pub fn is_sweep(&self) -> bool {
        !self.workload.sweep.is_empty()
    }

    /// Returns the number of passes of every combination. It is the same for all, because a share of the maximum cannot
    /// be mixed with another load.
    pub fn passes(&self) -> usize {
        self.combinations.first().map_or(0, |combination| combination.workload.passes().len())
    }

    /// Returns the number of the group of each combination. A rate in percent is a share of what the slowest combination of its
    /// group reached. `answer: ratio` compares combinations that differ only in its key, so these are a group. Otherwise all are.
    pub fn rate_groups(&self) -> Vec<usize> {
        let key = self.workload.ratio_key();
        let others = |combination: &Combination| {
            let mut others = combination.settings.clone();
            match key {
                Some(key) => drop(others.remove(key)),
                None => others.clear(),
            }
            others
        };
        let mut groups: Vec<BTreeMap<String, Value>> = Vec::new();
        let mut group = |combination: &Combination| {
            let others = others(combination);
            groups.iter().position(|group| *group == others).unwrap_or_else(|| {
                groups.push(others);
                groups.len() - 1
            })
        };
        self.combinations.iter().map(&mut group).collect()
    }
}

impl Combination {
    /// Returns the settings as text: `durability=synced, log.segment_bytes=16MiB`, in the order of the keys.
    pub fn label(&self) -> String {
        label(&self.settings)
    }
}

/// Formats the settings of a point in one line: `durability=synced, log.segment_bytes=16MiB`.
pub fn label(settings: &BTreeMap<String, Value>) -> String {
    let one = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    settings.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// A mistake in a sweep, and the place where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) place: Option<Place>,
    pub(super) message: String,
}

/// A swept key with its values, both as nodes that know their place and as plain values.
struct Axis<'n> {
    key: &'n str,
    place: Place,
    values: Vec<(&'n Node, Value)>,
}

/// Expands the sweep in the tree `root`, from which `workload` was read.
pub(super) fn expand(
    root: &Node,
    mut workload: Workload,
    many: Many,
    systems: &[Capabilities],
) -> Result<Study, Vec<Mistake>> {
    let axes = axes(root, &workload)?;
    if let Some(message) = metric::problem_of_answer(&workload) {
        return Err(vec![Mistake { place: root.find("answer").map(|node| node.place), message }]);
    }
    let count = axes.iter().fold(1_u64, |count, axis| count.saturating_mul(axis.values.len() as u64));
    let wanted = if many == Many::Allowed { COMBINATIONS_MAX } else { COMBINATIONS_UNASKED_MAX };
    let mut bare = root.clone();
    bare.remove(&["sweep"]);
    let name = &workload.name;
    let combinations = combinations(&bare, &axes, name, count.min(wanted), systems)?;
    check_rates(&combinations, &axes)?;
    check_repeats(&combinations, &axes)?;
    // The combinations have the same one, unless it is swept.
    let first = combinations.first().and_then(|first| first.workload.consume.assignment);
    workload.consume.assignment = workload.consume.assignment.or(first);
    let study = Study { workload, combinations };
    if count > wanted {
        return Err(vec![Mistake {
            place: root.find("sweep").map(|sweep| sweep.place),
            message: too_many(&study, count, many),
        }]);
    }
    Ok(study)
}

/// Returns the swept keys in the order in which they were written.
fn axes<'n>(root: &'n Node, workload: &Workload) -> Result<Vec<Axis<'n>>, Vec<Mistake>> {
    let known = keys();
    let (mut axes, mut mistakes): (Vec<Axis<'n>>, Vec<Mistake>) = (Vec::new(), Vec::new());
    let Some(Node { value: Written::Map(entries), .. }) = root.find("sweep") else { return Ok(axes) };
    for (key, list) in entries {
        let Written::List(items) = &list.value else { continue };
        let values = workload.sweep.get(&key.name).cloned().unwrap_or_default();
        let inside =
            axes.iter().find(|axis| is_within(&key.name, axis.key) || is_within(axis.key, &key.name));
        let problem = if let Some(problem) = problem_of_key(&key.name, &known) {
            problem
        } else if let Some(other) = inside {
            format!("`{}` and `{}` cannot both be swept: one contains the other", other.key, key.name)
        } else if items.is_empty() {
            format!("`{}` has no values", key.name)
        } else {
            let values = items.iter().zip(values).collect();
            axes.push(Axis { key: &key.name, place: key.place, values });
            continue;
        };
        mistakes.push(Mistake { place: Some(key.place), message: problem });
    }
    if mistakes.is_empty() { Ok(axes) } else { Err(mistakes) }
}

/// Tells whether `key` is `section` or is inside it.
pub(crate) fn is_within(key: &str, section: &str) -> bool {
    key.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn problem_of_key(key: &str, known: &[String]) -> Option<String> {
    if let Some((_, why)) = SHARED.iter().find(|(shared, _)| is_within(key, shared)) {
        return Some(format!("`{key}` cannot be swept: {why}"));
    }
    if known.iter().any(|known| known == key) {
        return None;
    }
    Some(match nearest(key, known.iter().map(String::as_str)) {
        Some(meant) => format!("unknown key `{key}` in `sweep`; did you mean `{meant}`?"),
        None => format!("unknown key `{key}` in `sweep`; `vnotch explain` lists every key"),
    })
}

/// Returns the first `wanted` combinations.
fn combinations(
    bare: &Node,
    axes: &[Axis<'_>],
    name: &str,
    wanted: u64,
    systems: &[Capabilities],
) -> Result<Vec<Combination>, Vec<Mistake>> {
    let (mut combinations, mut mistakes) = (Vec::new(), Mistakes::default());
    for number in 0..wanted {
        let (root, settings) = combine(bare, axes, number);
        match root.decode::<Workload>() {
            Ok(mut workload) => {
                name.clone_into(&mut workload.name);
                combinations.push((number, Combination { settings, workload }));
            }
            Err(fault) => {
                let mistake = Mistake { place: fault.place, message: fault.message };
                mistakes.add(&settings, std::iter::once(mistake));
            }
        }
    }
    consume::assign(combinations.iter_mut().map(|(_, combination)| &mut combination.workload), systems);
    for (number, Combination { settings, workload }) in &combinations {
        let problems = validate::problems(workload, systems);
        if !problems.is_empty() {
            let (root, _) = combine(bare, axes, *number);
            mistakes.add(settings, problems.into_iter().map(|problem| placed(&root, axes, problem)));
        }
    }
    let mistakes = mistakes.found(wanted);
    let combinations = combinations.into_iter().map(|(_, combination)| combination).collect();
    if mistakes.is_empty() { Ok(combinations) } else { Err(mistakes) }
}

/// Returns the tree of combination `number`, and each swept key with its value.
fn combine(bare: &Node, axes: &[Axis<'_>], number: u64) -> (Node, BTreeMap<String, Value>) {
    let mut root = bare.clone();
    let mut settings = BTreeMap::new();
    for (axis, (node, value)) in axes.iter().zip(chosen(axes, number)) {
        let path: Vec<&str> = axis.key.split('.').collect();
        root.set(&path, (*node).clone());
        settings.insert(axis.key.to_owned(), value.clone());
    }
    (root, settings)
}

/// Returns the value of each axis in combination `number`. The last axis changes fastest.
fn chosen<'a, 'n>(axes: &'a [Axis<'n>], mut number: u64) -> Vec<&'a (&'n Node, Value)> {
    let mut chosen: Vec<_> = axes
        .iter()
        .rev()
        .map(|axis| {
            let length = axis.values.len() as u64;
            let index = usize::try_from(number % length).unwrap_or_default();
            number /= length;
            &axis.values[index]
        })
        .collect();
    chosen.reverse();
    chosen
}

/// Gives a problem of one combination its place: the swept value that causes it, or else the key in the file.
fn placed(root: &Node, axes: &[Axis<'_>], problem: Problem) -> Mistake {
    let swept = |key: &&String| axes.iter().any(|axis| is_within(key, axis.key));
    let keys = problem.keys.iter().filter(swept).chain(problem.keys.iter());
    let place = keys.filter_map(|key| root.find(key)).map(|node| node.place).next();
    Mistake { place: place.or_else(|| axes.first().map(|axis| axis.place)), message: problem.message }
}

/// Mistakes of many combinations, each kept once.
#[derive(Default)]
struct Mistakes {
    /// Each mistake with the first combination that has it, and the number of combinations that have it.
    found: Vec<(Mistake, String, u64)>,
}

impl Mistakes {
    fn add(&mut self, settings: &BTreeMap<String, Value>, mistakes: impl Iterator<Item = Mistake>) {
        for mistake in mistakes {
            let has_room = self.found.len() < MISTAKES_SHOWN;
            match self.found.iter_mut().find(|(known, ..)| *known == mistake) {
                Some((.., combinations)) => *combinations += 1,
                None if has_room => self.found.push((mistake, label(settings), 1)),
                None => {}
            }
        }
    }

    /// Returns the mistakes. One that only some combinations have names the first of them.
    fn found(self, all: u64) -> Vec<Mistake> {
        let described = |(mistake, first, combinations): (Mistake, String, u64)| {
            if combinations == all {
                return mistake;
            }
            Mistake { message: format!("with {first}: {}", mistake.message), ..mistake }
        };
        self.found.into_iter().map(described).collect()
    }
}

/// Refuses different shares of the maximum. A share refers to the maximum of the slowest combination, so it is the same for all that
/// are compared.
fn check_rates(combinations: &[Combination], axes: &[Axis<'_>]) -> Result<(), Vec<Mistake>> {
    let shares = combinations.iter().map(|combination| match combination.workload.load.mode.rate() {
        Some(Rate::Share(percent)) => Some(percent),
        _ => None,
    });
    let mut shares: Vec<_> = shares.collect();
    shares.dedup();
    if shares.len() < 2 {
        return Ok(());
    }
    let axis = axes.iter().find(|axis| is_within(axis.key, "load"));
    let message = "a rate in percent must be the same for the whole sweep, because it is a share of the slowest combination's rate at \
                   `max`; sweep rates in records per second, such as `50k/s`";
    Err(vec![Mistake { place: axis.map(|axis| axis.place), message: message.into() }])
}

/// Refuses two combinations that ask for the same: they would be one point that is measured twice.
fn check_repeats(combinations: &[Combination], axes: &[Axis<'_>]) -> Result<(), Vec<Mistake>> {
    let mut seen: HashMap<String, &Combination> = HashMap::with_capacity(combinations.len());
    for combination in combinations {
        let Some(earlier) = seen.insert(combination.workload.resolved().to_string(), combination) else {
            continue;
        };
        let differs = |axis: &&Axis<'_>| earlier.settings.get(axis.key) != combination.settings.get(axis.key);
        // Values that are written alike do not differ. In that case, any axis that has a value twice is reported.
        let axis = axes.iter().find(differs).or_else(|| axes.iter().find(|axis| repeated(axis).is_some()));
        let Some(axis) = axis else { continue };
        let value = |of: &Combination| of.settings.get(axis.key).map(plain).unwrap_or_default();
        let (one, other) = match repeated(axis) {
            Some((node, value)) => return Err(vec![twice(axis, Some(node.place), &plain(value))]),
            None => (value(earlier), value(combination)),
        };
        let node = axis.values.iter().find(|(_, written)| plain(written) == other);
        let message = format!("`{}`: `{one}` and `{other}` are the same", axis.key);
        return Err(vec![Mistake { place: node.map(|(node, _)| node.place), message }]);
    }
    Ok(())
}

/// Returns the second of two values that are written alike.
fn repeated<'a, 'n>(axis: &'a Axis<'n>) -> Option<&'a (&'n Node, Value)> {
    let earlier = |index: usize| axis.values[..index].iter().any(|(_, value)| *value == axis.values[index].1);
    (0..axis.values.len()).find(|index| earlier(*index)).map(|index| &axis.values[index])
}

fn twice(axis: &Axis<'_>, place: Option<Place>, value: &str) -> Mistake {
    Mistake { place, message: format!("`{}`: `{value}` is listed twice", axis.key) }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns the message about too many combinations. `study` holds the first of the `count` combinations, enough to
/// estimate the cost of all.
fn too_many(study: &Study, count: u64, many: Many) -> String {
    let estimate = study.estimate();
    let share = crate::num::f64_of(count) / crate::num::f64_of(study.combinations.len() as u64);
    let cost = format!(
        "{count} combinations would take about {} and {} of disk at a time",
        crate::quantity::duration(estimate.seconds * share),
        crate::quantity::bytes(estimate.disk_peak_bytes)
    );
    match many {
        Many::Refused if count <= COMBINATIONS_MAX => {
            format!("{cost}; add `--yes` to run them all")
        }
        _ => format!("{cost}; a sweep may have at most {COMBINATIONS_MAX}"),
    }
}
