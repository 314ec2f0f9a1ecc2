//! Every token of every document exactly once, in order, in sequences of one length.

use std::collections::VecDeque;

use super::place::{OpenDocument, Place};
use super::sample::{Sample, Segment};
use crate::error::{Error, Result};

/// The sequence that is being filled, and the document that fills it.
#[derive(Debug)]
pub(super) struct Concat {
    seq_len: usize,
    /// Tokens of the first document that an earlier run has emitted.
    emitted: u64,
    open: Option<OpenDocument>,
    /// The element after the last document that has ended.
    next_element: u64,
    tokens: Vec<u32>,
    segments: Vec<Segment>,
}

impl Concat {
    pub fn new(seq_len: usize, emitted: u64) -> Self {
        Self { seq_len, emitted, open: None, next_element: 0, tokens: Vec::new(), segments: Vec::new() }
    }

    pub fn begin(&mut self, row_id: u64, element: u64) {
        assert!(self.open.is_none(), "a document begins after the one before has ended");
        self.open = Some(OpenDocument::new(row_id, element));
    }

    pub fn tokens<T: Copy + Into<u32>>(&mut self, tokens: &[T], ready: &mut VecDeque<Sample>) {
        let mut open = self.open.take().expect("tokens come between a document's begin and its end");
        let mut rest = self.skip_emitted(&mut open, tokens);
        while let Some(first) = rest.first() {
            if self.tokens.len() == self.seq_len {
                let place = Place { element: open.element, taken: open.seen };
                ready.push_back(self.sample(Some((*first).into()), place));
            }
            let (taken, later) = rest.split_at(rest.len().min(self.seq_len - self.tokens.len()));
            self.take(&mut open, taken);
            rest = later;
        }
        self.open = Some(open);
    }

    /// What of these tokens an earlier run has not emitted.
    fn skip_emitted<'a, T>(&self, open: &mut OpenDocument, tokens: &'a [T]) -> &'a [T] {
        let left = self.emitted.saturating_sub(open.seen).min(tokens.len() as u64);
        open.seen += left;
        &tokens[left as usize..]
    }

    /// Adds tokens that have room in the sequence.
    fn take<T: Copy + Into<u32>>(&mut self, open: &mut OpenDocument, tokens: &[T]) {
        if self.tokens.is_empty() {
            // A sequence of a million tokens is not allocated for a lane of a few.
            self.tokens.reserve(self.seq_len.min(1 << 16));
        }
        // Of this document, not only of this row: a lane of one row meets it again in the next epoch.
        match self.segments.last_mut() {
            Some(last) if last.row_id == open.row_id && last.offset + last.len as u64 == open.seen => {
                last.len += tokens.len();
            }
            _ => self.segments.push(Segment { row_id: open.row_id, offset: open.seen, len: tokens.len() }),
        }
        self.tokens.extend(tokens.iter().map(|token| (*token).into()));
        open.seen += tokens.len() as u64;
    }

    pub fn end(&mut self, ready: &mut VecDeque<Sample>) -> Result<()> {
        let open = self.open.take().expect("a document ends after it has begun");
        if self.emitted > 0 && open.seen <= self.emitted {
            return Err(shorter_than_the_cursor_says(&open, self.emitted));
        }
        self.emitted = 0;
        self.next_element = open.element + 1;
        if self.tokens.len() == self.seq_len {
            ready.push_back(self.sample(None, self.after_documents()));
        }
        Ok(())
    }

    pub fn finish(&mut self, ready: &mut VecDeque<Sample>) {
        assert!(self.open.is_none(), "a lane ends after its last document");
        if !self.tokens.is_empty() {
            ready.push_back(self.sample(None, self.after_documents()));
        }
    }

    fn after_documents(&self) -> Place {
        Place { element: self.next_element, taken: 0 }
    }

    fn sample(&mut self, next: Option<u32>, place: Place) -> Sample {
        let tokens = std::mem::take(&mut self.tokens);
        Sample { seq_len: self.seq_len, tokens, segments: std::mem::take(&mut self.segments), next, place }
    }
}

fn shorter_than_the_cursor_says(open: &OpenDocument, emitted: u64) -> Error {
    Error::StateMismatch(format!(
        "the cursor was taken after {emitted} tokens of row {}, which now has {}: data or tokenizer have changed; \
         restore them, or start without the cursor",
        open.row_id, open.seen
    ))
}
