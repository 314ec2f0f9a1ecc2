//! The cuts between documents, as variable-length attention wants them.

use super::sample::Sample;
use crate::error::{Error, Result};

/// Cumulative lengths of segments, and the longest of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CuSeqlens {
    /// From 0 to the number of tokens, a cut after each segment.
    pub cuts: Vec<i32>,
    /// The longest segment's length.
    pub max_seqlen: i32,
}

impl Sample {
    /// From 0 to the number of real tokens, a cut after each document: padding is no segment.
    pub fn cu_seqlens(&self) -> CuSeqlens {
        let mut cuts = CuSeqlens { cuts: Vec::with_capacity(self.segments.len() + 1), max_seqlen: 0 };
        cuts.cuts.push(0);
        for segment in &self.segments {
            cuts.push(segment.len as i32);
        }
        cuts
    }
}

impl CuSeqlens {
    /// One more segment; lengths were checked to add up to an i32.
    fn push(&mut self, len: i32) {
        let end = self.cuts.last().copied().unwrap_or_default();
        self.cuts.push(end + len);
        self.max_seqlen = self.max_seqlen.max(len);
    }
}

/// The cuts of several samples laid end to end, `seq_len` places each: from 0 to their number times `seq_len`.
///
/// Here padding is a segment of its own, since places that no segment covers are left uninitialised by
/// variable-length attention, and a NaN there would not be stopped by a mask.
pub fn flatten(samples: &[CuSeqlens], seq_len: usize) -> Result<CuSeqlens> {
    let places = samples.len().saturating_mul(seq_len);
    i32::try_from(places).map_err(|_| too_long(places))?;
    let mut joined = CuSeqlens { cuts: vec![0], max_seqlen: 0 };
    for sample in samples {
        sample.cuts.windows(2).for_each(|pair| joined.push(pair[1] - pair[0]));
        let real = sample.cuts.last().copied().unwrap_or_default();
        if (real as usize) < seq_len {
            joined.push(seq_len as i32 - real);
        }
    }
    Ok(joined)
}

fn too_long(places: usize) -> Error {
    Error::InvalidArgument(format!(
        "a flattened batch of {places} tokens has cuts that do not fit int32; take a smaller batch"
    ))
}
