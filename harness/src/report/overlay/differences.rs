//! Differences between several results: settings, machine and build.

use crate::report::facts::NONE;
use crate::report::setting::{label, last_of};
use crate::result::RunResult;
use serde_json::Value;
use std::collections::BTreeMap;

/// Keys that name a run and are no settings.
const NO_SETTINGS: [&str; 3] = ["name", "question", "version"];

/// A fact about the machine or the build of a result: its name, and the function that returns it.
type Fact = (&'static str, fn(&RunResult) -> String);

/// One difference between results.
pub(in crate::report) struct Difference {
    /// Dotted key of the workload, or `machine`, `kernel`, `disk` or `build`.
    pub(in crate::report) key: String,
    /// Last part of the key, if no other key has the same one; otherwise the whole key.
    pub(in crate::report) name: String,
    /// Value in each run.
    pub(in crate::report) values: Vec<String>,
    /// Whether the difference is one of the machine or the build, not of the workload.
    pub(in crate::report) is_of_machine: bool,
}

/// Returns everything that differs; the workload's keys come first.
pub(in crate::report) fn of(results: &[&RunResult]) -> Vec<Difference> {
    let mut settings: BTreeMap<String, Vec<Option<Value>>> = BTreeMap::new();
    for (index, result) in results.iter().enumerate() {
        collect(String::new(), &result.workload, &mut |key, value| {
            settings.entry(key).or_insert_with(|| vec![None; results.len()])[index] = Some(value.clone());
        });
    }
    settings.retain(|key, values| !NO_SETTINGS.contains(&key.as_str()) && differ(values));
    let count = |name: &str| settings.keys().filter(|key| last_of(key) == name).count();
    let workload = settings.iter().map(|(key, values)| Difference {
        key: key.clone(),
        name: (if count(last_of(key)) == 1 { last_of(key) } else { key }).to_owned(),
        values: values
            .iter()
            .map(|it| it.as_ref().map_or_else(|| NONE.to_owned(), |it| label(key, it)))
            .collect(),
        is_of_machine: false,
    });
    workload.chain(of_machines(results)).collect()
}

fn differ<T: PartialEq>(values: &[T]) -> bool {
    values.windows(2).any(|pair| pair[0] != pair[1])
}

/// Calls `leaf` for each key whose value is not a section.
fn collect(path: String, value: &Value, leaf: &mut impl FnMut(String, &Value)) {
    match value {
        Value::Object(section) => {
            for (key, value) in section {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                collect(path, value, leaf);
            }
        }
        value => leaf(path, value),
    }
}

fn of_machines(results: &[&RunResult]) -> impl Iterator<Item = Difference> {
    let facts: [Fact; 4] = [
        ("machine", |result| {
            let cpu = &result.environment.cpu;
            format!("{} × {}", cpu.cores_online, cpu.model.as_deref().unwrap_or("unknown processor"))
        }),
        ("kernel", |result| result.environment.kernel.split(' ').take(2).collect::<Vec<_>>().join(" ")),
        ("disk", |result| crate::report::facts::filesystem(&result.environment.storage)),
        ("build", |result| {
            let build = &result.provenance.build;
            let revision: String = build.git_revision.chars().take(9).collect();
            let dirty = if build.git_dirty == Some(true) { " with local changes" } else { "" };
            format!("{} {revision}{dirty} {}", build.version, build.profile)
        }),
    ];
    let differences = facts.map(|(name, fact)| Difference {
        key: name.to_owned(),
        name: name.to_owned(),
        values: results.iter().map(|result| fact(result)).collect(),
        is_of_machine: true,
    });
    differences.into_iter().filter(|it| differ(&it.values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_leaf_has_its_dotted_key() {
        let mut told = Vec::new();
        let workload = json!({"a": {"b": 1, "c": {"d": [1, 2]}}, "e": null});
        collect(String::new(), &workload, &mut |key, value| told.push((key, value.clone())));
        let expected = [("a.b", json!(1)), ("a.c.d", json!([1, 2])), ("e", json!(null))];
        assert_eq!(told, expected.map(|(key, value)| (key.to_owned(), value)));
    }
}
