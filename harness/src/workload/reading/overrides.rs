//! Keys given on the command line. They replace those of the file.

use super::tree::{Node, Origin, SyntaxError};
use crate::exit::UsageError;

/// A change to one key of a workload from the command line: the key is set or removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The option as the user wrote it, for messages: `--set log.segment_bytes=1MiB`.
    label: String,
    path: Vec<String>,
    /// The value as YAML; `None` removes the key.
    value: Option<String>,
}

impl Override {
    /// Parses the argument of `--set`: `dotted.key=value`, where the value is YAML.
    pub fn set(argument: &str) -> anyhow::Result<Self> {
        let wrong = || {
            UsageError::error(format!(
                "--set {argument}: write it as `dotted.key=value`, such as `log.segment_bytes=1MiB`"
            ))
        };
        let (key, value) = argument.split_once('=').ok_or_else(wrong)?;
        let path: Vec<String> = key.trim().split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(wrong());
        }
        let path = match path.as_slice() {
            // The keys of a sweep contain dots themselves.
            [sweep, key @ ..] if sweep == "sweep" && !key.is_empty() => vec![sweep.clone(), key.join(".")],
            _ => path,
        };
        Ok(Self { label: format!("--set {argument}"), path, value: Some(value.to_owned()) })
    }

    /// Returns the override of a flag that sets a key: `--trials 5` sets `trials`.
    pub fn flag(flag: &str, argument: &str, key: &str, value: &str) -> Self {
        let path = key.split('.').map(str::to_owned).collect();
        Self { label: format!("{flag} {argument}"), path, value: Some(value.to_owned()) }
    }

    /// Returns the override of a flag that removes a key of the file: `--rate` removes `load.in_flight`.
    pub fn removal(flag: &str, key: &str) -> Self {
        Self { label: flag.to_owned(), path: key.split('.').map(str::to_owned).collect(), value: None }
    }

    pub(in crate::workload) fn label(&self) -> &str {
        &self.label
    }

    /// Tells whether the override sets `key`, a section around it, or a key inside it.
    pub fn sets(&self, key: &str) -> bool {
        let mut wanted = key.split('.');
        self.value.is_some() && self.path.iter().all(|part| wanted.next().is_none_or(|wanted| wanted == part))
    }

    /// Applies the override to the file's tree. `index` is the position of this override among all of them.
    pub(in crate::workload) fn apply(&self, root: &mut Node, index: usize) -> Result<(), SyntaxError> {
        let path: Vec<&str> = self.path.iter().map(String::as_str).collect();
        match &self.value {
            Some(yaml) => root.set(&path, Node::parse(yaml, Origin::Override(index))?),
            None => root.remove(&path),
        }
        Ok(())
    }
}
