//! `report.html`: one file that needs no other and no network, for a screen by day or night, and for paper.

use super::answer::{self, Answer};
use super::chart::{Chart, Charts};
use super::comparison::systems;
use super::facts::{self, Intervals, STATISTICS};
use super::groups;
use super::limit;
use super::sweep::notes::Place;
use super::sweep::table::Cells;
use super::sweep::{self, Sweep};
use crate::escape::{visible, visible_lines};
use crate::result::{Recording, RunResult, VerdictStatus};
use std::fmt::Write as _;
use std::ops::Range;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #222; --pale: #666; --line: #ddd; --paper: #fff; --card: #f6f6f4;
  --good: #00785a; --fair: #a06a00; --bad: #b03a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --pale: #a0a0a0; --line: #444; --paper: #181818;
  --card: #242424; --good: #3ecf9f; --fair: #f0b840; --bad: #ff8a50; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 64rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, 'DejaVu Sans', Verdana, sans-serif; }
h1 { margin: 0; font-size: 1.7rem; } h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem; }
p { margin: .3rem 0; } .said { margin: .7rem 0; } .answer { margin: .9rem 0; font-size: 1.2rem; line-height: 1.4; }
.numbers { display: flex; flex-wrap: wrap; gap: .8rem 2.4rem; margin: 1rem 0; } .numbers strong { font-size: 1.7rem; }
.numbers div { display: flex; flex-direction: column; } .numbers span { color: var(--pale); } code { font-size: .92em; background: var(--card); }
.pale { color: var(--pale); }
.verdict { margin: 1.2rem 0; padding: .8rem 1rem; border-left: .4rem solid var(--fair); background: var(--card); }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.verdict strong { font-size: 1.1rem; } .verdict ul { margin: .4rem 0 0; padding-left: 1.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
figure { margin: 1rem 0; padding: .5rem; background: #fff; border: 1px solid var(--line); break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; }
pre { padding: .8rem; background: var(--card); overflow-x: auto; font-size: 12px; }
summary { cursor: pointer; margin-top: 1rem; font-weight: 600; }
@media print { body { max-width: none; padding: 0; } details::details-content { content-visibility: visible; } }
";

/// Returns the whole page.
pub(super) fn page(recording: &Recording, charts: &Charts) -> String {
    let result = &recording.result;
    let mut out = format!("<h1>{}</h1>\n", escape(&result.name));
    if let Some(question) = &result.question {
        let _ = writeln!(out, "<p>{}</p>", escape(question));
    }
    let answer = answer::of(result);
    top(&mut out, &answer);
    let shown = charts.first_of(answer.charts);
    shown.into_iter().for_each(|chart| figure(&mut out, chart));
    verdict(&mut out, result);
    let _ = writeln!(out, "<p class=\"pale\">{}</p>", escape(&facts::settings(result)));
    let systems = systems::sentences(result);
    if !systems.is_empty() {
        let items = systems.iter().map(|sentence| format!("<li>{}</li>", prose(sentence)));
        let _ = writeln!(out, "<p>The systems:</p>\n<ul>{}</ul>", items.collect::<String>());
    }
    folded(&mut out, "All results", |out| match Sweep::of(result) {
        Some(sweep) => of_sweep(out, &sweep),
        None => of_points(out, result),
    });
    folded(&mut out, "More charts", |out| figures(out, charts, shown.map(|chart| chart.name)));
    let _ = writeln!(out, "<p>Integrity: {}</p>", prose(&facts::integrity(result)));
    provenance(&mut out, result);
    document(&format!("{}: {}", result.name, result.verdict), &out)
}

/// Returns a complete page with a title and a body of markup.
pub(super) fn document(title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n",
        escape(title)
    )
}

/// Writes the answer, its numbers, and what else there is to say.
fn top(out: &mut String, answer: &Answer) {
    for sentence in &answer.sentences {
        let _ = writeln!(out, "<p class=\"answer\">{}</p>", prose(sentence));
    }
    if !answer.numbers.is_empty() {
        out.push_str("<div class=\"numbers\">");
        for (what, value) in &answer.numbers {
            let (median, around) =
                value.split_once(" (").map_or((value.as_str(), ""), |(a, b)| (a, b.trim_end_matches(')')));
            let _ = write!(
                out,
                "<div><strong>{}</strong><span>{}</span><span>{}</span></div>",
                escape(median),
                escape(around),
                escape(what)
            );
        }
        out.push_str("</div>\n");
    }
    for sentence in &answer.more {
        let _ = writeln!(out, "<p class=\"said\">{}</p>", prose(sentence));
    }
}

/// Writes a section that is closed until a reader opens it.
pub(super) fn folded(out: &mut String, title: &str, write: impl FnOnce(&mut String)) {
    let _ = writeln!(out, "<details><summary>{title}</summary>");
    write(out);
    out.push_str("</details>\n");
}

fn figure(out: &mut String, chart: &Chart) {
    let _ = writeln!(out, "<figure role=\"img\" aria-label=\"{}\">\n{}\n</figure>", chart.alt, chart.svg);
}

/// Writes the charts except `shown` as figures, and a line for each chart that is not drawn.
pub(super) fn figures(out: &mut String, charts: &Charts, shown: Option<&str>) {
    for chart in charts.drawn.iter().filter(|chart| Some(chart.name) != shown) {
        figure(out, chart);
    }
    for remark in charts.remarks() {
        let _ = writeln!(out, "<p class=\"pale\">{}</p>", prose(&remark));
    }
}

/// Returns a table of text. The columns in `numbers` are aligned to the right.
pub(super) fn table(header: &[impl AsRef<str>], rows: &[Vec<String>], numbers: Range<usize>) -> String {
    let class = |index| if numbers.contains(&index) { " class=\"number\"" } else { "" };
    let cell = |tag: &str, index, text: &str| format!("<{tag}{}>{}</{tag}>", class(index), prose(text));
    let header = header.iter().enumerate().map(|(index, text)| cell("th", index, text.as_ref()));
    let mut out = format!("<table>\n<tr>{}</tr>\n", header.collect::<String>());
    for row in rows {
        let cells = row.iter().enumerate().map(|(index, text)| cell("td", index, text));
        let _ = writeln!(out, "<tr>{}</tr>", cells.collect::<String>());
    }
    out + "</table>\n"
}

fn verdict(out: &mut String, result: &RunResult) {
    let class = match result.verdict.status {
        VerdictStatus::Valid if result.verdict.flags.is_empty() => "good",
        VerdictStatus::Valid => "fair",
        _ => "bad",
    };
    let text = prose(&result.verdict.to_string());
    let _ = write!(out, "<div class=\"verdict {class}\"><strong>{text}</strong>");
    let list = |reasons: &[String]| {
        let items: String = reasons.iter().map(|reason| format!("<li>{}</li>", prose(reason))).collect();
        format!("<ul>{items}</ul>")
    };
    if let Some((first, rest)) = result.verdict.reasons.split_first() {
        out.push_str(&list(std::slice::from_ref(first)));
        if !rest.is_empty() {
            let _ = write!(out, "<details><summary>{} more</summary>{}</details>", rest.len(), list(rest));
        }
    }
    out.push_str("</div>\n");
    for limit in limit::sentences(result) {
        let _ = writeln!(out, "<p class=\"said\">limit: {}</p>", prose(&limit));
    }
    let of_groups = groups::sentences(result);
    if !of_groups.is_empty() {
        let _ = writeln!(out, "<p class=\"said\">groups: {}</p>", prose(&of_groups.join("; ")));
    }
}

/// Writes the prices of a sweep, if it asks for them, and its combinations.
fn of_sweep(out: &mut String, sweep: &Sweep<'_>) {
    if let Some(prices) = sweep::price_table::cells(sweep) {
        out.push_str("<h2>Prices</h2>\n");
        table_of(out, &prices);
        out.push_str("<h2>Combinations</h2>\n");
    }
    table_of(out, &sweep::table::cells(sweep, Place::Page));
}

/// Writes a table of a sweep with its notes.
fn table_of(out: &mut String, cells: &Cells) {
    let numbers = cells.settings..cells.header.len() - 1;
    let _ = writeln!(out, "<div class=\"wide\">{}</div>", table(&cells.header, &cells.rows, numbers));
    for note in &cells.notes {
        let _ = writeln!(out, "<p class=\"pale\">{}</p>", prose(note));
    }
}

fn of_points(out: &mut String, result: &RunResult) {
    out.push_str("<h2>Throughput</h2>\n<div class=\"wide\"><table>\n<tr><th></th>");
    for point in &result.points {
        let _ = write!(out, "<th>{}</th>", escape(&facts::load(point)));
    }
    out.push_str("</tr>\n");
    for (name, cells) in groups::figure_rows(result) {
        let cells: String = cells.iter().map(|text| format!("<td>{}</td>", escape(text))).collect();
        let _ = writeln!(out, "<tr><th>{name}</th>{cells}</tr>");
    }
    out.push_str(
        "</table></div>\n<p class=\"pale\">of ceiling: share of the bare disk's rate with the same writes · of device: share of \
         the disk's best rate, which is that of writes without flushes, then the time of one synced 4 KiB write of the bare disk (median) · CPU: busy cores by kind of thread (io: the kernel's io_uring workers) · pump: what the shards' pumps did with their wall time.</p>\n\
         <h2>Latency</h2>\n",
    );
    for point in &result.points {
        let _ =
            write!(out, "<div class=\"wide\"><table>\n<tr><th>{}</th>", escape(&facts::latency_title(point)));
        STATISTICS.iter().for_each(|(title, _)| {
            let _ = write!(out, "<th class=\"number\">{title}</th>");
        });
        out.push_str("</tr>\n");
        for (title, cells) in facts::latency_rows(point, &STATISTICS, Intervals::All) {
            let _ = write!(out, "<tr><th>{title}</th>");
            cells.iter().for_each(|cell| {
                let _ = write!(out, "<td class=\"number\">{}</td>", escape(cell));
            });
            out.push_str("</tr>\n");
        }
        out.push_str("</table></div>\n");
        for note in facts::latency_notes(point) {
            let _ = writeln!(out, "<p>{}</p>", escape(&note));
        }
    }
    out.push_str(
        "<p class=\"pale\">response: due → acked · own: response without the wait for the generator · pacing: due → handled \
         by the generator · blocked: ready → accepted · service: accepted → acked · ack pickup: acked → seen by the load \
         thread · end-to-end: due → received by a consumer. Each value is the median of the trials.</p>\n",
    );
}

fn provenance(out: &mut String, result: &RunResult) {
    let build = &result.provenance.build;
    let dirty = if build.git_dirty == Some(true) { ", with local changes" } else { "" };
    let tags =
        result.provenance.tags.iter().map(|(key, value)| format!(" · {key}={value}")).collect::<String>();
    let _ = writeln!(
        out,
        "<h2>Build and machine</h2>\n<p>{}</p>\n<p>{}</p>",
        escape(&format!(
            "vnotch {} ({}{dirty}, {}) · started {} · took {:.0} s · seed {}{tags}",
            build.version,
            build.git_revision,
            build.profile,
            result.provenance.started_at,
            result.elapsed_s,
            result.provenance.seed
        )),
        escape(&format!(
            "{} · {} · {} cores",
            result.environment.cpu.model.as_deref().unwrap_or("unknown processor"),
            result.environment.kernel,
            result.environment.cpu.cores_online
        ))
    );
    let details: [(&str, serde_json::Result<String>); 3] = [
        ("The workload with all defaults filled in", serde_json::to_string_pretty(&result.workload)),
        ("The machine", serde_json::to_string_pretty(&result.environment)),
        ("The build and the target", serde_json::to_string_pretty(&result.provenance)),
    ];
    for (title, json) in details {
        let Ok(json) = json else { continue };
        let _ = writeln!(
            out,
            "<details><summary>{title}</summary><pre>{}</pre></details>",
            escape_markup(&visible_lines(&json))
        );
    }
}

/// Returns escaped text, in which the parts between backticks are marked as code.
pub(super) fn prose(text: &str) -> String {
    let parts = escape(text);
    let parts: Vec<&str> = parts.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return parts.join("`");
    }
    let marked = parts.iter().enumerate();
    marked
        .map(|(index, part)| if index % 2 == 1 { format!("<code>{part}</code>") } else { (*part).to_owned() })
        .collect()
}

/// Returns text that is escaped, so that it is not read as markup. Control characters are shown.
pub(super) fn escape(text: &str) -> String {
    escape_markup(&visible(text))
}

fn escape_markup(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::prose;

    #[test]
    fn commands_are_set_apart_and_nothing_is_markup() {
        assert_eq!(prose("a <b> `c` d"), "a &lt;b&gt; <code>c</code> d");
        assert_eq!(prose("one ` alone"), "one ` alone");
        assert_eq!(prose("a\u{1b}\nb"), "a\\u{1b}\\nb");
    }
}
