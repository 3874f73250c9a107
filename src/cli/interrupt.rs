//! Ctrl-C, and SIGTERM as schedulers send it: the first one asks for an end after the unit in flight, the second one ends at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Installs the handler and returns the flag that it raises.
pub fn flag() -> Arc<AtomicBool> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let installed = ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        eprintln!("\nending after the cell in flight; once more ends at once");
    });
    if let Err(error) = installed {
        log::warn!("Ctrl-C will end the run at once: {error}");
    }
    stop
}
