//! The first screen: the outcome of a run in at most 24 lines of a terminal.

use super::answer;
use super::comparison::systems;
use super::facts::{
    Intervals, STATISTICS, integrity, latency_notes, latency_rows, latency_title, load, settings,
};
use super::groups;
use super::limit;
use super::lines::lines;
use super::next::next;
use super::sweep::{Sweep, table};
use crate::escape::{visible, visible_lines};
use crate::result::{Point, RunResult};
use comfy_table::{CellAlignment, Table, presets};
use std::fmt::Write as _;
use std::path::Path;

/// The most lines of the screen.
const LINES_MAX: usize = 24;
/// Rows that the screen leaves out if it would be too long, the least important first. The report has every row.
const LESS_IMPORTANT: [&str; 5] = [groups::COMMITS, "pump", "ack pickup", "blocked", "CPU"];
/// The least rows of a sweep's table, also where the screen becomes longer.
const ROWS_MIN: usize = 3;
/// The most rows of a sweep's table that are all shown, also where the screen becomes longer: readers look for the settings that
/// the answer rules out.
const ROWS_WHOLE: usize = 8;
/// The most columns of a line, so that a terminal does not wrap it. Longer sentences are cut at a word.
const WIDTH: usize = 118;
/// The most columns of a cause at the end of a sentence that is cut.
const CAUSE_MAX: usize = WIDTH / 2;

/// Returns what was measured, how far to trust it, the results, and what to do next. `arguments` are the workload that the
/// command line named, and the flags that were typed for it.
pub fn first_screen(result: &RunResult, dir: &Path, arguments: &[String]) -> String {
    visible_lines(&screen(result, dir, arguments))
}

fn screen(result: &RunResult, dir: &Path, arguments: &[String]) -> String {
    if let Some(sweep) = Sweep::of(result) {
        return of_sweep(result, &sweep, dir);
    }
    let mut screen = String::new();
    for count in 0..=LESS_IMPORTANT.len() {
        screen = of_run(result, &LESS_IMPORTANT[..count], (dir, arguments));
        if screen.lines().count() <= LINES_MAX {
            break;
        }
    }
    screen
}

/// Returns the screen of a run without the rows in `without`.
fn of_run(result: &RunResult, without: &[&str], (dir, arguments): (&Path, &[String])) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let answer = answer::of(result);
    let _ = writeln!(out, "{}", title(result));
    for sentence in answer.sentences.iter().chain(&answer.more) {
        let _ = writeln!(out, "{}", cut(sentence));
    }
    let _ = writeln!(out, "{}", settings(result));
    trust(&mut out, result);
    let _ = writeln!(out, "{}", lines(&figures(result, without)));
    if let Some(point) = result.points.last() {
        let _ = writeln!(out, "{}", lines(&latencies(point, without)));
        for note in latency_notes(point) {
            let _ = writeln!(out, "  {}", cut(&note));
        }
        of_groups(&mut out, result);
        // The line of settings has what the acks mean.
        let systems = systems::sentences(result);
        systems.iter().skip(1).for_each(|sentence| {
            let _ = writeln!(out, "system     {}", cut_to(sentence, WIDTH - 11));
        });
        let _ = writeln!(out, "integrity  {}", integrity(result));
    }
    let _ = writeln!(out, "report     {}", dir.join("report.html").display());
    let _ = writeln!(out, "next       {}", next(result, arguments));
    out
}

/// Returns the screen of a sweep: its answer, how far to trust it, its table, and what else there is to say. The table has as
/// many rows as fit.
fn of_sweep(result: &RunResult, sweep: &Sweep<'_>, dir: &Path) -> String {
    let answer = answer::of(result);
    let mut out = format!("{}\n", title(result));
    for sentence in &answer.sentences {
        let _ = writeln!(out, "{}", wrapped(sentence));
    }
    let _ = writeln!(out, "{}", settings(result));
    trust(&mut out, result);
    let mut after = String::new();
    for sentence in &answer.more {
        let _ = writeln!(after, "{}", wrapped(sentence));
    }
    of_groups(&mut after, result);
    let systems = systems::sentences(result);
    for (index, sentence) in systems.iter().enumerate() {
        let label = if index == 0 { "systems" } else { "" };
        let _ = writeln!(after, "{label:<11}{}", cut_to(sentence, WIDTH - 11));
    }
    let _ = writeln!(after, "integrity  {}", integrity(result));
    let _ = writeln!(after, "report     {}", dir.join("report.html").display());
    let rows = sweep.combinations.len();
    let lines = |rows: usize| table::text(sweep, rows).lines().count();
    let others = out.lines().count() + after.lines().count() + 2;
    // A comparison of systems is worth a longer screen: no row of its table is left out for the sentences.
    let fits = |count: &usize| others + lines(*count) <= LINES_MAX + 3 * systems.len();
    let least = if rows <= ROWS_WHOLE { rows } else { ROWS_MIN };
    let rows = (least..=rows).rev().find(fits).unwrap_or(least);
    let _ = writeln!(out, "\n{}\n", table::text(sweep, rows));
    out.push_str(&after);
    out
}

/// Writes what happened to the consumer groups, if there is news about them.
fn of_groups(out: &mut String, result: &RunResult) {
    for (index, sentence) in groups::sentences(result).iter().enumerate() {
        let label = if index == 0 { "groups" } else { "" };
        let _ = writeln!(out, "{label:<11}{}", cut_to(sentence, WIDTH - 11));
    }
}

/// Writes how far to trust the result: the verdict, its first reason, and what limited the rate.
fn trust(out: &mut String, result: &RunResult) {
    let _ = writeln!(out, "{}", result.verdict);
    if let Some((reason, others)) = reason(result) {
        let more = if others > 0 { format!(" (and {others} more in the report)") } else { String::new() };
        for line in reason_lines(&visible(&reason), &more) {
            let _ = writeln!(out, "  {line}");
        }
    }
    for limit in limit::sentences(result) {
        let _ = writeln!(out, "limit      {}", cut_to(&limit, WIDTH - "limit      ".len()));
    }
}

/// Breaks text at spaces into lines of at most as many columns as the table of a sweep has.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > usize::from(table::WIDTH) {
            lines.push("  ".to_owned());
        } else if line > 0 {
            lines.last_mut().into_iter().for_each(|line| line.push(' '));
        }
        lines.last_mut().into_iter().for_each(|line| line.push_str(word));
    }
    lines.join("\n")
}

fn title(result: &RunResult) -> String {
    match &result.question {
        Some(question) => cut(&format!("{}: {}", visible(&result.name), visible(question))),
        None => visible(&result.name).into_owned(),
    }
}

/// Returns the weightiest reason for the verdict, and the number of the others.
fn reason(result: &RunResult) -> Option<(String, usize)> {
    let (first, others) = result.verdict.reasons.split_first()?;
    Some((first.clone(), others.len()))
}

/// Returns a reason as lines, with `more` at the end of the first. If it is too long for one line, the step that it advises gets a
/// line of its own.
fn reason_lines(reason: &str, more: &str) -> Vec<String> {
    let most = WIDTH - columns(more);
    match reason.rsplit_once("; ") {
        Some((said, advice)) if columns(reason) > most => {
            vec![format!("{}{more}", cut_to(said, most)), format!("  {}", cut(advice))]
        }
        _ => vec![format!("{}{more}", cut_to(reason, most))],
    }
}

/// Shortens a sentence to [`WIDTH`] columns.
fn cut(text: &str) -> String {
    cut_to(text, WIDTH)
}

/// Shortens a sentence to this many columns. An error names its cause last, so the end behind the last colon is kept.
fn cut_to(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.to_owned();
    }
    let cause = text.rsplit_once(": ").map_or("", |(_, cause)| cause);
    if cause.is_empty() || columns(cause) > CAUSE_MAX {
        return cut_at_word(text, most);
    }
    let room = most - columns(cause) - 1;
    format!("{} {cause}", cut_at_word(&text[..text.len() - cause.len()], room))
}

/// Shortens a text to this many columns, at a space.
fn cut_at_word(text: &str, most: usize) -> String {
    let short: String = text.chars().take(most - 1).collect();
    let at = short.rfind(' ').unwrap_or(short.len());
    format!("{}…", &short[..at])
}

fn columns(text: &str) -> usize {
    text.chars().count()
}

/// Returns the table of figures, one column per pass. Of the groups it has the commits alone, because the sentences on them say
/// the rest.
fn figures(result: &RunResult, without: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(std::iter::once(String::new()).chain(result.points.iter().map(load)));
    let has_commits = groups::are_commits_news(result);
    let is_shown = |name: &str| {
        let is_left_out = name == groups::COMMITS && !has_commits || groups::IN_SENTENCES.contains(&name);
        !without.contains(&name) && !is_left_out
    };
    for (name, cells) in groups::figure_rows(result).into_iter().filter(|(name, _)| is_shown(name)) {
        table.add_row(std::iter::once(name.to_owned()).chain(cells));
    }
    table
}

/// Returns the latencies of a pass. Rows that mean nothing under its load are left out.
fn latencies(point: &Point, without: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let shown = STATISTICS.map(|(title, _)| title).map(str::to_owned);
    table.set_header(std::iter::once(latency_title(point)).chain(shown));
    let rows = latency_rows(point, &STATISTICS, Intervals::OfP99).into_iter();
    for (title, cells) in rows.filter(|(title, _)| !without.contains(title)) {
        table.add_row(std::iter::once(title.to_owned()).chain(cells));
    }
    let columns = table.column_iter_mut().skip(1);
    columns.for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_of_a_long_reason_has_its_own_line() {
        assert_eq!(reason_lines("noise; wait", " (more)"), ["noise; wait (more)"]);
        let said = "noise of a kind ".repeat(6);
        let lines = reason_lines(&format!("{said}all over; wait for a quieter hour"), " (more)");
        assert_eq!(lines, [format!("{said}all over (more)"), "  wait for a quieter hour".to_owned()]);
    }

    #[test]
    fn a_long_reason_keeps_its_beginning_and_its_cause() {
        let reason =
            format!("the log failed: {}: Too many open files (os error 24)", "cannot write here ".repeat(9));
        let short = cut(&reason);
        assert!(short.starts_with("the log failed: cannot write here cannot"), "{short}");
        assert!(short.ends_with("… Too many open files (os error 24)"), "{short}");
        assert!(columns(&short) <= WIDTH, "{short}");
        let plain = format!("question: {}", "words and more ".repeat(20));
        assert!(cut(&plain).ends_with('…') && columns(&cut(&plain)) <= WIDTH);
        let unbroken = "ä".repeat(300);
        assert_eq!(columns(&cut(&unbroken)), WIDTH);
        assert_eq!(cut("short: enough"), "short: enough");
    }
}
