//! Counts what is allocated: how often, how much is held, and the most that was held.
//!
//! Plain loads and stores instead of locked instructions, so that counting costs next to nothing and does not slow down
//! those who allocate much more than those who do not. Two threads that allocate at once may lose a count; the clients
//! run in one thread.

#![expect(unsafe_code, reason = "a global allocator is an unsafe trait; every call is handed on as it came")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

static COUNT: AtomicU64 = AtomicU64::new(0);
static HELD: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator with counters. Growing a block counts as an allocation.
#[derive(Debug)]
pub(crate) struct Counting;

/// How often memory was asked for since the program began.
pub(crate) fn count() -> u64 {
    COUNT.load(Relaxed)
}

/// Bytes held now.
pub(crate) fn held() -> usize {
    HELD.load(Relaxed)
}

/// The most bytes held at once since [`reset_peak`].
pub(crate) fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Starts looking for the peak anew.
pub(crate) fn reset_peak() {
    PEAK.store(held(), Relaxed);
}

fn took(size: usize) {
    COUNT.store(COUNT.load(Relaxed) + 1, Relaxed);
    let held = HELD.load(Relaxed).wrapping_add(size);
    HELD.store(held, Relaxed);
    if held > PEAK.load(Relaxed) {
        PEAK.store(held, Relaxed);
    }
}

fn gave(size: usize) {
    HELD.store(HELD.load(Relaxed).wrapping_sub(size), Relaxed);
}

// SAFETY: every method hands its arguments to the system's allocator unchanged and returns what that returns; the
// counters are atomics and allocate nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: `block` came from the system's allocator with this layout.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Large blocks are moved by remapping, small ones make no difference, so old and new never count at once.
        gave(layout.size());
        took(size);
        // SAFETY: `block` came from the system's allocator with this layout.
        unsafe { System.realloc(block, layout, size) }
    }
}
