//! Signals during a run. The first signal ends the run early and keeps the finished trials. The second removes the data and ends
//! the process. So does the first one, if nothing was measured yet and the run does not end by itself: a system with thousands
//! of partitions takes long to open.

use crate::exit::ExitStatus;
use crate::interrupt::signals;
use crate::stderr;
use crate::trial::data_dir::DataDir;
use anyhow::Context as _;
use signal_hook::iterator::{Handle, Signals};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the data is removed again before the process ends.
const REMOVALS_MAX: u32 = 20;

/// The time that an interrupted run has to end by itself, if it has measured nothing yet.
const GRACE: Duration = Duration::from_millis(1500);

/// Watches for signals until it is dropped.
#[derive(Debug)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
    measured: Arc<AtomicBool>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Interrupt {
    /// Starts the watch. At a second signal the content of `data_dir` is removed, with errors ignored, and the process ends.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub fn watch(data_dir: Arc<DataDir>) -> anyhow::Result<Self> {
        let mut signals = Signals::new(signals()).context("cannot watch for Ctrl-C")?;
        let (stop, measured) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (handle, raised, has_result) = (signals.handle(), Arc::clone(&stop), Arc::clone(&measured));
        let watch = move || {
            for _signal in signals.forever() {
                if raised.swap(true, Ordering::SeqCst) {
                    abort(&data_dir);
                }
                abort_unless_ended(Arc::downgrade(&data_dir), Arc::clone(&has_result));
                stderr::line(
                    "interrupted: ending the trial and keeping what was measured (once more to abort)",
                );
            }
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(watch);
        Ok(Self { stop, measured, handle, thread: Some(thread.context("cannot start a thread")?) })
    }

    /// The flag that the first signal sets.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.stop
    }

    /// The flag to set once the window of a trial has opened, so that there is a result to keep.
    pub fn measured(&self) -> &AtomicBool {
        &self.measured
    }

    /// Whether the flag is set.
    pub fn is_raised(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.handle.close();
        if let Some(thread) = self.thread.take() {
            // The thread holds nothing that its panic could have left incomplete.
            let _ = thread.join();
        }
    }
}

/// Removes the data and ends the process.
fn abort(data_dir: &DataDir) {
    // A system that is still being opened may make more files meanwhile.
    for _ in 0..REMOVALS_MAX {
        data_dir.remove();
        if data_dir.is_kept() || !data_dir.has_entries() {
            break;
        }
    }
    std::process::exit(i32::from(ExitStatus::Interrupted as u8));
}

/// Waits for [`GRACE`]. Then ends the process, unless the run has ended or has a result to keep. A run that has ended holds no
/// data directory.
fn abort_unless_ended(data_dir: Weak<DataDir>, measured: Arc<AtomicBool>) {
    let wait = move || {
        std::thread::sleep(GRACE);
        let under_way = || data_dir.upgrade().filter(|_| !measured.load(Ordering::SeqCst));
        if let Some(data_dir) = under_way() {
            stderr::line("vnotch: interrupted");
            abort(&data_dir);
        }
    };
    // Without the thread, a second signal aborts.
    let _ = std::thread::Builder::new().name("interrupted".into()).spawn(wait);
}
