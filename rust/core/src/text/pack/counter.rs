//! How many samples documents make, by their lengths alone.
//!
//! What decides that is the packer's own: which documents are a group, and which pieces share a sequence.

use super::bins::Bins;
use super::group::Seen;
use super::packer::{PackMode, check_seq_len};
use crate::error::{Error, Result};

/// Counts the samples of one lane; gets the lengths of its documents in the lane's order.
///
/// ```
/// use rowmill_core::text::pack::{PackMode, SampleCounter};
///
/// let mut counter = SampleCounter::try_new(PackMode::Concat, 4)?;
/// counter.document(3);
/// counter.document(2);
/// assert_eq!(counter.finish(), 2);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Debug)]
pub struct SampleCounter {
    seq_len: usize,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Tokens so far.
    Concat(u64),
    BestFit {
        seen: Seen,
        /// Pieces that wait for the group's end.
        pieces: Vec<usize>,
        num_samples: u64,
    },
}

impl SampleCounter {
    /// A counter at the beginning of a lane.
    ///
    /// # Errors
    /// `InvalidArgument` where the sequence length is none.
    pub fn try_new(mode: PackMode, seq_len: usize) -> Result<Self> {
        check_seq_len(seq_len)?;
        let way = match mode {
            PackMode::Concat => Way::Concat(0),
            PackMode::BestFitWindows => {
                return Err(Error::Internal("where windows end only the order knows".to_owned()));
            }
            PackMode::BestFit => Way::BestFit { seen: Seen::default(), pieces: Vec::new(), num_samples: 0 },
        };
        Ok(Self { seq_len, way })
    }

    /// Whether the sum of the lengths says as much as they themselves.
    pub fn needs_sums_only(&self) -> bool {
        matches!(self.way, Way::Concat(_))
    }

    /// The next document has so many tokens; or, where sums are enough, the next ones together.
    pub fn document(&mut self, num_tokens: u64) {
        let seq_len = self.seq_len as u64;
        match &mut self.way {
            Way::Concat(tokens) => *tokens += num_tokens,
            Way::BestFit { seen, pieces, num_samples } => {
                *num_samples += num_tokens / seq_len;
                let rest = (num_tokens % seq_len) as usize;
                pieces.extend((rest > 0).then_some(rest));
                seen.add(num_tokens);
                if seen.is_full(self.seq_len) {
                    *num_samples += Bins::count(pieces, self.seq_len);
                    pieces.clear();
                    *seen = Seen::default();
                }
            }
        }
    }

    /// The samples of the group that the last document has closed, which then count no more; `None` where it closed none.
    pub fn closed_group(&mut self) -> Option<u64> {
        match &mut self.way {
            Way::BestFit { seen, num_samples, .. } if seen.documents == 0 && *num_samples > 0 => {
                Some(std::mem::take(num_samples))
            }
            Way::Concat(_) | Way::BestFit { .. } => None,
        }
    }

    /// The samples of a lane that ends here.
    pub fn finish(self) -> u64 {
        match self.way {
            Way::Concat(tokens) => tokens.div_ceil(self.seq_len as u64),
            Way::BestFit { pieces, num_samples, .. } => num_samples + Bins::count(&pieces, self.seq_len),
        }
    }
}
