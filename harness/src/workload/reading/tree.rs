//! A workload file as it was written: a tree of texts, each with its place in the file.
//!
//! Scalars stay text until the schema asks for a type, so that `off` is no boolean and `1.10` stays a name. Overrides
//! from the command line are put into the tree and keep their own origin. This module does not know the schema.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, MessageFormatter as _, Spanned, UserMessageFormatter};
use std::fmt;

/// The place where something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workload) struct Place {
    pub(in crate::workload) origin: Origin,
    /// Line, counted from 1.
    pub(in crate::workload) line: usize,
    /// Column in characters, counted from 1.
    pub(in crate::workload) column: usize,
    /// Length in characters.
    pub(in crate::workload) length: usize,
}

/// The text that a place is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::workload) enum Origin {
    /// The workload file.
    File,
    /// The override with this index.
    Override(usize),
}

/// A value and the place where it was written.
#[derive(Debug, Clone)]
pub(in crate::workload) struct Node {
    pub(in crate::workload) place: Place,
    pub(in crate::workload) value: Value,
}

#[derive(Debug, Clone)]
pub(in crate::workload) enum Value {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

/// The form in which a scalar was written. It decides the type where any type is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::workload) enum Style {
    /// Unquoted text that YAML takes for a number, a boolean or null.
    Bare,
    /// Text.
    Text,
}

/// A key of a map and the place where it was written.
#[derive(Debug, Clone)]
pub(in crate::workload) struct Key {
    pub(in crate::workload) name: String,
    pub(in crate::workload) place: Place,
}

/// The reason why a text is not valid YAML.
#[derive(Debug)]
pub(in crate::workload) struct SyntaxError {
    pub(in crate::workload) message: String,
    pub(in crate::workload) place: Option<Place>,
}

impl Node {
    /// Parses one YAML document.
    pub(in crate::workload) fn parse(text: &str, origin: Origin) -> Result<Self, SyntaxError> {
        let options = serde_saphyr::options! {
            with_snippet: false,
            non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::AsString,
        };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
            Ok(raw) => Ok(Reader { text, origin }.node(raw)),
            Err(error) => Err(SyntaxError {
                message: syntax_message(&error),
                place: error.location().map(|location| Reader { text, origin }.place(location)),
            }),
        }
    }

    /// Tells whether no value was written.
    pub(in crate::workload) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, style: Style::Bare } if matches!(&**text, "" | "~" | "null"))
    }

    pub(in crate::workload) fn is_map(&self) -> bool {
        matches!(self.value, Value::Map(_))
    }

    /// Describes this node in a message.
    pub(in crate::workload) fn found(&self) -> String {
        match &self.value {
            _ if self.is_null() => "nothing".into(),
            Value::Scalar { text, .. } => format!("`{text}`"),
            Value::List(_) => "a list".into(),
            Value::Map(_) => "a map".into(),
        }
    }

    /// Returns the node at a dotted path, if something was written there.
    pub(in crate::workload) fn find(&self, path: &str) -> Option<&Self> {
        path.split('.').try_fold(self, |node, name| match &node.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.name == name).map(|(_, child)| child),
            _ => None,
        })
    }

    /// Sets `value` at `path`. Missing maps are made on the way, and the value that was there before is dropped.
    pub(in crate::workload) fn set(&mut self, path: &[&str], value: Self) {
        let [first, rest @ ..] = path else {
            *self = value;
            return;
        };
        let place = value.place;
        if !matches!(self.value, Value::Map(_)) {
            *self = Self { place, value: Value::Map(Vec::new()) };
        }
        let Value::Map(entries) = &mut self.value else { return };
        if let Some((_, child)) = entries.iter_mut().find(|(key, _)| key.name == *first) {
            child.set(rest, value);
        } else {
            let mut child = Self { place, value: Value::Map(Vec::new()) };
            child.set(rest, value);
            entries.push((Key { name: (*first).to_owned(), place }, child));
        }
    }

    /// Removes the node at `path`, if there is one.
    pub(in crate::workload) fn remove(&mut self, path: &[&str]) {
        if let (Value::Map(entries), [first, rest @ ..]) = (&mut self.value, path) {
            if rest.is_empty() {
                entries.retain(|(key, _)| key.name != *first);
            } else if let Some((_, child)) = entries.iter_mut().find(|(key, _)| key.name == *first) {
                child.remove(rest);
            }
        }
    }

    /// Returns the keys of this map; none if the node is not a map.
    pub(in crate::workload) fn keys(&self) -> impl Iterator<Item = &Key> {
        let entries = if let Value::Map(entries) = &self.value { entries.as_slice() } else { &[] };
        entries.iter().map(|(key, _)| key)
    }
}

/// Returns the YAML library's message for users, without its advice to programmers.
fn syntax_message(error: &serde_saphyr::Error) -> String {
    match error.without_snippet() {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "a second YAML document begins here; a file holds one workload (`run` takes several files)".into()
        }
        other => UserMessageFormatter.format_message(other).into_owned(),
    }
}

/// A value as the YAML library returns it. Bare scalars do not have their original text yet.
enum Raw {
    Text(String),
    Bare,
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value, a list or a map")
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Bare)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Bare)
    }

    fn visit_i128<E>(self, _: i128) -> Result<Raw, E> {
        Ok(Raw::Bare)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Bare)
    }

    fn visit_u128<E>(self, _: u128) -> Result<Raw, E> {
        Ok(Raw::Bare)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Bare)
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Bare)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

/// Turns values of the YAML library into nodes of one text.
#[derive(Clone, Copy)]
struct Reader<'t> {
    text: &'t str,
    origin: Origin,
}

impl Reader<'_> {
    fn node(self, raw: Spanned<Raw>) -> Node {
        let value = match raw.value {
            Raw::Text(text) => Value::Scalar { text, style: Style::Text },
            Raw::Bare => Value::Scalar { text: self.written(raw.defined), style: Style::Bare },
            Raw::List(items) => Value::List(items.into_iter().map(|item| self.node(item)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let place = self.place(key.referenced);
                        (Key { name: key.value, place }, self.node(value))
                    })
                    .collect(),
            ),
        };
        Node { place: self.place(raw.referenced), value }
    }

    /// Returns the text of a scalar as the file has it. An alias has the text of its anchor.
    fn written(self, location: Location) -> String {
        let span = location.span();
        let range = span.byte_offset().zip(span.byte_len()).and_then(|(start, length)| {
            let start = usize::try_from(start).ok()?;
            Some(start..start.checked_add(usize::try_from(length).ok()?)?)
        });
        range.and_then(|range| self.text.get(range)).unwrap_or_default().trim().to_owned()
    }

    fn place(self, location: Location) -> Place {
        let small = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Place {
            origin: self.origin,
            line: small(location.line()),
            column: small(location.column()),
            length: small(location.span().len()),
        }
    }
}
