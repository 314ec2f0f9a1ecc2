//! One lane's state machine: documents in, finished samples out.

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use super::best_fit::BestFit;
use super::concat::Concat;
use super::sample::Sample;
use crate::error::{Error, Result};

/// How documents become sequences.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PackMode {
    /// One stream of tokens, cut every `seq_len`: no padding but at a finite lane's end.
    #[default]
    Concat,
    /// Only documents longer than `seq_len` are cut; the pieces are fitted together by groups of documents.
    BestFit,
    /// The same over whole windows of the order, by lengths that were counted before. The caller decides which
    /// documents are a unit (see [`units`](super::units)), and ends each by [`Packer::finish`].
    BestFitWindows,
}

impl fmt::Display for PackMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Concat => "concat",
            Self::BestFit => "best_fit",
            Self::BestFitWindows => "best_fit_windows",
        })
    }
}

impl FromStr for PackMode {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Concat, Self::BestFit, Self::BestFitWindows]
            .into_iter()
            .find(|mode| mode.to_string() == name)
            .ok_or_else(|| {
                Error::InvalidArgument(format!(
                    r#"mode is "concat", "best_fit" or "best_fit_windows", not "{name}""#
                ))
            })
    }
}

/// Packs the documents of one lane.
///
/// A document's tokens may come in any number of pieces; what comes out does not depend on how they were cut.
/// A sample is finished when it is known whether its last document goes on: one token, or the document's end,
/// after its last token.
///
/// ```
/// use rowmill_core::text::pack::{Labels, PackMode, Packer};
///
/// let mut packer = Packer::try_new(PackMode::Concat, 4)?;
/// packer.document(0, 0, &[1_u32, 2, 3])?;
/// packer.document(1, 1, &[4_u32, 5])?;
/// let sample = packer.pop().expect("five tokens fill one sequence of four");
/// let mut labels = [0_i64; 4];
/// sample.write_labels(Labels::Shifted, &mut labels)?;
/// assert_eq!(sample.tokens(), [1, 2, 3, 4]);
/// assert_eq!(labels, [2, 3, -100, 5]);
/// # Ok::<(), rowmill_core::Error>(())
/// ```
#[derive(Debug)]
pub struct Packer {
    seq_len: usize,
    way: Way,
    ready: VecDeque<Sample>,
}

#[derive(Debug)]
enum Way {
    Concat(Concat),
    BestFit(BestFit),
}

impl Packer {
    /// A packer at the beginning of a lane.
    pub fn try_new(mode: PackMode, seq_len: usize) -> Result<Self> {
        Self::resume(mode, seq_len, 0)
    }

    /// A packer that goes on at a [`Place`](super::Place): it is to be given the documents from
    /// `place.element` on, and leaves out what `place.taken` says was emitted from there.
    pub fn resume(mode: PackMode, seq_len: usize, taken: u64) -> Result<Self> {
        check_seq_len(seq_len)?;
        let way = match mode {
            PackMode::Concat => Way::Concat(Concat::new(seq_len, taken)),
            PackMode::BestFit => Way::BestFit(BestFit::new(seq_len, taken)),
            PackMode::BestFitWindows => Way::BestFit(BestFit::of_unit(seq_len, taken)),
        };
        Ok(Self { seq_len, way, ready: VecDeque::new() })
    }

    /// The length of every sample.
    pub fn seq_len(&self) -> usize {
        self.seq_len
    }

    /// A document begins: its row id, and its place in the lane, which grows from document to document
    /// (over epochs too) and comes back in [`Place::element`](super::Place).
    pub fn begin(&mut self, row_id: u64, element: u64) {
        match &mut self.way {
            Way::Concat(concat) => concat.begin(row_id, element),
            Way::BestFit(best_fit) => best_fit.begin(row_id, element),
        }
    }

    /// The next tokens of the document that has begun, stored as any unsigned type of at most 32 bits.
    pub fn tokens<T: Copy + Into<u32>>(&mut self, tokens: &[T]) {
        match &mut self.way {
            Way::Concat(concat) => concat.tokens(tokens, &mut self.ready),
            Way::BestFit(best_fit) => best_fit.tokens(tokens, &mut self.ready),
        }
    }

    /// The document has ended; an error where it is not the one that the cursor was taken in.
    pub fn end(&mut self) -> Result<()> {
        match &mut self.way {
            Way::Concat(concat) => concat.end(&mut self.ready),
            Way::BestFit(best_fit) => best_fit.end(&mut self.ready),
        }
    }

    /// A whole document.
    pub fn document<T: Copy + Into<u32>>(&mut self, row_id: u64, element: u64, tokens: &[T]) -> Result<()> {
        self.begin(row_id, element);
        self.tokens(tokens);
        self.end()
    }

    /// The lane has ended: what waits becomes samples, the last of them padded.
    pub fn finish(&mut self) -> Result<()> {
        match &mut self.way {
            Way::Concat(concat) => {
                concat.finish(&mut self.ready);
                Ok(())
            }
            Way::BestFit(best_fit) => best_fit.finish(&mut self.ready),
        }
    }

    /// The next finished sample.
    pub fn pop(&mut self) -> Option<Sample> {
        self.ready.pop_front()
    }
}

/// Offsets inside of a sample are 32-bit, as `cu_seqlens` has them.
pub(super) fn check_seq_len(seq_len: usize) -> Result<()> {
    if seq_len == 0 || i32::try_from(seq_len).is_err() {
        return Err(Error::InvalidArgument(format!("seq_len must be from 1 to {}, got {seq_len}", i32::MAX)));
    }
    Ok(())
}
