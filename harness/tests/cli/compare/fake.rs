//! A script in place of a binary of vnotch. It has vnotch check the workload. As a trial, it prints a document with the next of
//! its values.

use crate::run::Bench;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

/// A script in place of a binary of vnotch.
pub(super) struct Fake {
    pub(super) path: PathBuf,
    /// The directory of its files.
    dir: PathBuf,
}

const SCRIPT: &str = r#"#!/bin/sh
dir="$(dirname "$0")"
if [ "$1" = check ] && [ -e "$dir/checked" ]; then VNOTCH "$@" | sed "$(cat "$dir/checked")"; exit 0; fi
if [ "$1" = check ]; then exec VNOTCH "$@"; fi
count=$(($(cat "$dir/trials") + 1))
echo $count > "$dir/trials"
for last in "$@"; do :; done
echo "$last" >> "$dir/data-dirs"
if [ -e "$dir/replaced-in" ] && [ $count -eq "$(cat "$dir/replaced-in")" ]; then echo true >> "$0"; fi
if [ -e "$dir/hanging-from" ] && [ $count -ge "$(cat "$dir/hanging-from")" ]; then
    echo $$ > "$dir/pid.new"; mv "$dir/pid.new" "$dir/pid"
    exec sleep 1000
fi
if [ -e "$dir/seconds" ]; then sleep "$(cat "$dir/seconds")"; fi
for special in "$dir/every.json" "$dir/$count.json"; do
    if [ -e "$special" ]; then cat "$special"; exit 5; fi
done
cat "$dir/value-$(((count - 1) % $(cat "$dir/values"))).json"
"#;

impl Fake {
    /// A script whose trials have these records/s, again and again.
    pub(super) fn of(bench: &Bench, name: &str, values: &[f64]) -> Self {
        let dir = bench.path(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).unwrap();
        }
        fs::create_dir(&dir).unwrap();
        let fake = Self { path: dir.join("vnotch"), dir };
        fake.write("trials", "0");
        fake.write("values", &values.len().to_string());
        for (index, value) in values.iter().enumerate() {
            fake.write(&format!("value-{index}.json"), &document("valid", *value));
        }
        fake.write("vnotch", &SCRIPT.replace("VNOTCH", env!("CARGO_BIN_EXE_vnotch")));
        fs::set_permissions(&fake.path, fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    /// Has trial `number`, from 1, end with `status`.
    pub(super) fn ending(self, number: usize, status: &str) -> Self {
        self.write(&format!("{number}.json"), &document(status, 1.0));
        self
    }

    /// Has every trial end with `status`.
    pub(super) fn always_ending(self, status: &str) -> Self {
        self.write("every.json", &document(status, 1.0));
        self
    }

    /// Has every trial take so many seconds.
    pub(super) fn taking(self, seconds: &str) -> Self {
        self.write("seconds", seconds);
        self
    }

    /// Has trial `number`, from 1, and all later ones never end.
    pub(super) fn hanging_from(self, number: usize) -> Self {
        self.write("hanging-from", &number.to_string());
        self
    }

    /// Undoes [`Self::hanging_from`]: later trials end at once.
    pub(super) fn release(&self) {
        fs::remove_file(self.dir.join("hanging-from")).unwrap();
    }

    /// Has the script be changed in trial `number`, from 1, so that another program would make the later ones.
    pub(super) fn replaced_in(self, number: usize) -> Self {
        self.write("replaced-in", &number.to_string());
        self
    }

    /// Changes the plan that a check prints with an expression of sed, as another revision has other defaults.
    pub(super) fn checked_with(self, expression: &str) -> Self {
        self.write("checked", expression);
        self
    }

    /// The number of trials that were begun.
    pub(super) fn trials(&self) -> usize {
        fs::read_to_string(self.dir.join("trials")).unwrap().trim().parse().unwrap()
    }

    /// The data directory of each trial that was begun.
    pub(super) fn data_dirs(&self) -> Vec<PathBuf> {
        fs::read_to_string(self.dir.join("data-dirs")).unwrap().lines().map(PathBuf::from).collect()
    }

    /// The id of the process that hangs.
    pub(super) fn hanging(&self) -> Option<u32> {
        fs::read_to_string(self.dir.join("pid")).ok()?.trim().parse().ok()
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.dir.join(name), content).unwrap();
    }
}

/// Whether a process has not ended. A process whose end nobody has asked for yet has ended.
pub(super) fn is_running(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
}

/// A document such as `vnotch run --format json` prints.
fn document(status: &str, records_per_s: f64) -> String {
    let figure =
        |value: f64| json!({ "trials": 1, "median": value, "min": value, "max": value, "interval": null });
    let summary = json!({ "produce.records_per_s": figure(records_per_s), "produce.bytes": figure(records_per_s * 1024.0) });
    let result = json!({
        "verdict": { "status": status, "flags": [], "reasons": ["because"] },
        "points": [{ "summary": summary }],
    });
    json!({ "kind": "run", "results": [{ "directory": "nowhere", "result": result }] }).to_string()
}
