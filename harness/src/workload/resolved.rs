//! The resolved workload, with every default and override filled in: as results record it, and how it differs from the
//! defaults.

use super::{Assignment, Consume, KafkaSettings, PayloadSource, Target, Workload};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// A key that a workload sets to something other than its default.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Difference {
    /// Dotted key.
    pub key: String,
    /// Value in the workload; null if it has none.
    pub value: Value,
    /// Value in a workload that does not set the key.
    pub default: Value,
}

impl Workload {
    /// Returns every key with its value, in the forms that a workload file takes. Reading it again gives the same
    /// workload.
    pub fn resolved(&self) -> Value {
        let mut resolved = self.all_keys();
        let is_unused = self.target.system() != Target::KAFKA && self.kafka == KafkaSettings::default();
        if let (true, Value::Object(keys)) = (is_unused, &mut resolved) {
            keys.remove("kafka");
        }
        if let (true, Value::Object(keys)) = (self.has_plain_consumers(), &mut resolved) {
            // The settings of members mean nothing here.
            match self.consume.assignment {
                Some(assignment) => keys.insert("consume".to_owned(), json!({ "assignment": assignment })),
                None => keys.remove("consume"),
            };
        }
        resolved
    }

    /// Whether the consumers are no members of a group, and no setting of members is written.
    fn has_plain_consumers(&self) -> bool {
        !self.consume.has_members() && Consume { assignment: None, ..self.consume } == Consume::default()
    }

    /// Returns every key with its value, those without a meaning for this workload included.
    fn all_keys(&self) -> Value {
        let keys = serde_json::to_value(self);
        let mut keys = keys.expect("every key is a string and no number is infinite or NaN");
        if let (PayloadSource::File(_), Value::Object(keys)) = (&self.payload.source, &mut keys) {
            // Records of real data have the sizes of their lines.
            keys.remove("message_size");
        }
        keys
    }

    /// Returns the SHA-256, in hexadecimal, of [`Self::resolved`] as compact JSON with sorted keys. Where consumers are no members of
    /// a group, the keys of `consume` are left out. Two workloads with the same hash ask for the same run.
    pub fn sha256(&self) -> String {
        let mut resolved = self.resolved();
        // Workloads from before there were members keep their hash.
        if let (true, Value::Object(keys)) = (self.has_plain_consumers(), &mut resolved) {
            keys.remove("consume");
        }
        resolved.sort_all_objects();
        let digest = Sha256::digest(resolved.to_string().as_bytes());
        digest.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }

    /// Returns the first 12 digits of [`Self::sha256`], which are enough to tell results apart.
    pub fn hash(&self) -> String {
        let mut hex = self.sha256();
        hex.truncate(12);
        hex
    }

    /// Returns the settings that differ from the defaults, in alphabetical order. The labels `name` and `question` are
    /// no settings. A key that exists in one mode only is compared with the default of that mode.
    pub fn diff_from_defaults(&self) -> Vec<Difference> {
        let mut differences = differences(&self.all_keys(), &Self::default().all_keys());
        let assumed =
            |key: &str, value: &Value| ASSUMED_IN_MODE.contains(&(key, value.as_str().unwrap_or("")));
        let is_absent = |d: &Difference| d.key == "message_size" && d.value.is_null();
        let is_default = |d: &Difference| d.key == "consume.assignment" && !self.is_assignment_chosen();
        differences.retain(|d| {
            !(LABELS.contains(&d.key.as_str()) || assumed(&d.key, &d.value) || is_absent(d) || is_default(d))
        });
        differences
    }
}

/// Returns a resolved workload with the values that its version used for keys that it did not write. Versions without
/// `consume.assignment` gave consumers their partitions by number, unless settings of members were written or swept.
pub fn with_former_defaults(resolved: &Value) -> Value {
    let mut resolved = resolved.clone();
    if resolved.pointer("/consume/assignment").is_some() {
        return resolved;
    }
    let swept = resolved.get("sweep").and_then(Value::as_object);
    let is_set = |key: &str| {
        let path = format!("consume.{key}");
        let is_written = resolved.pointer(&format!("/consume/{key}")).is_some_and(|value| !value.is_null());
        is_written || swept.is_some_and(|keys| keys.keys().any(|swept| swept.starts_with(&path)))
    };
    let assignment = if is_set("commit") || is_set("churn") { Assignment::Group } else { Assignment::Fixed };
    if let Value::Object(keys) = &mut resolved {
        keys.entry("consume").or_insert_with(|| json!({}))["assignment"] = json!(assignment);
    }
    resolved
}

/// Returns the differences between two resolved workloads: `value` is the first one's, `default` the second one's.
pub fn differences(first: &Value, second: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    collect("", first, second, &mut differences);
    differences
}

const LABELS: [&str; 2] = ["name", "question"];

const ASSUMED_IN_MODE: [(&str, &str); 3] =
    [("load.arrival", "constant"), ("load.profile", "constant"), ("payload.split", "lines")];

/// Walks two trees side by side. A list counts as one value.
fn collect(path: &str, value: &Value, default: &Value, differences: &mut Vec<Difference>) {
    if value == default {
        return;
    }
    let (Value::Object(ours), Value::Object(theirs)) = (value, default) else {
        differences.push(Difference { key: path.into(), value: value.clone(), default: default.clone() });
        return;
    };
    let mut keys: Vec<&String> = ours.keys().chain(theirs.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let [ours, theirs] = [ours, theirs].map(|object| object.get(key).unwrap_or(&Value::Null));
        collect(&path, ours, theirs, differences);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_of_a_version_without_members_has_the_assignment_that_it_was_run_with() {
        let assignment = |resolved: Value| {
            let full = with_former_defaults(&resolved);
            full.pointer("/consume/assignment").and_then(Value::as_str).map(str::to_owned).unwrap()
        };
        assert_eq!(assignment(json!({})), "fixed");
        assert_eq!(assignment(json!({ "consume": { "assignor": "range", "commit": null } })), "fixed");
        assert_eq!(assignment(json!({ "consume": { "commit": { "mode": "sync" } } })), "group");
        assert_eq!(assignment(json!({ "sweep": { "consume.commit.mode": ["auto", "sync"] } })), "group");
        assert_eq!(assignment(json!({ "consume": { "assignment": "group" } })), "group");
    }

    #[test]
    fn what_this_version_writes_is_complete() {
        for workload in [Workload::default(), Workload { subscriptions_per_topic: 0, ..Workload::default() }]
        {
            let study = serde_json::to_string(&workload.resolved()).unwrap();
            let read = crate::workload::parse(&study, "test.json", &[]).unwrap();
            assert_eq!(with_former_defaults(&read.resolved()), read.resolved());
        }
    }
}
