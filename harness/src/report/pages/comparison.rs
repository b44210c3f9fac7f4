//! The page and the summary of a comparison: the answer first, then its figures, the chart, and how far to trust it. Everything else
//! is folded.

use crate::escape::visible_lines;
use crate::report::chart::Charts;
use crate::report::comparison::{facts, words};
use crate::report::facts::NONE;
use crate::report::html::{self, document, escape, prose, table};
use crate::report::summary;
use crate::report::summary::cell;
use crate::result::comparison::{Comparison, Conclusion, Method, PairOrder, PairOutcome, PairRecord};
use std::fmt::Write as _;

/// The most figures at the top.
const NUMBERS: usize = 3;

/// Returns the whole page.
pub(in crate::report) fn html(comparison: &Comparison, charts: &Charts) -> String {
    let headline = words::headline(comparison);
    // Writing to a String cannot fail.
    let mut out = format!("<h1>{}</h1>\n", escape(&words::change(comparison)));
    if let Some(question) = &comparison.question {
        let _ = writeln!(out, "<p>{}</p>", escape(question));
    }
    let _ = writeln!(
        out,
        "<div class=\"verdict {}\"><strong>{}</strong></div>",
        class(comparison),
        prose(&headline)
    );
    let rows: Vec<Vec<String>> = facts::figures(comparison).into_iter().map(Vec::from).collect();
    let top = rows.len().min(NUMBERS);
    if top > 0 {
        let _ = writeln!(out, "<div class=\"wide\">{}</div>", table(&facts::FIGURES, &rows[..top], 1..3));
    }
    html::figures(&mut out, charts, None);
    out.push_str("<h2>How far to trust it</h2>\n");
    let below = words::below(comparison);
    out.push_str(&paragraphs(&below.open));
    for (letter, system) in facts::systems(comparison) {
        let _ = writeln!(out, "<p>System {letter}: {}</p>", prose(&system));
    }
    let _ = writeln!(out, "<p class=\"pale\">{}</p>", prose(&basis(comparison)));
    if !below.folded.is_empty() {
        folded(&mut out, &format!("Reasons and notes ({})", below.folded.len()), &paragraphs(&below.folded));
    }
    folded(&mut out, "All figures", &table(&facts::FIGURES, &rows, 1..3));
    sides(&mut out, comparison);
    if !comparison.pairs.is_empty() {
        let header = ["pair", "order", "A", "B", "B is", "outcome"];
        folded(&mut out, "The pairs", &table(&header, &pairs(comparison), 2..4));
    }
    if comparison.method == Method::Stored {
        folded(&mut out, "The trials", &table(&["trial", "A", "B"], &trials(comparison), 1..3));
    }
    documents(&mut out, comparison);
    document(&headline, &out)
}

fn paragraphs(sentences: &[String]) -> String {
    sentences.iter().map(|sentence| format!("<p>{}</p>\n", prose(sentence))).collect()
}

/// Writes the workloads, the machine and the origin as JSON, each folded.
fn documents(out: &mut String, comparison: &Comparison) {
    let machine = comparison.environment.as_ref().map(serde_json::to_string_pretty);
    let details = [
        ("The workload of A with every key", Some(serde_json::to_string_pretty(&comparison.a.resolved))),
        ("The workload of B with every key", Some(serde_json::to_string_pretty(&comparison.b.resolved))),
        ("The machine", machine),
        ("The origin", Some(serde_json::to_string_pretty(&comparison.provenance))),
    ];
    for (title, json) in details {
        let Some(Ok(json)) = json else { continue };
        let lines: Vec<String> = visible_lines(&json).lines().map(escape).collect();
        folded(out, title, &format!("<pre>{}</pre>", lines.join("\n")));
    }
}

/// Returns the summary, fit for a pull request: the answer, at most three figures, the chart, and how far to trust it. The rest is
/// folded. Charts that are drawn are linked as files beside it.
pub(in crate::report) fn markdown(comparison: &Comparison, charts: &Charts) -> String {
    // Writing to a String cannot fail.
    let mut out = format!("**{}**\n\n", cell(&words::headline(comparison)));
    if let Some(question) = &comparison.question {
        let _ = writeln!(out, "{}\n", cell(question));
    }
    let rows = facts::figures(comparison);
    let top = rows.len().min(NUMBERS);
    out.push_str(&markdown_table(&facts::FIGURES, "---|---:|---:|---|---", &rows[..top]));
    summary::figures(&mut out, charts, None);
    let below = words::below(comparison);
    for line in &below.open {
        let _ = writeln!(out, "- {}", cell(line));
    }
    for (letter, system) in facts::systems(comparison) {
        let _ = writeln!(out, "- system {letter}: {}", cell(&system));
    }
    out.push('\n');
    if !below.folded.is_empty() {
        let lines: String = below.folded.iter().map(|line| format!("- {}\n", cell(line))).collect();
        markdown_folded(&mut out, &format!("Reasons and notes ({})", below.folded.len()), &lines);
    }
    if rows.len() > top {
        let table = markdown_table(&facts::FIGURES, "---|---:|---:|---|---", &rows[top..]);
        markdown_folded(&mut out, &format!("More figures ({})", rows.len() - top), &table);
    }
    let differences = facts::differences(comparison);
    out.push_str(&markdown_table(&["setting", "A", "B"], "---|---|---", &differences));
    let _ = writeln!(
        out,
        "A: {}  \nB: {}  ",
        cell(&facts::side(&comparison.a)),
        cell(&facts::side(&comparison.b))
    );
    let student =
        facts::student(comparison).map_or_else(String::new, |text| format!("; Student's t: {text}"));
    let _ = writeln!(
        out,
        "`{}`, band {}; {}{student}; {}",
        comparison.metric.path,
        words::share(comparison.band),
        facts::pairs(comparison),
        comparison.provenance.started_at
    );
    out
}

/// Returns a table in Markdown, and the empty line after it; empty without rows.
fn markdown_table<const N: usize>(header: &[&str; N], alignment: &str, rows: &[[String; N]]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let row = |row: &[String; N]| format!("| {} |\n", row.each_ref().map(|text| cell(text)).join(" | "));
    let rows: String = rows.iter().map(row).collect();
    format!("| {} |\n|{alignment}|\n{rows}\n", header.join(" | "))
}

/// Writes a section that is closed until a reader opens it.
fn markdown_folded(out: &mut String, title: &str, content: &str) {
    let _ = writeln!(out, "<details><summary>{title}</summary>\n\n{content}\n</details>\n");
}

fn class(comparison: &Comparison) -> &'static str {
    if let Some(calibration) = &comparison.calibration {
        return if calibration.is_at_fault { "bad" } else { "good" };
    }
    match comparison.effect.map(|effect| effect.conclusion) {
        Some(Conclusion::Better | Conclusion::NoDifference) => "good",
        Some(Conclusion::CannotTell) => "fair",
        Some(Conclusion::Worse) | None => "bad",
    }
}

fn basis(comparison: &Comparison) -> String {
    let direction = if comparison.metric.more_is_better { "more" } else { "less" };
    let mut text = format!(
        "`{}`, {direction} is better; band {}; {}",
        comparison.metric.path,
        words::share(comparison.band),
        facts::pairs(comparison)
    );
    if let Some(student) = facts::student(comparison) {
        let _ = write!(text, ". Student's t: {student}");
    }
    text
}

fn sides(out: &mut String, comparison: &Comparison) {
    let mut rows = vec![["what".to_owned(), facts::side(&comparison.a), facts::side(&comparison.b)]];
    rows.extend(facts::differences(comparison));
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    folded(out, "The two sides, and the settings that differ", &table(&["", "A", "B"], &rows, 0..0));
}

fn pairs(comparison: &Comparison) -> Vec<Vec<String>> {
    let unit = comparison.metric.unit;
    let row = |(number, pair): (usize, &PairRecord)| {
        let value = |value: Option<f64>| value.map_or_else(|| NONE.to_owned(), |it| words::value(it, unit));
        let by = pair.a.zip(pair.b).map_or_else(|| NONE.to_owned(), |(a, b)| words::difference(b / a));
        let outcome = match &pair.outcome {
            PairOutcome::Counted => "counted".to_owned(),
            PairOutcome::Failed { reason } => format!("failed: {reason}"),
            PairOutcome::IntegrityFailed { reason } => format!("integrity failed: {reason}"),
            PairOutcome::SetAside { reason } => format!("never in time: {reason}"),
        };
        let repeats: String =
            pair.repeats.iter().map(|reason| format!("; measured again: {reason}")).collect();
        let order = match pair.order {
            PairOrder::Ab => "A, B",
            PairOrder::Ba => "B, A",
        };
        vec![number.to_string(), order.to_owned(), value(pair.a), value(pair.b), by, outcome + &repeats]
    };
    (1..).zip(&comparison.pairs).map(row).collect()
}

/// Returns the value of the metric in each trial of two stored results.
fn trials(comparison: &Comparison) -> Vec<Vec<String>> {
    let (a, b) = (&comparison.a.values, &comparison.b.values);
    let value = |values: &[f64], index: usize| {
        values.get(index).map_or_else(|| NONE.to_owned(), |it| words::value(*it, comparison.metric.unit))
    };
    let row = |index: usize| vec![(index + 1).to_string(), value(a, index), value(b, index)];
    (0..a.len().max(b.len())).map(row).collect()
}

fn folded(out: &mut String, title: &str, content: &str) {
    html::folded(out, title, |out| {
        let _ = writeln!(out, "<div class=\"wide\">{content}</div>");
    });
}
