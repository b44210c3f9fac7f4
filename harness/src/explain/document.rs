//! A Markdown document as data: the rows of its tables, and its sections.

/// The documents whose words are explained.
pub(super) const WORKLOAD: &str = include_str!("../../../docs/workload.md");
pub(super) const METHODOLOGY: &str = include_str!("../../../docs/methodology.md");
pub(super) const DURABILITY: &str = include_str!("../../../docs/durability.md");

/// The documents, by the names that links to them use.
pub(super) const DOCUMENTS: [(&str, &str); 3] =
    [("workload.md", WORKLOAD), ("methodology.md", METHODOLOGY), ("durability.md", DURABILITY)];

/// One row of a table: the name in its first cell, and the other cells as they are written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) cells: Vec<String>,
}

/// A section: its heading, and the text up to the next heading of the same or a higher level.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) heading: String,
    pub(super) text: String,
}

/// Text without the marks of Markdown, and the topics that it links to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Flat {
    pub(super) text: String,
    pub(super) see: Vec<String>,
}

/// Returns the rows of every table whose first column has this title, and whose rows begin with a name in backticks.
pub(super) fn rows(document: &str, first_column: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut is_in_table = false;
    for line in document.lines() {
        match line.strip_prefix("| ") {
            None if !line.starts_with('|') => is_in_table = false,
            Some(cells) if cells.starts_with(&format!("{first_column} |")) => is_in_table = true,
            Some(cells) if is_in_table => rows.extend(row(cells)),
            _ => {}
        }
    }
    rows
}

fn row(cells: &str) -> Option<Row> {
    let mut cells = cells.trim_end().trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned());
    let name = cells.next()?.strip_prefix('`')?.strip_suffix('`')?.to_owned();
    Some(Row { name, cells: cells.collect() })
}

/// Returns the sections of a document, in order. A section includes those of lower levels below it.
pub(super) fn sections(document: &str) -> Vec<Section> {
    let lines: Vec<&str> = document.lines().collect();
    let heads: Vec<(usize, usize)> = headings(&lines);
    let section = |(at, &(line, level)): (usize, &(usize, usize))| {
        // The first heading is the document's title. Its section is the introduction alone.
        let is_end = |&&(_, other): &&(usize, usize)| at == 0 || other <= level;
        let end = heads[at + 1..].iter().find(is_end).map_or(lines.len(), |&(end, _)| end);
        Section {
            heading: lines[line][level..].trim().to_owned(),
            text: lines[line + 1..end].join("\n").trim().to_owned(),
        }
    };
    heads.iter().enumerate().map(section).collect()
}

/// Returns line and level of each heading. A line that begins with `#` in a block of code is none.
fn headings(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut is_code = false;
    let mut found = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        is_code ^= line.starts_with("```");
        let level = line.chars().take_while(|c| *c == '#').count();
        if level > 0 && !is_code {
            found.push((number, level));
        }
    }
    found
}

/// Removes emphasis and links. A link to a section of the documents becomes a topic to see.
pub(super) fn flat(markdown: &str) -> Flat {
    let mut see = Vec::new();
    let mut text = String::new();
    let mut rest = markdown;
    while let Some((before, label, target, after)) = next_link(rest) {
        text.push_str(before);
        text.push_str(label);
        see.extend(topic(target));
        rest = after;
    }
    text.push_str(rest);
    see.dedup();
    Flat { text: without_emphasis(&text), see }
}

/// Splits at the first link: the text before, the label, the target, and the text after.
fn next_link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let middle = text.find("](")?;
    let open = text[..middle].rfind('[')?;
    let close = middle + text[middle..].find(')')?;
    Some((&text[..open], &text[open + 1..middle], &text[middle + 2..close], &text[close + 1..]))
}

/// Returns the heading that a link's target means, if it is in one of the documents.
pub(super) fn topic(target: &str) -> Option<String> {
    let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
    let (_, document) = DOCUMENTS.iter().find(|(name, _)| *name == file)?;
    let sections = sections(document);
    let is_meant = |section: &&Section| anchor.is_empty() || anchor_of(&section.heading) == anchor;
    sections.iter().find(is_meant).map(|section| section.heading.clone())
}

/// Returns the anchor that a heading has on a page.
fn anchor_of(heading: &str) -> String {
    let lower = heading.to_lowercase();
    let kept = lower.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Removes `*` and `**` outside backticks.
fn without_emphasis(text: &str) -> String {
    let mut is_code = false;
    text.chars()
        .filter(|c| {
            is_code ^= *c == '`';
            is_code || *c != '*'
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_tables_with_that_first_column() {
        let text = "| a | b |\n|---|---|\n| `x` | 1 *one* |\n| y | 2 |\n\n| c |\n|---|\n| `z` |\n";
        let row = Row { name: "x".into(), cells: vec!["1 *one*".into()] };
        assert_eq!(rows(text, "a"), [row]);
    }

    #[test]
    fn a_section_ends_at_the_next_heading_of_its_level() {
        let text = "# T\nintro\n## A\n1\n### B\n2\n```sh\n# no heading\n```\n## C\n3\n";
        let found: Vec<_> = sections(text).into_iter().map(|it| (it.heading, it.text)).collect();
        let section = |heading: &str, text: &str| (heading.to_owned(), text.to_owned());
        let b = "2\n```sh\n# no heading\n```";
        assert_eq!(
            found,
            [
                section("T", "intro"),
                section("A", &format!("1\n### B\n{b}")),
                section("B", b),
                section("C", "3")
            ]
        );
    }

    #[test]
    fn links_become_topics_and_emphasis_goes() {
        let flat =
            flat("**late**: see [there](methodology.md#late-generators), `a * b` and [x](https://x.y)");
        assert_eq!(flat.text, "late: see there, `a * b` and x");
        assert_eq!(flat.see, ["Late generators"]);
    }

    #[test]
    fn every_link_between_the_documents_leads_to_a_heading() {
        for (file, document) in DOCUMENTS {
            let mut rest = document;
            while let Some((_, label, target, after)) = next_link(rest) {
                let is_ours = DOCUMENTS.iter().any(|(name, _)| target.split('#').next() == Some(name));
                assert!(!is_ours || topic(target).is_some(), "{file}: [{label}]({target})");
                rest = after;
            }
        }
    }
}
