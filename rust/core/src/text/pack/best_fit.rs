//! Documents whole where they fit, packed by groups.

use std::collections::VecDeque;

use super::bins::Bins;
use super::group::Seen;
use super::place::{OpenDocument, Place};
use super::sample::{Sample, Segment};
use crate::error::{Error, Result};

/// The group that is being gathered, and the document whose tokens come.
///
/// A document's full sequences are emitted as they come; only what is shorter waits for the group.
#[derive(Debug)]
pub(super) struct BestFit {
    seq_len: usize,
    /// Whether the group is a unit that somebody else ends.
    is_unit: bool,
    /// Samples of the first group that an earlier run has emitted and this one has yet to leave out.
    to_skip: u64,
    open: Option<OpenDocument>,
    seen: Seen,
    /// The element of the group's first document.
    first_element: Option<u64>,
    /// The element after the last document that has ended.
    next_element: u64,
    /// Samples of this group, those left out too.
    emitted: u64,
    /// The tokens of all pieces, the open one last.
    tokens: Vec<u32>,
    pieces: Vec<Segment>,
    /// Where in `tokens` each of them starts.
    starts: Vec<usize>,
    /// Where in `tokens` the open piece starts.
    piece_start: usize,
}

impl BestFit {
    pub fn new(seq_len: usize, to_skip: u64) -> Self {
        Self {
            seq_len,
            is_unit: false,
            to_skip,
            open: None,
            seen: Seen::default(),
            first_element: None,
            next_element: 0,
            emitted: 0,
            tokens: Vec::new(),
            pieces: Vec::new(),
            starts: Vec::new(),
            piece_start: 0,
        }
    }

    pub fn of_unit(seq_len: usize, to_skip: u64) -> Self {
        Self { is_unit: true, ..Self::new(seq_len, to_skip) }
    }

    pub fn begin(&mut self, row_id: u64, element: u64) {
        assert!(self.open.is_none(), "a document begins after the one before has ended");
        self.open = Some(OpenDocument::new(row_id, element));
        self.first_element.get_or_insert(element);
    }

    pub fn tokens<T: Copy + Into<u32>>(&mut self, tokens: &[T], ready: &mut VecDeque<Sample>) {
        let mut open = self.open.take().expect("tokens come between a document's begin and its end");
        let mut rest = tokens;
        while let Some(first) = rest.first() {
            if self.piece_len() == self.seq_len {
                self.emit_full(&open, Some((*first).into()), ready);
            }
            let (taken, later) = rest.split_at(rest.len().min(self.seq_len - self.piece_len()));
            self.tokens.extend(taken.iter().map(|token| (*token).into()));
            open.seen += taken.len() as u64;
            rest = later;
        }
        self.open = Some(open);
    }

    pub fn end(&mut self, ready: &mut VecDeque<Sample>) -> Result<()> {
        let open = self.open.take().expect("a document ends after it has begun");
        let len = self.piece_len();
        if len == self.seq_len {
            self.emit_full(&open, None, ready);
        } else if len > 0 {
            self.pieces.push(Segment { row_id: open.row_id, offset: open.seen - len as u64, len });
            self.starts.push(self.piece_start);
            self.piece_start = self.tokens.len();
        }
        self.seen.add(open.seen);
        self.next_element = open.element + 1;
        if !self.is_unit && self.seen.is_full(self.seq_len) { self.close(ready) } else { Ok(()) }
    }

    pub fn finish(&mut self, ready: &mut VecDeque<Sample>) -> Result<()> {
        assert!(self.open.is_none(), "a lane ends after its last document");
        self.close(ready)
    }

    fn piece_len(&self) -> usize {
        self.tokens.len() - self.piece_start
    }

    /// The open piece is a whole sequence: it waits for nothing.
    fn emit_full(&mut self, open: &OpenDocument, next: Option<u32>, ready: &mut VecDeque<Sample>) {
        let len = self.seq_len;
        let place = self.count_sample();
        if self.is_wanted() {
            let tokens = self.tokens[self.piece_start..].to_vec();
            let segment = Segment { row_id: open.row_id, offset: open.seen - len as u64, len };
            ready.push_back(Sample { seq_len: len, tokens, segments: vec![segment], next, place });
        }
        self.tokens.truncate(self.piece_start);
    }

    /// Fits the pieces that wait into samples; the next document begins a new group.
    fn close(&mut self, ready: &mut VecDeque<Sample>) -> Result<()> {
        let lengths: Vec<usize> = self.pieces.iter().map(|piece| piece.len).collect();
        let bins = Bins::fit(&lengths, self.seq_len);
        let mut bins = bins.iter().peekable();
        while let Some(pieces) = bins.next() {
            let inside = self.count_sample();
            let after = Place { element: self.next_element, taken: 0 };
            let place = if bins.peek().is_some() { inside } else { after };
            if self.is_wanted() {
                ready.push_back(self.gather(pieces, place));
            }
        }
        let (left, emitted) = (self.to_skip, self.emitted);
        self.reset();
        if left > 0 { Err(fewer_than_the_cursor_says(emitted + left, emitted)) } else { Ok(()) }
    }

    fn reset(&mut self) {
        self.to_skip = 0;
        self.seen = Seen::default();
        self.first_element = None;
        self.emitted = 0;
        self.tokens.clear();
        self.pieces.clear();
        self.starts.clear();
        self.piece_start = 0;
    }

    /// The pieces with these numbers as one sample.
    fn gather(&self, pieces: &[u32], place: Place) -> Sample {
        let segments: Vec<Segment> = pieces.iter().map(|piece| self.pieces[*piece as usize]).collect();
        let mut tokens = Vec::with_capacity(segments.iter().map(|segment| segment.len).sum());
        for (piece, segment) in pieces.iter().zip(&segments) {
            let start = self.starts[*piece as usize];
            tokens.extend_from_slice(&self.tokens[start..start + segment.len]);
        }
        Sample { seq_len: self.seq_len, tokens, segments, next: None, place }
    }

    /// One more sample of this group; the place after it while the group lasts.
    fn count_sample(&mut self) -> Place {
        self.emitted += 1;
        Place { element: self.first_element.unwrap_or_default(), taken: self.emitted }
    }

    /// Whether the sample just counted is one that no earlier run has emitted.
    fn is_wanted(&mut self) -> bool {
        let is_wanted = self.to_skip == 0;
        self.to_skip = self.to_skip.saturating_sub(1);
        is_wanted
    }
}

fn fewer_than_the_cursor_says(cursor: u64, emitted: u64) -> Error {
    Error::StateMismatch(format!(
        "the cursor was taken after {cursor} sequences of a group of documents that now gives {emitted}: data or \
         tokenizer have changed; restore them, or start without the cursor"
    ))
}
