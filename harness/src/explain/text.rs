//! Explanations as text for a terminal.

use super::{Entry, Explanation, WordKind};
use crate::escape::visible_lines;
use std::fmt::Write as _;

/// The most columns of a line.
const WIDTH: usize = 100;
/// Indentation of an explanation below its word.
const INDENT: &str = "  ";

/// Returns an explanation: each entry, then the words below it, one a line.
pub fn explanation(explanation: &Explanation) -> String {
    let mut out: Vec<String> = explanation.entries.iter().map(entry).collect();
    if !explanation.members.is_empty() {
        out.push(explanation.members.iter().map(member).collect());
    }
    if !explanation.see.is_empty() {
        out.push(see(&explanation.see, ""));
    }
    out.join("\n")
}

/// Returns the names of all words, by kind.
pub fn list(entries: &[Entry]) -> String {
    let mut out = String::new();
    for kind in WordKind::ALL {
        let names = entries.iter().filter(|entry| entry.kind == kind && is_listed(entry));
        let names: Vec<String> = names.map(|entry| entry.name.replace(' ', "\u{a0}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", title(kind));
        let _ = writeln!(out, "{}\n", wrapped(&names.join(", "), INDENT).replace('\u{a0}', " "));
    }
    out.push_str(
        "`vnotch explain WORD` explains one; of a group, such as `log` or `produce`, it lists the parts.\n",
    );
    out
}

/// Whether the list of all words names the entry. It names groups of fields, and not each field.
fn is_listed(entry: &Entry) -> bool {
    !matches!(entry.kind, WordKind::Field | WordKind::ComparisonField) || !entry.name.contains('.')
}

const fn title(kind: WordKind) -> &'static str {
    match kind {
        WordKind::WorkloadKey => "Keys of a workload file",
        WordKind::Figure => "On the first screen",
        WordKind::Field => "Fields of result.json, and groups of them",
        WordKind::ComparisonField => "Fields of a comparison's result.json, and groups of them",
        WordKind::Status => "Statuses of a verdict",
        WordKind::Flag => "Flags of a verdict",
        WordKind::Limit => "Limits of the rate under max",
        WordKind::Conclusion => "Conclusions of a comparison",
        WordKind::Option => "Options of the command line",
        WordKind::ExitCode => "Exit codes",
        WordKind::Topic => "Topics",
    }
}

fn entry(entry: &Entry) -> String {
    let mut out = format!("{} ({})\n", entry.name, entry.kind.words());
    for (label, value) in &entry.facts {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", wrapped(&format!("{label}: {value}"), INDENT));
    }
    let text = if entry.kind == WordKind::Topic { entry.text.clone() } else { wrapped(&entry.text, INDENT) };
    let _ = writeln!(out, "{text}");
    out.push_str(&see(&entry.see, INDENT));
    visible_lines(&out)
}

fn member(entry: &Entry) -> String {
    let default = entry.facts.get("default").map(|value| format!(" [{value}]")).unwrap_or_default();
    let line = format!("{}{default}: {}", entry.name, entry.text);
    format!("{}\n", wrapped(&line, ""))
}

fn see(topics: &[String], indent: &str) -> String {
    let line = |topic: &String| format!("{indent}see: vnotch explain \"{}\"\n", topic.to_lowercase());
    topics.iter().map(line).collect()
}

/// Breaks text at spaces into lines of at most [`WIDTH`] columns that begin with `indent`. Lines after the first are
/// indented by two more columns.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("{indent}  {word}")),
            None => lines.push(format!("{indent}{word}")),
        }
    }
    lines.join("\n")
}
