//! docs/workload.md lists every key with its default, and no key that does not exist.

use super::*;
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../../docs/workload.md");

/// Returns (key, default) of each row of the document's tables.
fn documented() -> Vec<(String, String)> {
    DOCUMENT
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.splitn(3, " | ");
            let key = cells.next()?.strip_suffix('`')?;
            Some((key.to_owned(), cells.next()?.trim_matches('`').to_owned()))
        })
        .collect()
}

/// Returns the schema's keys as the document names them: objectives by their pattern.
fn schema() -> BTreeSet<String> {
    let pattern = "slo.<latency>_<percentile>";
    keys()
        .into_iter()
        .map(|key| if key.starts_with("slo.") && key != "slo.min_achieved" { pattern.into() } else { key })
        .collect()
}

#[test]
fn every_key_is_documented_and_every_documented_key_exists() {
    let documented: BTreeSet<_> = documented().into_iter().map(|(key, _)| key).collect();
    let sections: BTreeSet<_> =
        schema().iter().filter_map(|key| Some(key.rsplit_once('.')?.0.to_owned())).collect();
    let mut schema = schema();
    schema.retain(|key| !sections.contains(key) || documented.contains(key));
    assert_eq!(documented.symmetric_difference(&schema).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn every_documented_default_is_the_schemas() {
    let defaults = Workload::default().resolved();
    for (key, documented) in documented() {
        let value = defaults.pointer(&format!("/{}", key.replace('.', "/")));
        let Some(value) = value.filter(|value| !value.is_object()) else { continue };
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        if key != "name" {
            assert_eq!(documented, value, "the default of {key}");
        }
    }
}

#[test]
fn the_documents_example_is_a_workload() {
    let (_, rest) = DOCUMENT.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    load(example);
}
