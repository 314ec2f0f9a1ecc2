//! A word to the processor about what is read next.

/// Lines that are asked for: what lies behind them it finds by itself.
const LINES: usize = 8;
const LINE: usize = 64;

/// Brings the beginning of `bytes` on its way into the cache, where the processor can be told so.
#[inline]
pub(super) fn fetch(bytes: &[u8]) {
    #[cfg(target_arch = "x86_64")]
    for line in bytes.chunks(LINE).take(LINES) {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint reads nothing; the address is that of a slice.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (bytes, LINES, LINE);
}
