//! Signals during a run. The first signal ends the run early and keeps the finished trials. If nothing was measured yet and the run
//! does not end by itself, it removes the data and ends the process: a system with thousands of partitions takes long to open. The
//! second signal ends the process within two seconds, whatever it does, and names the data that it could not remove by then.

use crate::exit::ExitStatus;
use crate::interrupt::signals;
use crate::stderr;
use crate::trial::data_dir::{DataDir, content};
use anyhow::Context as _;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use signal_hook::iterator::{Handle, Signals};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the data is removed again before the process ends.
const REMOVALS_MAX: u32 = 20;

/// The time that an interrupted run has to end by itself. After it, one that has measured nothing is ended, and one that has a result
/// says what it still does.
const GRACE: Duration = Duration::from_millis(1500);

/// The longest time that the second signal leaves for the removal of the data.
const REMOVAL_MAX: Duration = Duration::from_millis(1500);

/// Watches for signals until it is dropped.
#[derive(Debug)]
pub struct Interrupt {
    stop: Arc<AtomicBool>,
    measured: Arc<AtomicBool>,
    handle: Handle,
    thread: Option<JoinHandle<()>>,
    /// Dropped when the run has ended.
    running: Option<Sender<()>>,
    /// The thread that looks again after the first signal.
    second_look: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Interrupt {
    /// Starts the watch. At a second signal the content of `data_dir` is removed, with errors ignored, and the process ends. A process
    /// that ends so prints `farewell`.
    ///
    /// # Errors
    /// The signals cannot be watched.
    pub fn watch(data_dir: Arc<DataDir>, farewell: Option<String>) -> anyhow::Result<Self> {
        let mut signals = Signals::new(signals()).context("cannot watch for Ctrl-C")?;
        let (stop, measured) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (handle, raised, has_result) = (signals.handle(), Arc::clone(&stop), Arc::clone(&measured));
        let (running, ended) = bounded(0);
        let second_look = Arc::new(Mutex::new(None));
        let looking = Arc::clone(&second_look);
        let watch = move || {
            for _signal in signals.forever() {
                if raised.swap(true, Ordering::SeqCst) {
                    leave(&data_dir, farewell.as_deref());
                }
                let thread = look_again(&data_dir, Arc::clone(&has_result), farewell.clone(), ended.clone());
                *looking.lock().unwrap_or_else(PoisonError::into_inner) = thread;
                stderr::line(
                    "interrupted: ending the trial and keeping what was measured (once more to abort)",
                );
            }
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(watch);
        let thread = Some(thread.context("cannot start a thread")?);
        Ok(Self { stop, measured, handle, thread, running: Some(running), second_look })
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
        drop(self.running.take());
        let second_look = || self.second_look.lock().unwrap_or_else(PoisonError::into_inner).take();
        // The threads hold nothing that a panic could have left incomplete. One that is removing the data ends the process when it is
        // done; without the wait, the process could end before.
        let _ = self.thread.take().map(JoinHandle::join);
        let _ = second_look().map(JoinHandle::join);
    }
}

/// Removes the data. Returns whether nothing is left that would have to be removed.
fn remove(data_dir: &DataDir) -> bool {
    // A system that is still being opened may make more files meanwhile.
    for _ in 0..REMOVALS_MAX {
        data_dir.remove();
        if data_dir.is_kept() || !data_dir.has_entries() {
            return true;
        }
    }
    false
}

/// Removes the data, but no longer than for `longest`. Returns whether all of it is removed.
fn remove_within(data_dir: &Arc<DataDir>, longest: Duration) -> bool {
    let (removed, ended) = bounded(1);
    let data_dir = Arc::clone(data_dir);
    let work = move || {
        // Nobody waits any more after `longest`.
        let _ = removed.send(remove(&data_dir));
        // The process ends soon. A drop here could remove the data a second time.
        std::mem::forget(data_dir);
    };
    let thread = std::thread::Builder::new().name("removal".into()).spawn(work);
    thread.is_ok() && ended.recv_timeout(longest) == Ok(true)
}

fn exit() -> ! {
    std::process::exit(i32::from(ExitStatus::Interrupted as u8));
}

/// Ends the process within two seconds.
fn leave(data_dir: &Arc<DataDir>, farewell: Option<&str>) -> ! {
    if !remove_within(data_dir, REMOVAL_MAX) {
        stderr::line(format_args!("vnotch: interrupted; {}", data_dir.what_is_left()));
    }
    farewell.into_iter().for_each(|text| stderr::line(format_args!("vnotch: {text}")));
    exit();
}

/// Looks again after [`GRACE`], unless the run ends before. If it has measured nothing, ends the process. Otherwise says what it still
/// does.
fn look_again(
    data_dir: &Arc<DataDir>,
    measured: Arc<AtomicBool>,
    farewell: Option<String>,
    ended: Receiver<()>,
) -> Option<JoinHandle<()>> {
    let (data_dir, path) = (Arc::downgrade(data_dir), data_dir.path().to_owned());
    let wait = move || {
        if ended.recv_timeout(GRACE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
        if !measured.load(Ordering::SeqCst) {
            let Some(data_dir) = data_dir.upgrade() else { return };
            stderr::line("vnotch: interrupted");
            remove(&data_dir);
            farewell.into_iter().for_each(|text| stderr::line(format_args!("vnotch: {text}")));
            exit();
        }
        // The run may end meanwhile. It removes its data, so this thread must not be the last that holds it.
        if data_dir.strong_count() > 0 {
            let content = content(&path);
            stderr::line(format_args!(
                "interrupted: saving the result and removing {content} (once more to leave at once)"
            ));
        }
    };
    // Without the thread, a second signal still ends the process.
    std::thread::Builder::new().name("interrupted".into()).spawn(wait).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_that_takes_too_long_to_remove_is_left_and_named() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("data");
        let data_dir = Arc::new(DataDir::open(Some(&path)).unwrap());
        for number in 0..5000 {
            std::fs::write(path.join(number.to_string()), [7; 4096]).unwrap();
        }
        assert!(!remove_within(&data_dir, Duration::ZERO));
        let left = data_dir.what_is_left();
        assert!(left.contains(&path.display().to_string()), "{left}");
        assert!(remove_within(&data_dir, Duration::from_secs(60)));
        assert!(!path.exists());
    }
}
