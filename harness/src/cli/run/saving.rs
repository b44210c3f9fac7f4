//! The place of a run's result: tried before anything is measured, and replaced by another one if it fails afterwards.

use crate::exit::ExitStatus;
use crate::interrupt;
use crate::report::{self, Drawn};
use crate::result::Artifact;
use crate::result::staging::Staging;
use crate::result::{Recording, store};
use crate::stderr;
use anyhow::Context as _;
use signal_hook::iterator::{Handle, Signals};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Watches for signals while a result is saved, until it is dropped. The first one is answered and noted, and the result is completed.
/// The second one ends the process.
pub(super) struct Saving {
    is_interrupted: Arc<AtomicBool>,
    handle: Handle,
}

impl Saving {
    /// Starts the watch.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub(super) fn watch() -> anyhow::Result<Self> {
        let mut signals = Signals::new(interrupt::signals()).context("cannot watch for Ctrl-C")?;
        let (handle, is_interrupted) = (signals.handle(), Arc::new(AtomicBool::new(false)));
        let raised = Arc::clone(&is_interrupted);
        let watch = move || {
            for _signal in signals.forever() {
                if raised.swap(true, Ordering::SeqCst) {
                    std::process::exit(i32::from(ExitStatus::Interrupted as u8));
                }
                stderr::line("interrupted: the result is being written (once more to end without it)");
            }
        };
        std::thread::Builder::new().name("signals".into()).spawn(watch).context("cannot start a thread")?;
        Ok(Self { is_interrupted, handle })
    }

    /// Whether a signal has come.
    pub(super) fn is_interrupted(&self) -> bool {
        self.is_interrupted.load(Ordering::SeqCst)
    }
}

impl Drop for Saving {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// A result that was saved.
#[derive(Debug)]
pub(super) struct Saved {
    /// Directory of the result.
    pub(super) directory: PathBuf,
    /// Whether the result is in the place that `--output` names.
    pub(super) is_where_asked: bool,
}

/// Saves the recording of a run below `output`, or in the directory of its unfinished sweep. If that fails, it is saved in
/// another place, and standard error names the place and the reason. Charts that fail cost the charts only.
///
/// # Errors
/// The result cannot be saved anywhere. It is then printed on standard output, as JSON.
pub(super) fn save(
    recording: &Recording,
    output: &Path,
    staging: Option<Staging>,
    is_whole: bool,
) -> anyhow::Result<Saved> {
    let Drawn { artifacts, faults } = report::draw(recording);
    faults.iter().for_each(|fault| stderr::line(format_args!("note: {fault}")));
    let unfinished = staging.as_ref().filter(|_| !is_whole).map(|staging| staging.dir().to_owned());
    let saved = match &unfinished {
        Some(dir) => in_place(&artifacts, |artifacts| {
            store::write_into(dir, recording, artifacts).map(|()| dir.clone())
        }),
        None => in_place(&artifacts, |artifacts| store::write(output, recording, artifacts)),
    };
    let error = match saved {
        Ok(directory) => {
            if let Some(staging) = staging.filter(|_| is_whole)
                && let Err(error) = staging.discard()
            {
                stderr::line(format_args!("note: {error:#}; the sweep's result is complete without it"));
            }
            return Ok(Saved { directory, is_where_asked: true });
        }
        Err(error) => error,
    };
    for place in other_places(output) {
        let written = in_place(&artifacts, |artifacts| store::write(&place, recording, artifacts));
        if let Ok(directory) = written {
            stderr::line(format_args!("vnotch: {error:#}; the result is in {} instead", directory.display()));
            return Ok(Saved { directory, is_where_asked: false });
        }
    }
    let document = serde_json::to_string_pretty(&recording.result)?;
    crate::cli::print(&format!("{document}\n")).context("the result is lost")?;
    Err(error.context("the result could not be saved anywhere, and is printed on standard output"))
}

/// Writes a result with its charts. If that fails, writes it without them, as it is smaller then.
fn in_place(
    artifacts: &[Artifact],
    write: impl Fn(&[Artifact]) -> anyhow::Result<PathBuf>,
) -> anyhow::Result<PathBuf> {
    write(artifacts).or_else(|error| {
        let directory = write(&[]).map_err(|_| error)?;
        stderr::line(format_args!(
            "note: {} has no charts, as they could not be written; `vnotch report` draws them",
            directory.display()
        ));
        Ok(directory)
    })
}

/// The places for a result that cannot be saved below `output`: the working directory, and the one for temporary files.
fn other_places(output: &Path) -> impl Iterator<Item = PathBuf> {
    let output = std::path::absolute(output).ok();
    let places = std::env::current_dir().ok().into_iter().chain([std::env::temp_dir()]);
    places.filter(move |place| output.as_ref() != Some(place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::consts::SIGHUP;
    use std::time::{Duration, Instant};

    #[test]
    fn a_signal_while_a_result_is_saved_is_noted_and_ends_nothing() {
        let saving = Saving::watch().unwrap();
        assert!(!saving.is_interrupted());
        signal_hook::low_level::raise(SIGHUP).unwrap();
        let begun = Instant::now();
        while !saving.is_interrupted() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(saving.is_interrupted());
    }
}
