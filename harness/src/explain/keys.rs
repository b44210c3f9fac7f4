//! Workload keys, from the tables of docs/workload.md.

use super::document::{Row, WORKLOAD, flat, rows};
use super::{Entry, WordKind};
use crate::workload::keys;

/// The name under which the document describes the bounds on latencies, which are many keys.
const SLO_PATTERN: &str = "slo.<latency>_<percentile>";

/// Returns an entry for each key that the document describes, in its order.
pub(super) fn entries() -> Vec<Entry> {
    let schema = keys();
    let rows = rows(WORKLOAD, "key");
    let is_described = |key: &str| rows.iter().any(|row| row.name == key);
    let bounds: Vec<String> =
        schema.iter().filter(|key| key.starts_with("slo.") && !is_described(key)).cloned().collect();
    let entry = |row: &Row| {
        let [default, unit, meaning] = &row.cells[..] else { return None };
        let flat = flat(meaning);
        let unit = Some(("unit", unit.clone())).filter(|(_, unit)| !unit.is_empty());
        Some(Entry {
            kind: WordKind::WorkloadKey,
            name: row.name.clone(),
            aliases: if row.name == SLO_PATTERN { bounds.clone() } else { Vec::new() },
            facts: std::iter::once(("default", default.replace('`', ""))).chain(unit).collect(),
            text: flat.text,
            see: flat.see,
        })
    };
    rows.iter().filter_map(entry).collect()
}
