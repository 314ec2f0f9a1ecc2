//! Rows of tokens to one width, for fine-tuning: the results of a `transformers` tokenizer.
//!
//! Where `transformers` refuses truncation to a `max_length` that is no multiple of `pad_to_multiple_of`, rows
//! are cut to `max_length` and the width is rounded up.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use super::element::{Element, signed, tokens_fit};
use crate::error::{Error, Result};

/// An end of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// Where the row begins.
    Left,
    /// Where it ends.
    #[default]
    Right,
}

impl fmt::Display for Side {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Left => "left",
            Self::Right => "right",
        })
    }
}

impl FromStr for Side {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Left, Self::Right]
            .into_iter()
            .find(|side| side.to_string() == name)
            .ok_or_else(|| Error::InvalidArgument(format!(r#"a side is "left" or "right", not "{name}""#)))
    }
}

/// How wide a batch becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Padding {
    /// As its longest row.
    #[default]
    Longest,
    /// As `max_length` says, whatever its rows.
    MaxLength,
}

/// How rows are cut and padded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PadSpec {
    /// How wide a batch becomes.
    pub padding: Padding,
    /// The longest row that truncation leaves, and the width of [`Padding::MaxLength`].
    pub max_length: Option<usize>,
    /// Whether longer rows are cut; without it `max_length` does nothing to [`Padding::Longest`].
    pub truncation: bool,
    /// The width is rounded up to a multiple of this.
    pub multiple_of: Option<usize>,
    /// Where padding goes.
    pub padding_side: Side,
    /// Where a long row is cut.
    pub truncation_side: Side,
    /// Special tokens at both ends (first, last) that truncation leaves standing and cuts beside.
    pub special: (usize, usize),
    /// What stands where there is no token.
    pub pad_id: u32,
}

/// What is left of a row: the special tokens at its beginning, a run of its body, those at its end.
pub type Kept = [Range<usize>; 3];

impl PadSpec {
    /// The width of a batch of rows of these lengths.
    pub fn width(&self, lengths: impl IntoIterator<Item = usize>) -> Result<usize> {
        let longest = lengths.into_iter().max().unwrap_or_default();
        let longest = if self.truncation { longest.min(self.limit()?) } else { longest };
        let width = match self.padding {
            Padding::Longest => longest,
            Padding::MaxLength => self.required_length()?,
        };
        if longest > width {
            return Err(Error::InvalidArgument(format!(
                "a row of {longest} tokens is longer than max_length={width}; ask for truncation, or for \
                 padding=\"longest\""
            )));
        }
        match self.multiple_of {
            Some(0) => {
                Err(Error::InvalidArgument("rows are padded to a multiple of at least 1, not 0".into()))
            }
            Some(multiple) => {
                width.checked_next_multiple_of(multiple).ok_or_else(|| too_wide(width, multiple))
            }
            None => Ok(width),
        }
    }

    fn required_length(&self) -> Result<usize> {
        self.max_length
            .ok_or_else(|| Error::InvalidArgument("padding=\"max_length\" needs a max_length".to_owned()))
    }

    /// The longest row that truncation leaves.
    fn limit(&self) -> Result<usize> {
        let special = self.special.0 + self.special.1;
        match self.max_length {
            None => Ok(usize::MAX),
            Some(limit) if limit >= special => Ok(limit),
            Some(limit) => Err(Error::InvalidArgument(format!(
                "max_length={limit} has no room for the {special} special tokens of each row"
            ))),
        }
    }

    /// The parts of a row of `len` tokens that stay, and the places among `width` that they fill; the rest is padded.
    ///
    /// # Errors
    /// `InvalidArgument` where `max_length` has no room for the special tokens.
    pub fn place(&self, len: usize, width: usize) -> Result<(Kept, Range<usize>)> {
        let kept = self.kept(len)?;
        let len = kept.iter().map(ExactSizeIterator::len).sum::<usize>();
        assert!(len <= width, "the width is that of rows of these lengths");
        let first = if self.padding_side == Side::Right { 0 } else { width - len };
        Ok((kept, first..first + len))
    }

    /// The parts of a row of `len` tokens that stay.
    fn kept(&self, len: usize) -> Result<Kept> {
        let limit = if self.truncation { self.limit()? } else { usize::MAX };
        if len <= limit {
            return Ok([0..0, 0..len, len..len]);
        }
        let (first, last) = self.special;
        let body = match self.truncation_side {
            Side::Right => first..limit - last,
            Side::Left => len - (limit - first)..len - last,
        };
        Ok([0..first, body, len - last..len])
    }

    /// Rows of `width` places each, `out` holding all of them: the tokens, and `pad_id`.
    pub fn write_input_ids<T: Element>(&self, rows: &[&[u32]], width: usize, out: &mut [T]) -> Result<()> {
        tokens_fit::<T>(&[self.pad_id])?;
        self.each(rows, width, out, |row, kept, real, padded| {
            padded.fill(T::from_token(self.pad_id));
            tokens_fit::<T>(row)?;
            copy(row, kept, real, T::from_token);
            Ok(())
        })
    }

    /// 1 where there is a token, else 0.
    pub fn write_attention_mask<T: Element>(
        &self,
        rows: &[&[u32]],
        width: usize,
        out: &mut [T],
    ) -> Result<()> {
        self.each(rows, width, out, |_, _, real, padded| {
            padded.fill(T::from_token(0));
            real.fill(T::from_token(1));
            Ok(())
        })
    }

    /// The tokens again, -100 where padded: a token that happens to be `pad_id` keeps its label.
    pub fn write_labels<T: Element>(&self, rows: &[&[u32]], width: usize, out: &mut [T]) -> Result<()> {
        let ignored = signed(T::IGNORED, "labels", "they hold -100 where there is no loss")?;
        self.each(rows, width, out, |row, kept, real, padded| {
            padded.fill(ignored);
            tokens_fit::<T>(row)?;
            copy(row, kept, real, T::from_token);
            Ok(())
        })
    }

    /// Labels of the user's own, one a token, cut and padded as the tokens are; -100 where padded.
    pub fn write_own_labels(&self, labels: &[&[i64]], width: usize, out: &mut [i64]) -> Result<()> {
        self.each(labels, width, out, |row, kept, real, padded| {
            padded.fill(-100);
            copy(row, kept, real, |label| label);
            Ok(())
        })
    }

    /// Calls `write` with each row, what is kept of it, and its real and padded places.
    fn each<R, T>(
        &self,
        rows: &[&[R]],
        width: usize,
        out: &mut [T],
        mut write: impl FnMut(&[R], Kept, &mut [T], &mut [T]) -> Result<()>,
    ) -> Result<()> {
        assert_eq!(out.len(), rows.len() * width, "the caller sized the batch by this width");
        for (index, row) in rows.iter().enumerate() {
            let (kept, filled) = self.place(row.len(), width)?;
            let places = &mut out[index * width..(index + 1) * width];
            let (real, padded) = match self.padding_side {
                Side::Right => places.split_at_mut(filled.end),
                Side::Left => {
                    let (padded, real) = places.split_at_mut(filled.start);
                    (real, padded)
                }
            };
            write(row, kept, real, padded)?;
        }
        Ok(())
    }
}

/// What is kept of a row, to the places that it fills.
fn copy<R: Copy, T>(row: &[R], kept: Kept, mut real: &mut [T], convert: impl Fn(R) -> T) {
    for part in kept {
        let (run, rest) = real.split_at_mut(part.len());
        run.iter_mut().zip(&row[part]).for_each(|(place, value)| *place = convert(*value));
        real = rest;
    }
}

fn too_wide(width: usize, multiple: usize) -> Error {
    Error::InvalidArgument(format!("a width of {width} has no multiple of {multiple} above it"))
}
