//! The imports of a crate, read from its source: `use`, and paths such as `crate::a::b` or `super::b` anywhere else. Modules
//! for tests are left out.

use proc_macro2::{TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, Macro, UseTree, Visibility};

/// Re-exports that are followed at most.
const FOLLOW_MAX: usize = 8;
/// The folder that a path names is what counts between folders, whichever folder the item comes from.
const FOLLOW_NONE: usize = 0;

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    /// The file that imports, below `src`.
    pub file: String,
    /// Its line.
    pub line: usize,
    /// The folder of that file.
    pub from: String,
    /// The folder of the module that is imported.
    pub to: String,
}

/// A path as it stands in a file.
struct Mention {
    line: usize,
    /// The module that it is written in.
    module: Vec<String>,
    path: Vec<String>,
}

struct SourceFile {
    name: String,
    module: Vec<String>,
    mentions: Vec<Mention>,
    /// Names that it re-exports, and the paths behind them.
    exports: BTreeMap<String, Vec<String>>,
}

/// The source of a crate.
pub(crate) struct Crate {
    files: Vec<SourceFile>,
    modules: BTreeSet<Vec<String>>,
}

impl Crate {
    /// Reads every file that belongs to the crate outside of tests.
    pub(crate) fn read(src: &Path) -> Self {
        let mut files = Vec::new();
        let root = ["lib.rs", "main.rs"].into_iter().map(|name| src.join(name)).find(|path| path.exists());
        read_file(src, &root.expect("a crate has a root file"), Vec::new(), &mut files);
        let modules = files.iter().map(|file| file.module.clone()).collect();
        Self { files, modules }
    }

    /// The folders right below `src`.
    pub(crate) fn folders(&self) -> BTreeSet<String> {
        self.files.iter().filter(|file| file.module.len() > 1).map(|file| file.module[0].clone()).collect()
    }

    /// How many files lie in each folder.
    pub(crate) fn files_by_folder(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for file in &self.files {
            let folder = Path::new(&file.name).parent().expect("a file lies in a folder");
            *counts.entry(folder.display().to_string()).or_default() += 1;
        }
        counts
    }

    /// Imports from one folder into another.
    pub(crate) fn uses_between_folders(&self) -> BTreeSet<Use> {
        let folders = self.folders();
        self.uses().filter(|used| folders.contains(&used.from) && used.from != used.to).collect()
    }

    /// Imports of a folder by a file right below `src`, but for the crate's root.
    pub(crate) fn uses_by_root_files(&self) -> Vec<Use> {
        let folders = self.folders();
        self.uses().filter(|used| !used.from.is_empty() && !folders.contains(&used.from)).collect()
    }

    /// Imports of folders.
    fn uses(&self) -> impl Iterator<Item = Use> {
        let folders = self.folders();
        self.files.iter().flat_map(move |file| {
            let folders = folders.clone();
            file.mentions.iter().filter_map(move |mention| {
                let to = self.resolve(&mention.module, &mention.path, FOLLOW_NONE)?.first()?.clone();
                let from = file.module.first().cloned().unwrap_or_default();
                folders.contains(&to).then(|| Use { file: file.name.clone(), line: mention.line, from, to })
            })
        })
    }

    /// Edges between the modules that have the same parent, by parent.
    pub(crate) fn sibling_edges(&self) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
        let mut edges: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for file in &self.files {
            for target in file.mentions.iter().filter_map(|mention| self.target(mention)) {
                let common = file.module.iter().zip(&target).take_while(|(a, b)| a == b).count();
                // The crate's root has a table; a parent and its child belong together.
                if common == 0 || common >= file.module.len().min(target.len()) {
                    continue;
                }
                let siblings = edges.entry(file.module[..common].join("/")).or_default();
                siblings.entry(file.module[common].clone()).or_default().insert(target[common].clone());
            }
        }
        edges
    }

    /// The module that a path leads to, behind re-exports; `None` if it leads out of the crate.
    fn target(&self, mention: &Mention) -> Option<Vec<String>> {
        self.resolve(&mention.module, &mention.path, FOLLOW_MAX)
    }

    /// The module that a path leads to, with up to `follow` re-exports between.
    fn resolve(&self, module: &[String], path: &[String], follow: usize) -> Option<Vec<String>> {
        let mut rest = path;
        let mut found = match path.first()?.as_str() {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().checked_sub(1)?].to_vec(),
            _ => return None,
        };
        rest = &rest[1..];
        while let Some((next, after)) = rest.split_first() {
            if next == "super" {
                found.pop();
            } else {
                let mut child = found.clone();
                child.push(next.clone());
                if self.modules.contains(&child) {
                    found = child;
                } else {
                    let exported = self.files.iter().find(|file| file.module == found)?.exports.get(next);
                    return match exported {
                        Some(behind) if follow > 0 => {
                            self.resolve(&found, behind, follow - 1).or(Some(found))
                        }
                        _ => Some(found),
                    };
                }
            }
            rest = after;
        }
        Some(found)
    }
}

/// A circle in a graph, if there is one, with its first node again at the end.
pub(crate) fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| walk(edges, start, &mut Vec::new(), &mut done))
}

fn walk(
    edges: &BTreeMap<String, BTreeSet<String>>,
    node: &str,
    way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(begin) = way.iter().position(|earlier| earlier == node) {
        return Some([&way[begin..], &[node.to_owned()]].concat());
    }
    if done.contains(node) {
        return None;
    }
    way.push(node.to_owned());
    let found = edges.get(node).into_iter().flatten().find_map(|next| walk(edges, next, way, done));
    way.pop();
    done.insert(node.to_owned());
    found
}

fn read_file(src: &Path, path: &Path, module: Vec<String>, files: &mut Vec<SourceFile>) {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = Reader {
        module: module.clone(),
        mentions: Vec::new(),
        exports: BTreeMap::new(),
        children: Vec::new(),
    };
    reader.visit_file(&file);
    let children: Vec<(Vec<String>, PathBuf)> = reader
        .children
        .into_iter()
        .map(|child| {
            let below = src.join(child.join("/"));
            let path =
                [below.with_extension("rs"), below.join("mod.rs")].into_iter().find(|path| path.exists());
            (child, path.expect("a module has a file"))
        })
        .collect();
    files.push(SourceFile {
        name: path.strip_prefix(src).expect("it lies below src").display().to_string(),
        module,
        mentions: reader.mentions,
        exports: reader.exports,
    });
    for (child, path) in children {
        read_file(src, &path, child, files);
    }
}

/// Collects what one file mentions.
struct Reader {
    module: Vec<String>,
    mentions: Vec<Mention>,
    exports: BTreeMap<String, Vec<String>>,
    children: Vec<Vec<String>>,
}

impl Reader {
    fn mention(&mut self, line: usize, path: Vec<String>) {
        if path.first().is_some_and(|first| ["crate", "self", "super"].contains(&first.as_str())) {
            self.mentions.push(Mention { line, module: self.module.clone(), path });
        }
    }

    fn mention_tree(&mut self, line: usize, tree: &UseTree, prefix: &[String], is_export: bool) {
        let with = |name: String| [prefix, &[name]].concat();
        match tree {
            UseTree::Path(path) => {
                self.mention_tree(line, &path.tree, &with(path.ident.to_string()), is_export);
            }
            UseTree::Name(name) => self.mention_name(line, (name.ident.to_string(), None), prefix, is_export),
            UseTree::Rename(name) => {
                let names = (name.ident.to_string(), Some(name.rename.to_string()));
                self.mention_name(line, names, prefix, is_export);
            }
            UseTree::Glob(_) => self.mention(line, prefix.to_vec()),
            UseTree::Group(group) => {
                group.items.iter().for_each(|tree| self.mention_tree(line, tree, prefix, is_export));
            }
        }
    }

    fn mention_name(
        &mut self,
        line: usize,
        (name, alias): (String, Option<String>),
        prefix: &[String],
        is_export: bool,
    ) {
        let path =
            if name == "self" { prefix.to_vec() } else { [prefix, std::slice::from_ref(&name)].concat() };
        if is_export {
            // `pub use child::Name` is relative to the module that says so.
            let is_relative = !["crate", "self", "super"].contains(&path[0].as_str());
            let path =
                if is_relative { [&["self".to_owned()], path.as_slice()].concat() } else { path.clone() };
            self.exports.insert(alias.unwrap_or(name), path);
        }
        self.mention(line, path);
    }

    fn mention_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut line = 0;
        for token in tokens {
            match token {
                TokenTree::Group(group) => {
                    self.mention(line, std::mem::take(&mut path));
                    self.mention_tokens(group.stream());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {}
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    if ["crate", "super"].contains(&word.as_str()) && path.is_empty() {
                        line = ident.span().start().line;
                        path.push(word);
                    } else if !path.is_empty() {
                        path.push(word);
                    }
                }
                _ => self.mention(line, std::mem::take(&mut path)),
            }
        }
        self.mention(line, path);
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes: &[Attribute] = match item {
            Item::Mod(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Const(item) => &item.attrs,
            _ => &[],
        };
        if !attributes.iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        self.module.push(item.ident.to_string());
        if item.content.is_some() {
            visit::visit_item_mod(self, item);
        } else {
            self.children.push(self.module.clone());
        }
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let line = item.use_token.span.start().line;
        let is_export = !matches!(item.vis, Visibility::Inherited);
        self.mention_tree(line, &item.tree, &[], is_export);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if names.len() > 1 {
            let line = path.segments[0].ident.span().start().line;
            self.mention(line, names);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.mention_tokens(item.tokens.clone());
        visit::visit_macro(self, item);
    }

    fn visit_visibility(&mut self, _: &'ast Visibility) {
        // `pub(in crate::a)` imports nothing.
    }
}

/// Whether an attribute is `#[cfg(test)]`, alone or with other conditions.
fn is_for_tests(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.meta.require_list().is_ok_and(|list| {
            let words: Vec<String> = list.tokens.clone().into_iter().map(|token| token.to_string()).collect();
            words.iter().any(|word| word == "test") && words[0] != "not"
        })
}
