//! What turns text into ids: bytes, the reference, or the fast engine with the reference behind it.

use std::sync::atomic::{AtomicBool, Ordering};

use super::code_points::CodePoints;
use super::fast::Fast;
use super::reference::Reference;

/// What turns text into ids.
pub(super) enum Engines {
    Bytes,
    Reference(Reference),
    Both(Both),
}

/// The fast engine, and the one that takes what the fast one cannot.
pub(super) struct Both {
    pub fast: Fast,
    pub reference: Reference,
    /// Characters on which the engines may differ.
    pub doubtful: &'static CodePoints,
    /// The fast engine panicked once: its buffers may be in any state, so it is not asked again.
    pub is_broken: AtomicBool,
}

impl Engines {
    pub(super) fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), String> {
        match self {
            Self::Bytes => {
                out.extend(text.bytes().map(u32::from));
                Ok(())
            }
            Self::Reference(reference) => reference.encode(text, out),
            Self::Both(both) => both.encode(text, out),
        }
    }
}

impl Both {
    fn encode(&self, text: &str, out: &mut Vec<u32>) -> Result<(), String> {
        if self.doubtful.occur_in(text) || self.is_broken.load(Ordering::Relaxed) {
            return self.reference.encode(text, out);
        }
        match self.fast.encode(text, out) {
            Ok(()) => Ok(()),
            Err(failure) => {
                if failure.is_panic {
                    self.is_broken.store(true, Ordering::Relaxed);
                }
                self.reference.encode(text, out)
            }
        }
    }
}
