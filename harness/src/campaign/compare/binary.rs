//! A binary of vnotch that measures one side of a comparison.

use crate::exit::UsageError;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// The link to the program of this process. It leads to the same program even if the file is replaced.
const THIS: &str = "/proc/self/exe";

/// A binary of vnotch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binary {
    /// Absolute path; `None` for the running vnotch.
    path: Option<PathBuf>,
    /// Length of the file, bytes.
    bytes: u64,
    /// When the file was changed last, ns since the Unix epoch.
    changed_ns: i128,
}

impl Binary {
    /// The running vnotch.
    ///
    /// # Errors
    /// The program of this process cannot be looked at.
    pub(crate) fn this() -> anyhow::Result<Self> {
        Self::described(None, Path::new(THIS)).context("cannot look at the running vnotch")
    }

    /// The binary at `path`, which the option `flag` names.
    ///
    /// # Errors
    /// A [`UsageError`] if the file does not exist, or cannot be executed.
    pub(crate) fn at(path: &Path, flag: &str) -> anyhow::Result<Self> {
        let refused = |why: &str| UsageError::error(format!("{flag}: {} {why}", path.display()));
        let found = fs::canonicalize(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                refused("does not exist; build it first, and name the file, such as target/release/vnotch")
            }
            _ => refused(&format!("cannot be used: {error}")),
        })?;
        let metadata = fs::metadata(&found).map_err(|error| refused(&format!("cannot be used: {error}")))?;
        if !metadata.is_file() {
            return Err(refused("is not a file; name a binary of vnotch"));
        }
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(refused("cannot be executed; name a binary of vnotch"));
        }
        Self::described(Some(found.clone()), &found)
            .with_context(|| format!("cannot read {}", path.display()))
    }

    fn described(path: Option<PathBuf>, file: &Path) -> std::io::Result<Self> {
        let metadata = fs::metadata(file)?;
        let changed_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Ok(Self { path, bytes: metadata.len(), changed_ns })
    }

    /// The file to execute.
    pub(crate) fn file(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(THIS))
    }

    /// The path as it was given; `None` for the running vnotch.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether the file is still the one that this value describes.
    pub(crate) fn is_unchanged(&self) -> bool {
        Self::described(self.path.clone(), self.file()).is_ok_and(|now| now == *self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_file_that_can_be_executed_is_a_binary() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| {
            let error = Binary::at(path, "--binary-b").unwrap_err();
            assert!(error.is::<UsageError>());
            error.to_string()
        };
        assert!(refusal(&dir.path().join("none")).contains("does not exist; build it first"));
        assert!(refusal(dir.path()).contains("is not a file"));
        let file = dir.path().join("file");
        fs::write(&file, "text").unwrap();
        assert!(refusal(&file).starts_with("--binary-b: ") && refusal(&file).contains("cannot be executed"));
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Binary::at(&file, "--binary-b").is_ok());
    }

    #[test]
    fn a_binary_that_is_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("vnotch");
        let write = |content: &str| {
            fs::write(&file, content).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        };
        write("first");
        let binary = Binary::at(&file, "--binary-a").unwrap();
        assert!(binary.is_unchanged());
        write("the second one");
        assert!(!binary.is_unchanged());
        fs::remove_file(&file).unwrap();
        assert!(!binary.is_unchanged());
        assert!(Binary::this().unwrap().is_unchanged());
    }
}
