//! Exit codes that mean something, and the error that carries one through `anyhow`.

use std::fmt;

/// How a verb ended; the numbers are part of the command line's contract (docs/methodology.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// Done, flagged or not.
    Ok = 0,
    /// The world failed: disk, kernel, target.
    Runtime = 1,
    /// The command line or the workload file is wrong.
    Usage = 2,
    /// An SLO or a requirement was missed.
    SloMissed = 3,
    /// `--fail-on-regression` found one.
    Regression = 4,
    /// The measurement is invalid (or `--strict` met a flag).
    Invalid = 5,
    /// Records were lost, repeated, reordered or corrupted.
    Integrity = 6,
    /// Ctrl-C or a termination signal.
    Interrupted = 130,
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// A mistake of the caller's: the command line or a workload file. Ends the process with [`ExitStatus::Usage`].
#[derive(Debug)]
pub struct UsageError(pub String);

impl UsageError {
    /// An `anyhow` error that exits with 2 and shows `message`.
    pub fn error(message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(message.into()))
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// The status an error ends the process with: [`ExitStatus::Usage`] for a [`UsageError`] anywhere in its chain,
/// otherwise [`ExitStatus::Runtime`].
pub fn status_of(error: &anyhow::Error) -> ExitStatus {
    if error.chain().any(|cause| cause.is::<UsageError>()) { ExitStatus::Usage } else { ExitStatus::Runtime }
}
