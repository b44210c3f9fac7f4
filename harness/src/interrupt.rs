//! A flag that Ctrl-C and termination signals raise. Long work checks it, so that it can clean up and keep its results.

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Returns a flag that the first signal raises. A second signal ends the process at once with status 130, in case
/// cleaning up hangs.
///
/// # Errors
/// The kernel refuses the signal handlers.
pub fn flag() -> io::Result<Arc<AtomicBool>> {
    let raised = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // The order matters: at the first signal, the conditional shutdown runs before the flag is raised.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&raised))?;
        signal_hook::flag::register(signal, Arc::clone(&raised))?;
    }
    Ok(raised)
}
