//! Touches the memory that a run will use before the run is timed (docs/methodology.md).
//!
//! A virtual machine may hand free memory back to its host. Then the first touch of each page causes a fault in the
//! host, which costs several times as much as a copy of the page. So as much memory as the run will use is touched and
//! freed again. This fills the kernel's free lists with pages that the host has backed. The heap and the page cache get
//! their pages from these lists.

use crate::result::environment::{Cgroup, Memory};
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Bytes touched between two looks at the stop flag, so that an interrupt is noticed in time.
const PIECE_BYTES: usize = 64 << 20;
const PAGE_BYTES: usize = 4096;

/// The result of [`warm_memory`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmed {
    /// Number of bytes touched: as many as were asked for, but at most three quarters of the memory that is
    /// available to this process, within the limit of its control group.
    pub bytes: u64,
    /// The time that it took.
    pub elapsed: Duration,
}

/// Touches and releases `bytes` of memory. It holds all of them at once, so that it touches that many different pages.
/// It ends early once `stop` is true.
pub fn warm_memory(bytes: u64, stop: &AtomicBool) -> Warmed {
    let available = Memory::collect(&Cgroup::collect()).available_bytes;
    touch(available.map_or(bytes, |available| bytes.min(available / 4 * 3)), stop)
}

fn touch(bytes: u64, stop: &AtomicBool) -> Warmed {
    let begun = Instant::now();
    let mut pieces = Vec::new();
    let mut touched = 0;
    while touched < bytes && !stop.load(Ordering::Relaxed) {
        let length = usize::try_from(bytes - touched).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        // The kernel gives out zeroed memory of this size untouched. The cost lies in the first write to each page.
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
