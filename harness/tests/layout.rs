//! The layout of both crates: which folder may import which, as the tables in ARCHITECTURE.md say, and that no two files
//! import each other in a circle.

#[path = "layout/imports.rs"]
mod imports;

use imports::{Crate, Use};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The table of arrows of one crate: folder → the folders that it may use.
///
/// In ARCHITECTURE.md it follows the comment `<!-- arrows: NAME -->`, one folder a row.
fn arrows(name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let (_, table) = text.split_once(&format!("<!-- arrows: {name} -->")).expect("the table of arrows");
    let rows = table.trim_start().lines().take_while(|line| line.starts_with('|')).skip(2);
    let words = |cell: &str| {
        cell.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
    };
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        (cells[0].trim().to_owned(), words(cells[1]))
    })
    .collect()
}

/// The crates, with the name of their table.
fn crates() -> [(&'static str, Crate); 2] {
    ["engine", "harness"].map(|name| (name, Crate::read(&root().join(name).join("src"))))
}

#[test]
fn every_file_that_the_map_names_exists() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md can be read");
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.')));
    let missing: Vec<&str> = words
        .filter(|word| word.ends_with(".rs") && word.contains('/'))
        .filter(|word| {
            ["", "engine/src", "harness/src"].iter().all(|base| !root().join(base).join(word).exists())
        })
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md names files that do not exist: {missing:?}");
}

#[test]
fn every_folder_stands_in_the_table_and_every_row_is_a_folder() {
    for (name, krate) in crates() {
        let rows: BTreeSet<String> = arrows(name).into_keys().collect();
        assert_eq!(
            krate.folders(),
            rows,
            "{name}: the folders of src, and the rows of the table in ARCHITECTURE.md"
        );
    }
}

#[test]
fn the_tables_have_no_circle() {
    for (name, _) in crates() {
        let arrows = arrows(name);
        let edges = arrows.iter().map(|(from, to)| (from.clone(), to.clone())).collect();
        assert_eq!(imports::circle(&edges), None, "{name}: two folders must not use each other");
    }
}

#[test]
fn folders_import_only_what_the_table_allows() {
    let mut wrong = Vec::new();
    for (name, krate) in crates() {
        let arrows = arrows(name);
        for Use { file, from, to, line } in krate.uses_between_folders() {
            let is_allowed = arrows.get(&from).is_some_and(|allowed| allowed.contains(&to));
            if !is_allowed {
                wrong.push(format!("{name}/src/{file}:{line}: `{from}` uses `{to}`"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\nMove what both need into a folder that both may use, or pass it in. If the arrow is right, add it to the \
         table in ARCHITECTURE.md and say why in the commit.",
        wrong.join("\n")
    );
}

#[test]
fn root_files_import_no_folder() {
    let mut wrong = Vec::new();
    for (name, krate) in crates() {
        let uses = krate.uses_by_root_files().into_iter();
        wrong.extend(uses.map(|used| format!("{name}/src/{}:{}: uses `{}`", used.file, used.line, used.to)));
    }
    assert!(wrong.is_empty(), "{}\nA root file is used by every folder, so it uses none.", wrong.join("\n"));
}

#[test]
fn no_two_sibling_files_import_each_other_in_a_circle() {
    let mut circles = Vec::new();
    for (name, krate) in crates() {
        circles.extend(krate.sibling_edges().into_iter().filter_map(|(folder, edges)| {
            let circle = imports::circle(&edges)?;
            Some(format!("{name}/src/{folder}: {}", circle.join(" → ")))
        }));
    }
    assert!(
        circles.is_empty(),
        "{}\nMove the type that closes the circle into a file of its own, which both import.",
        circles.join("\n")
    );
}

#[test]
fn a_folder_has_at_most_fifteen_files() {
    let mut full = Vec::new();
    for (name, krate) in crates() {
        let folders = krate.files_by_folder().into_iter().filter(|(_, files)| *files > 15);
        full.extend(folders.map(|(folder, files)| format!("{name}/src/{folder} has {files} files")));
    }
    assert!(full.is_empty(), "{}\nGroup what belongs together in a folder below it.", full.join("\n"));
}

/// Returns the paths of the pages that people read.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).expect("docs can be read");
    let docs = docs.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let is_page = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "md");
    let named = ["README.md", "ARCHITECTURE.md", "results/README.md"].map(|name| root().join(name));
    docs.filter(is_page).chain(named).collect()
}

/// Adds the text of every source file and script below `path`.
fn add_sources(path: &Path, text: &mut String) {
    for entry in std::fs::read_dir(path).expect("a folder can be read").filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            add_sources(&path, text);
        } else if let Ok(source) = std::fs::read_to_string(&path) {
            text.push_str(&source);
        }
    }
}

#[test]
fn every_environment_variable_that_a_page_names_is_read_somewhere() {
    let mut sources = String::new();
    for folder in ["engine/src", "engine/tests", "harness/src", "harness/tests", "scripts"] {
        add_sources(&root().join(folder), &mut sources);
    }
    for page in pages() {
        let text = std::fs::read_to_string(&page).expect("a page can be read");
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c == '_'));
        let unknown: Vec<&str> =
            words.filter(|word| word.starts_with("VNOTCH_") && !sources.contains(word)).collect();
        assert!(unknown.is_empty(), "{} names variables that nothing reads: {unknown:?}", page.display());
    }
}
