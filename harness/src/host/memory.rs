//! Memory that the run will use is touched before it is timed (docs/methodology.md).
//!
//! A virtual machine that hands free memory back to its host pays a fault to the host for the first touch of each
//! page, several times the cost of a copy. Touching as much memory as the run will use, and freeing it again, fills the
//! kernel's free lists with pages that the host has backed: the heap and the page cache are served from those.

use super::environment::read;
use super::procfs;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Touched and held one after the other, so that an interrupt is noticed in time.
const PIECE_BYTES: usize = 64 << 20;
const PAGE_BYTES: usize = 4096;

/// What warming came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmed {
    /// Bytes touched: what was asked for, or less if that is more than three quarters of what is available.
    pub bytes: u64,
    /// How long it took.
    pub elapsed: Duration,
}

/// Touches and releases `bytes` of memory, all of it at once, so that as many pages are touched. Raising `stop` ends
/// it early.
pub fn warm_memory(bytes: u64, stop: &AtomicBool) -> Warmed {
    let available = read("/proc/meminfo").and_then(|text| procfs::field_bytes(&text, "MemAvailable"));
    touch(available.map_or(bytes, |available| bytes.min(available / 4 * 3)), stop)
}

fn touch(bytes: u64, stop: &AtomicBool) -> Warmed {
    let begun = Instant::now();
    let mut pieces = Vec::new();
    let mut touched = 0;
    while touched < bytes && !stop.load(Ordering::Relaxed) {
        let length = usize::try_from(bytes - touched).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        // Zeroed memory of this size comes untouched from the kernel: the first write to each page is what costs.
        let mut piece = vec![0_u8; length];
        piece.iter_mut().step_by(PAGE_BYTES).for_each(|byte| *byte = 1);
        pieces.push(black_box(piece));
        touched += u64::try_from(length).expect("a usize fits 64 bits");
    }
    drop(pieces);
    Warmed { bytes: touched, elapsed: begun.elapsed() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_touches_what_it_says_and_stops_when_told() {
        let bytes = (100 << 20) + 1;
        assert_eq!(touch(bytes, &AtomicBool::new(false)).bytes, bytes);
        assert_eq!(touch(bytes, &AtomicBool::new(true)).bytes, 0);
        assert_eq!(warm_memory(0, &AtomicBool::new(false)).bytes, 0);
    }
}
