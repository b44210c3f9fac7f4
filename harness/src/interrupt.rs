//! The signals that end long work early, so that it can clean up and keep its results.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Signals that end long work: Ctrl-C, a request to terminate, and the end of the terminal.
const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// Returns the signals that end long work. A signal that this process was started to ignore is left out: `nohup` ignores
/// SIGHUP, and shells without job control ignore SIGINT for commands in the background.
pub fn signals() -> Vec<i32> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = ignored_mask(&status);
    ENDING.into_iter().filter(|signal| ignored & bit(*signal) == 0).collect()
}

/// Returns a flag that the first of [`signals`] raises. A second signal ends the process at once with status 130, in case
/// cleaning up hangs.
///
/// # Errors
/// The kernel refuses the signal handlers.
pub fn flag() -> io::Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    for signal in signals() {
        // The order matters: at the first signal, the conditional shutdown runs before the flag is raised.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&raised))?;
        signal_hook::flag::register(signal, Arc::clone(&raised))?;
    }
    Ok(raised)
}

/// Returns the mask of ignored signals of a `/proc/PID/status` file; no signals if the file does not say.
fn ignored_mask(status: &str) -> u64 {
    let digits = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    digits.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or(0)
}

/// The bit of a signal in a mask of signals.
const fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask() {
        let status =
            "Name:\tsleep\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        let ignored = ignored_mask(status);
        assert_ne!(ignored & bit(SIGHUP), 0);
        assert_eq!(ignored & (bit(SIGINT) | bit(SIGTERM)), 0);
        assert_eq!(ignored_mask("SigIgn:\tnothing"), 0);
        assert_eq!(ignored_mask(""), 0);
    }
}
