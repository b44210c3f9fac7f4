//! Exit codes with a fixed meaning, and the error type that carries one through `anyhow`.

use std::fmt;

/// The outcome of a verb. The numbers are part of the command line's contract (docs/methodology.md, "Exit codes").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The verb did its work. The result may carry flags.
    Ok = 0,
    /// The disk, the kernel or the target failed.
    Runtime = 1,
    /// The command line or the workload file is wrong.
    Usage = 2,
    /// An SLO or a requirement was missed.
    SloMissed = 3,
    /// `compare` found a regression: side B is worse than side A by more than the band.
    Regression = 4,
    /// The measurement is invalid, or has a flag that `--strict` forbids.
    Invalid = 5,
    /// Records were lost, repeated, reordered or corrupted.
    Integrity = 6,
    /// Ctrl-C or a termination signal.
    Interrupted = 130,
}

impl ExitStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Ok,
        Self::Runtime,
        Self::Usage,
        Self::SloMissed,
        Self::Regression,
        Self::Invalid,
        Self::Integrity,
        Self::Interrupted,
    ];
}

impl From<ExitStatus> for std::process::ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

/// A mistake of the user in the command line or in a workload file. Ends the process with [`ExitStatus::Usage`].
#[derive(Debug)]
pub struct UsageError(pub String);

impl UsageError {
    /// Returns an `anyhow` error that shows `message` and exits with 2.
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

/// Returns the status with which an error ends the process: [`ExitStatus::Usage`] if its chain holds a [`UsageError`],
/// otherwise [`ExitStatus::Runtime`].
pub fn status_of(error: &anyhow::Error) -> ExitStatus {
    if error.chain().any(|cause| cause.is::<UsageError>()) { ExitStatus::Usage } else { ExitStatus::Runtime }
}
