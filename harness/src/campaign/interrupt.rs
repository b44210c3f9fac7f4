//! Signals during a run. The first signal ends the run early and keeps the finished trials. The second removes the data and ends
//! the process.

use crate::exit::ExitStatus;
use crate::interrupt::signals;
use crate::stderr;
use crate::trial::data_dir::DataDir;
use anyhow::Context as _;
use signal_hook::iterator::{Handle, Signals};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// Watches for signals until it is dropped.
#[derive(Debug)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
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
        let stop = Arc::new(AtomicBool::new(false));
        let (handle, raised) = (signals.handle(), Arc::clone(&stop));
        let watch = move || {
            for _signal in signals.forever() {
                if raised.swap(true, Ordering::SeqCst) {
                    data_dir.remove();
                    std::process::exit(i32::from(ExitStatus::Interrupted as u8));
                }
                stderr::line(
                    "interrupted: ending the trial and keeping what was measured (once more to abort)",
                );
            }
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(watch);
        Ok(Self { stop, handle, thread: Some(thread.context("cannot start a thread")?) })
    }

    /// The flag that the first signal sets.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.stop
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
