//! A sample as the columns of a batch, each written in straight runs that compile to vector code.

use std::fmt;
use std::str::FromStr;

use super::element::{Element, signed, tokens_fit};
use super::sample::Sample;
use crate::assemble::convert::each;
use crate::error::{Error, Result};

/// What `labels` hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Labels {
    /// The token that follows in the same document; -100 after its last one and where padded.
    #[default]
    Shifted,
    /// The token itself, for models that shift; -100 where padded.
    Copy,
}

impl fmt::Display for Labels {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Shifted => "shifted",
            Self::Copy => "copy",
        })
    }
}

impl FromStr for Labels {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::Shifted, Self::Copy].into_iter().find(|labels| labels.to_string() == name).ok_or_else(|| {
            Error::InvalidArgument(format!(r#"labels is "shifted", "copy" or None, not "{name}""#))
        })
    }
}

/// Each column is written into a slice of exactly [`seq_len`](Sample::seq_len) elements.
impl Sample {
    /// The tokens, then `pad_id`.
    pub fn write_input_ids<T: Element>(&self, pad_id: u32, out: &mut [T]) -> Result<()> {
        let (real, padded) = self.split(out);
        tokens_fit::<T>(&self.tokens)?;
        widen(&self.tokens, real);
        if !padded.is_empty() {
            tokens_fit::<T>(&[pad_id])?;
            padded.fill(T::from_token(pad_id));
        }
        Ok(())
    }

    /// What is to be predicted at each place.
    pub fn write_labels<T: Element>(&self, labels: Labels, out: &mut [T]) -> Result<()> {
        let ignored = signed(T::IGNORED, "labels", "they hold -100 where there is no loss")?;
        let (real, padded) = self.split(out);
        tokens_fit::<T>(&self.tokens)?;
        padded.fill(ignored);
        match labels {
            Labels::Copy => widen(&self.tokens, real),
            Labels::Shifted => {
                tokens_fit::<T>(self.next.as_slice())?;
                self.shift(ignored, real);
            }
        }
        Ok(())
    }

    /// All tokens one place to the left, then the ends of documents patched: no branch a token.
    fn shift<T: Element>(&self, ignored: T, real: &mut [T]) {
        let Some((last, before)) = real.split_last_mut() else { return };
        widen(&self.tokens[1..], before);
        *last = self.next.map_or(ignored, T::from_token);
        let Some((_, ended)) = self.segments.split_last() else { return };
        let mut end = 0;
        for segment in ended {
            end += segment.len;
            real[end - 1] = ignored;
        }
    }

    /// From 0 in each segment, also in one that goes on with a document from an earlier sample; 0 where padded.
    pub fn write_position_ids<T: Element>(&self, out: &mut [T]) -> Result<()> {
        let longest = self.segments.iter().map(|segment| segment.len).max().unwrap_or_default();
        tokens_fit::<T>(&[longest.saturating_sub(1) as u32])?;
        let (mut real, padded) = self.split(out);
        padded.fill(T::from_token(0));
        for segment in &self.segments {
            let (run, rest) = real.split_at_mut(segment.len);
            // A range with an end: one without would check each step for overflow.
            run.iter_mut()
                .zip(0..segment.len as u32)
                .for_each(|(place, index)| *place = T::from_token(index));
            real = rest;
        }
        Ok(())
    }

    /// The row id of each token's document; -1 where padded.
    pub fn write_document_ids<T: Element>(&self, out: &mut [T]) -> Result<()> {
        let none = signed(T::NO_DOCUMENT, "document_ids", "they hold -1 where padded")?;
        let (mut real, padded) = self.split(out);
        padded.fill(none);
        for segment in &self.segments {
            if segment.row_id > T::MAX {
                let (row_id, name) = (segment.row_id, T::NAME);
                let remedy = "ask for int64";
                return Err(Error::InvalidArgument(format!("row id {row_id} does not fit {name}; {remedy}")));
            }
            let (run, rest) = real.split_at_mut(segment.len);
            run.fill(T::from_row_id(segment.row_id));
            real = rest;
        }
        Ok(())
    }

    /// 1 where these labels are not -100, else 0; without labels 1 where there is a token.
    pub fn write_loss_mask<T: Element>(&self, labels: Option<Labels>, out: &mut [T]) {
        let (real, padded) = self.split(out);
        let (zero, one) = (T::from_token(0), T::from_token(1));
        real.fill(one);
        padded.fill(zero);
        if labels != Some(Labels::Shifted) {
            return;
        }
        let mut end = 0;
        for segment in &self.segments {
            end += segment.len;
            real[end - 1] = zero;
        }
        if let (Some(last), Some(_)) = (real.last_mut(), self.next) {
            *last = one;
        }
    }

    /// The places of real tokens, and the padded ones.
    fn split<'a, T>(&self, out: &'a mut [T]) -> (&'a mut [T], &'a mut [T]) {
        assert_eq!(out.len(), self.seq_len, "a column of a sample has its sequence's length");
        out.split_at_mut(self.tokens.len())
    }
}

/// Tokens that are known to fit, into a slice of the same length.
fn widen<T: Element>(tokens: &[u32], out: &mut [T]) {
    each(tokens, out, T::from_token);
}
