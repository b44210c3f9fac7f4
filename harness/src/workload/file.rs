//! Loads a workload by a file's path or by a built-in name: reads it, applies the overrides, checks it, and shows every
//! mistake at its place.

use super::reading::decode::Fault;
use super::reading::keys::keys;
use super::reading::nearest::nearest;
use super::reading::overrides::Override;
use super::reading::tree::{Node, Origin, Place, SyntaxError};
use crate::exit::UsageError;
use crate::workload::Workload;
use crate::workload::checks::capabilities::{self, Capabilities};
use crate::workload::checks::consume;
use crate::workload::checks::payload;
use crate::workload::checks::{metric, problems::Problem, validate};
use crate::workload::study::{self, Many, Mistake, Study};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;

/// The workloads of `workloads/`, by name. They are built into the binary, so that they run in any directory.
pub const BUILT_IN: [(&str, &str); 15] = [
    ("quickstart", include_str!("../../../workloads/quickstart.yaml")),
    ("throughput", include_str!("../../../workloads/throughput.yaml")),
    ("latency", include_str!("../../../workloads/latency.yaml")),
    ("small-records", include_str!("../../../workloads/small-records.yaml")),
    ("synced", include_str!("../../../workloads/synced.yaml")),
    ("soak", include_str!("../../../workloads/soak.yaml")),
    ("rebalance", include_str!("../../../workloads/rebalance.yaml")),
    ("studies/durability-and-batch", include_str!("../../../workloads/studies/durability-and-batch.yaml")),
    ("studies/partitions", include_str!("../../../workloads/studies/partitions.yaml")),
    ("studies/preallocate", include_str!("../../../workloads/studies/preallocate.yaml")),
    (
        "studies/segments-and-retention",
        include_str!("../../../workloads/studies/segments-and-retention.yaml"),
    ),
    ("studies/commits", include_str!("../../../workloads/studies/commits.yaml")),
    ("studies/kafka-side-by-side", include_str!("../../../workloads/studies/kafka-side-by-side.yaml")),
    ("studies/catch-up", include_str!("../../../workloads/studies/catch-up.yaml")),
    ("studies/write-size-and-depth", include_str!("../../../workloads/studies/write-size-and-depth.yaml")),
];

/// Finds a built-in workload by its name. A study is found without its directory as well.
fn built_in(name: &str) -> Option<(&'static str, &'static str)> {
    BUILT_IN
        .into_iter()
        .find(|(built_in, _)| *built_in == name || built_in.strip_prefix("studies/") == Some(name))
}

/// Returns the text of a built-in workload. A study is found without its directory as well.
///
/// # Errors
/// A [`UsageError`] with all names, if none is `name`.
pub fn built_in_text(name: &str) -> anyhow::Result<&'static str> {
    built_in(name).map(|(_, text)| text).ok_or_else(|| {
        UsageError::error(unknown_name(name, &format!("there is no built-in workload `{name}`")))
    })
}

/// Size of the largest file that is read as a workload, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads a workload from a file's path, or a built-in one by its name.
///
/// # Errors
/// A [`UsageError`] that says what is wrong with the name, the file or the overrides.
#[cfg(test)]
pub(crate) fn load(name_or_path: &str, overrides: &[Override]) -> anyhow::Result<Workload> {
    Ok(load_study(name_or_path, overrides, Many::Refused, crate::system::CAPABILITIES)?.workload)
}

/// Reads a workload from a file's path, or a built-in one by its name, with every combination of its sweep. `systems` are the
/// systems that can be measured.
///
/// # Errors
/// A [`UsageError`] that says what is wrong with the name, the file or the overrides.
pub fn load_study(
    name_or_path: &str,
    overrides: &[Override],
    many: Many,
    systems: &[Capabilities],
) -> anyhow::Result<Study> {
    if let Some((name, text)) = built_in(name_or_path) {
        return parse_study(text, name, overrides, many, systems);
    }
    parse_study(&read(name_or_path)?, name_or_path, overrides, many, systems)
}

/// Reads a workload from its text. `label` is the file's path or name: messages show it, and it is the default of
/// `name`.
///
/// # Errors
/// A [`UsageError`] that shows every mistake at its place.
#[cfg(test)]
pub(crate) fn parse(text: &str, label: &str, overrides: &[Override]) -> anyhow::Result<Workload> {
    Ok(parse_study(text, label, overrides, Many::Refused, crate::system::CAPABILITIES)?.workload)
}

/// Reads a workload from its text, with every combination of its sweep. `label` is the file's path or name.
///
/// # Errors
/// A [`UsageError`] that shows every mistake at its place.
pub fn parse_study(
    text: &str,
    label: &str,
    overrides: &[Override],
    many: Many,
    systems: &[Capabilities],
) -> anyhow::Result<Study> {
    let source = Source { label, text, overrides };
    let mut root = Node::parse(text, Origin::File).map_err(|error| source.syntax(error, Origin::File))?;
    source.require_keys(&root)?;
    source.refuse_foreign(&root)?;
    for (index, given) in overrides.iter().enumerate() {
        given.apply(&mut root, index).map_err(|error| source.syntax(error, Origin::Override(index)))?;
    }
    source.refuse_size_of_real_data(&root)?;
    payload::locate(&mut root, label);
    let mut workload: Workload = root.decode().map_err(|fault| source.fault(fault))?;
    if root.find("name").is_none() {
        workload.name = name_of(label);
    }
    let study = if workload.sweep.is_empty() {
        consume::assign([&mut workload], systems);
        let mut problems = validate::problems(&workload, systems);
        if let Some(message) = metric::problem_of_answer(&workload) {
            problems.push(Problem { keys: vec!["answer".to_owned()], message });
        }
        if !problems.is_empty() {
            return Err(source.problems(&root, &problems));
        }
        Study::alone(workload)
    } else {
        source.refuse_swept_overrides(&workload)?;
        study::expand(&root, workload, many, systems).map_err(|mistakes| source.mistakes(mistakes))?
    };
    let measured = study.combinations.iter().map(|combination| combination.workload.target.system());
    let unused = capabilities::unused_settings(&root, measured, systems);
    if unused.is_empty() { Ok(study) } else { Err(source.problems(&root, &unused)) }
}

fn read(path: &str) -> anyhow::Result<String> {
    let file = std::fs::File::open(path).map_err(|error| cannot_open(path, &error))?;
    let mut text = String::new();
    let length = file
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| UsageError::error(format!("cannot read the workload file {path}: {error}")))?;
    if length as u64 > FILE_BYTES_MAX {
        return Err(UsageError::error(format!("{path} is larger than 1 MiB, so it is not a workload file")));
    }
    Ok(text)
}

fn cannot_open(path: &str, error: &std::io::Error) -> anyhow::Error {
    if error.kind() != std::io::ErrorKind::NotFound {
        return UsageError::error(format!("cannot open the workload file {path}: {error}"));
    }
    let message = format!("there is no workload file `{path}`, nor a built-in workload of that name");
    UsageError::error(unknown_name(path, &message))
}

/// Adds to `message` the built-in workload that `name` may mean, and all of their names.
fn unknown_name(name: &str, message: &str) -> String {
    let names = BUILT_IN.map(|(name, _)| name);
    let mut message = message.to_owned();
    let stem = Path::new(name).file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    if let Some(meant) = nearest(stem, names) {
        let _ = write!(message, "; did you mean `{meant}`?");
    }
    let _ = write!(message, "\nbuilt in: {}", names.join(", "));
    message
}

/// Returns the file's stem, with `-` for each character that a name may not have.
fn name_of(label: &str) -> String {
    let stem = Path::new(label).file_stem().and_then(|stem| stem.to_str()).unwrap_or(label);
    let name: String = stem
        .chars()
        .map(|c| if validate::may_be_in_name(c) { c } else { '-' })
        .take(validate::NAME_CHARS_MAX)
        .collect();
    if name.is_empty() { "unnamed".into() } else { name }
}

/// The text of a file, its label and the overrides: everything that a message needs to show a place.
struct Source<'s> {
    label: &'s str,
    text: &'s str,
    overrides: &'s [Override],
}

impl Source<'_> {
    fn syntax(&self, error: SyntaxError, origin: Origin) -> anyhow::Error {
        let place = error.place.unwrap_or(Place { origin, line: 0, column: 0, length: 0 });
        UsageError::error(self.show(Some(place), &error.message))
    }

    fn fault(&self, fault: Fault) -> anyhow::Error {
        let mut message = fault.message;
        if let Some(elsewhere) = fault.unknown_key.as_deref().and_then(elsewhere) {
            let _ = write!(message, "; did you mean `{elsewhere}`?");
        } else if fault.unknown_key.is_some() {
            message.push_str("; `vnotch explain` lists every key");
        }
        UsageError::error(self.show(fault.place, &message))
    }

    fn problems(&self, root: &Node, problems: &[Problem]) -> anyhow::Error {
        let place = |problem: &Problem| {
            let node = problem.keys.iter().find_map(|key| root.find(key));
            let section = || problem.keys.first().and_then(|key| root.find(key.split('.').next()?));
            node.or_else(section).map(|node| node.place)
        };
        let placed = |problem| Mistake { place: place(problem), message: problem.message.clone() };
        self.mistakes(problems.iter().map(placed).collect())
    }

    fn mistakes(&self, mut mistakes: Vec<Mistake>) -> anyhow::Error {
        mistakes.sort_by_key(|mistake| mistake.place.map(|place| (place.origin, place.line, place.column)));
        let shown: Vec<_> =
            mistakes.into_iter().map(|mistake| self.show(mistake.place, &mistake.message)).collect();
        UsageError::error(shown.join("\n"))
    }

    /// Refuses an override of a swept key: every combination would replace the value silently.
    fn refuse_swept_overrides(&self, workload: &Workload) -> anyhow::Result<()> {
        for (given, swept) in
            self.overrides.iter().flat_map(|given| workload.sweep.keys().map(move |key| (given, key)))
        {
            if given.sets(swept) {
                return Err(UsageError::error(format!(
                    "{}: the workload sweeps `{swept}`; use `--set 'sweep.{swept}=[…]'` for other values, or \
                     `--set 'sweep={{}}'` to drop the sweep",
                    given.label()
                )));
            }
        }
        Ok(())
    }

    /// Refuses a file that is not a map of keys, so that an override cannot turn it into a workload.
    fn require_keys(&self, root: &Node) -> anyhow::Result<()> {
        if root.is_map() {
            return Ok(());
        }
        let message =
            format!("a workload is keys with values, such as `message_size: 1KiB`; found {}", root.found());
        Err(UsageError::error(self.show(Some(root.place), &message)))
    }

    /// Refuses a workload file of the OpenMessaging Benchmark. It is recognised by two keys that only that format has.
    fn refuse_foreign(&self, root: &Node) -> anyhow::Result<()> {
        const THEIRS: [&str; 6] = [
            "partitionsPerTopic",
            "producersPerTopic",
            "subscriptionsPerTopic",
            "consumerPerSubscription",
            "producerRate",
            "testDurationMinutes",
        ];
        let theirs: Vec<_> = root.keys().filter(|key| THEIRS.contains(&key.name.as_str())).collect();
        match theirs.as_slice() {
            [first, _, ..] => {
                let message =
                    "this is a workload file of the OpenMessaging Benchmark, which is not supported yet";
                Err(UsageError::error(self.show(Some(first.place), message)))
            }
            _ => Ok(()),
        }
    }

    /// Refuses `message_size` for real data: each record is a line of the file and has the line's size.
    fn refuse_size_of_real_data(&self, root: &Node) -> anyhow::Result<()> {
        let Some(node) = payload::needless_size(root) else { return Ok(()) };
        let message = "`message_size` cannot be used with `payload: {kind: file}`: each record is a line and has its size";
        Err(UsageError::error(self.show(Some(node.place), message)))
    }

    /// Formats `message` after its place, with the line of the mistake and carets below it.
    fn show(&self, place: Option<Place>, message: &str) -> String {
        let Some(place) = place else { return format!("{}: {message}", self.label) };
        if let Origin::Override(index) = place.origin {
            let label = self.overrides.get(index).map_or("an override", Override::label);
            return format!("{label}: {message}");
        }
        let Some(line) = place.line.checked_sub(1).and_then(|index| self.text.lines().nth(index)) else {
            return format!("{}: {message}", self.label);
        };
        let number = place.line.to_string();
        let margin = " ".repeat(number.len());
        let before: String =
            line.chars().take(place.column - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let room = line.chars().count().saturating_sub(place.column - 1);
        let carets = "^".repeat(place.length.clamp(1, room.max(1)));
        format!(
            "{label}:{number}:{column}: {message}\n{margin} |\n{number} | {line}\n{margin} | {before}{carets}",
            label = self.label,
            column = place.column,
        )
    }
}

/// Returns the dotted key that was probably meant, if a key was written in the wrong section.
fn elsewhere(written: &str) -> Option<String> {
    let keys = keys();
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let names: Vec<String> = keys.iter().map(|key| last(key)).collect();
    let meant = nearest(written, names.iter().map(String::as_str))?;
    keys.iter().find(|key| last(key) == meant).cloned()
}
