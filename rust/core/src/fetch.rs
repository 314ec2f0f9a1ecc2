//! A word to the processor about what is read next.

/// Lines that are asked for: what lies behind them it finds by itself.
const LINES: usize = 8;
const LINE: usize = 64;

/// Brings the beginning of `bytes` on its way into the cache, where the processor can be told so.
#[inline]
pub(crate) fn fetch(bytes: &[u8]) {
    for line in bytes.chunks(LINE).take(LINES) {
        fetch_line(line.as_ptr());
    }
}

/// The same for the line in which a value begins, or would begin.
#[inline]
pub(crate) fn fetch_line<T>(value: *const T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint reads nothing, and any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(value.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
