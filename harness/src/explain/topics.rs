//! Topics: the sections of the documents.

use super::document::{DOCUMENTS, flat, sections};
use super::{Entry, WordKind};
use std::collections::BTreeMap;

/// Returns an entry for each section of each document.
pub(super) fn entries() -> Vec<Entry> {
    let documents = DOCUMENTS.iter().flat_map(|(_, document)| sections(document));
    documents
        .map(|section| {
            let flat = flat(&section.text);
            Entry {
                kind: WordKind::Topic,
                name: section.heading,
                aliases: Vec::new(),
                facts: BTreeMap::new(),
                text: flat.text,
                see: Vec::new(),
            }
        })
        .collect()
}
