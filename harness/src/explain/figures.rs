//! Figures: those on the first screen, from the tables of docs/methodology.md, and the fields of `result.json`, from its
//! schema.

use super::document::{DOCUMENTS, METHODOLOGY, Row, flat, rows, topic};
use super::{Entry, WordKind};
use crate::result::RunResult;
use crate::result::comparison::Comparison;
use serde_json::Value;
use std::collections::BTreeSet;

/// Prefix of the fields of a trial. Their names leave it out, as the names in `summary` do.
const OF_TRIAL: &str = "points.trials.";
/// Prefix of the latencies among them.
const OF_LATENCY: &str = "latency_ns.";
/// The topic that says when a percentile is a bound.
const BOUNDS: &str = "Percentiles and bounds";
/// Fields whose own fields repeat those of another field.
const REPEATED: [&str; 2] = ["environment_at_end", "late_attempts"];

/// Returns an entry for each word of the first screen: its rows and columns, and the histograms.
pub(super) fn on_screen() -> Vec<Entry> {
    let words = rows(METHODOLOGY, "on the screen").into_iter().filter_map(word);
    let histograms = rows(METHODOLOGY, "histogram").into_iter().filter_map(histogram);
    words.chain(histograms).collect()
}

/// Makes an entry of a row: the word, the fields of `result.json` that it shows, and its meaning.
fn word(row: Row) -> Option<Entry> {
    let [fields, meaning] = &row.cells[..] else { return None };
    let flat = flat(meaning);
    let fields = Some(("field", fields.replace('`', ""))).filter(|(_, fields)| !fields.is_empty());
    Some(Entry {
        kind: WordKind::Figure,
        name: row.name,
        aliases: Vec::new(),
        facts: fields.into_iter().collect(),
        text: flat.text,
        see: flat.see,
    })
}

/// Makes an entry of a row: the histogram, the moments between which its times lie, and what it tells.
fn histogram(row: Row) -> Option<Entry> {
    let [from, to, tells] = &row.cells[..] else { return None };
    let flat = flat(tells);
    let moments = [("from", from), ("to", to)].map(|(label, moment)| (label, moment.clone()));
    let field = ("field", format!("{OF_LATENCY}{}", row.name));
    Some(Entry {
        kind: WordKind::Figure,
        name: row.name,
        aliases: Vec::new(),
        facts: std::iter::once(field).chain(moments.into_iter().filter(|(_, it)| !it.is_empty())).collect(),
        text: flat.text,
        see: vec!["Latencies".to_owned()],
    })
}

/// Returns an entry for each field of `result.json`, a group before its fields.
pub(super) fn fields() -> Vec<Entry> {
    fields_of(&Value::from(schemars::schema_for!(RunResult)), WordKind::Field)
}

/// Returns an entry for each field of a comparison's `result.json` that results of runs do not have.
pub(super) fn comparison_fields() -> Vec<Entry> {
    let of_runs: BTreeSet<String> = fields().into_iter().map(|field| field.name).collect();
    let all = fields_of(&Value::from(schemars::schema_for!(Comparison)), WordKind::ComparisonField);
    all.into_iter().filter(|field| !of_runs.contains(&field.name)).collect()
}

fn fields_of(schema: &Value, kind: WordKind) -> Vec<Entry> {
    let mut found = Vec::new();
    collect(schema, schema, "", &mut found);
    let field = |(path, group, text): (String, String, String)| {
        let name = path.strip_prefix(OF_TRIAL).unwrap_or(&path).to_owned();
        let latency = name.strip_prefix(OF_LATENCY).filter(|rest| rest.contains('.'));
        let part_of = name.rsplit_once('.').map(|(parent, _)| format!("{parent}. {group}"));
        let mut see = documents_of(&text);
        see.extend(latency.map(|_| BOUNDS.to_owned()));
        Entry {
            kind,
            // The first screen prints `response` as a row and `p99` as a column.
            aliases: latency.map(|rest| rest.replace('.', " ")).into_iter().collect(),
            facts: part_of.into_iter().map(|text| ("part of", text)).collect(),
            see,
            text: without_documents(text),
            name,
        }
    };
    found.into_iter().map(field).collect()
}

/// Adds the properties of `node` and of everything below it: path, description of the group, own description.
fn collect(schema: &Value, node: &Value, path: &str, found: &mut Vec<(String, String, String)>) {
    let group = description(node);
    for form in forms(schema, node) {
        for (name, property) in form["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            let group = if path.contains('.') { group.clone() } else { String::new() };
            found.push((path.clone(), group, description(property)));
            if !REPEATED.contains(&name.as_str()) {
                collect(schema, property, &path, found);
            }
        }
    }
}

/// Returns the schemas that a node stands for: through references, alternatives, and the items of lists and maps.
fn forms<'s>(schema: &'s Value, node: &'s Value) -> Vec<&'s Value> {
    let referenced = node["$ref"].as_str().and_then(|path| schema.pointer(path.trim_start_matches('#')));
    let alternatives = node["anyOf"].as_array().into_iter().flatten();
    let items = [&node["items"], &node["additionalProperties"]].into_iter().filter(|it| it.is_object());
    let inner = referenced.into_iter().chain(alternatives).chain(items);
    std::iter::once(node).chain(inner.flat_map(|inner| forms(schema, inner))).collect()
}

/// Returns the description of a schema without the marks of code comments: links to items lose their brackets, and `None`
/// is what `result.json` writes as null.
fn description(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    text.replace("[`", "`").replace("`]", "`").replace("`None`", "null").replace('\n', " ")
}

/// Returns the titles of the documents that a description refers to, as in `(docs/durability.md)`.
fn documents_of(text: &str) -> Vec<String> {
    let named = DOCUMENTS.iter().filter(|(name, _)| text.contains(&format!("docs/{name}")));
    named.filter_map(|(name, _)| topic(name)).collect()
}

/// Removes these references.
fn without_documents(mut text: String) -> String {
    for (name, _) in DOCUMENTS {
        text = text.replace(&format!(" (docs/{name})"), "");
    }
    text
}
