//! Which documents a lane reads, one after the other.
//!
//! Usually the order says so, of a mix too. Where sources are mixed by tokens, how many each document had decides from
//! which source the next one comes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::documents::Documents;
use super::group::SourcePlace;
use crate::error::{Error, Result};
use crate::loader::counts::{DocumentCounts, LaneDocuments};
use crate::loader::epochs::Spot;
use crate::mix::{TokenShares, counted_tokens};

/// A walk along a lane's documents, which are counted from the beginning of the pass on.
#[derive(Clone)]
pub struct Course {
    lane: u32,
    next: u64,
    way: Way,
}

#[derive(Clone)]
enum Way {
    InOrder {
        first_epoch: u64,
        /// The lane's first element in each epoch, and how many there are.
        rows: (u64, u64),
        /// How many epochs there are; `None` is endless.
        num_epochs: Option<u64>,
    },
    ByTokens(Box<ByTokens>),
}

/// A mix by tokens, at the document that comes next and at the one that a cursor would name.
#[derive(Clone)]
struct ByTokens {
    shares: Arc<TokenShares>,
    now: Taken,
    /// Where the lane stood before the first of the documents in `since`.
    base: Taken,
    /// Source and tokens of each document since then; the last one's are not known before it was read.
    since: VecDeque<(u8, u64)>,
}

/// What a lane has taken of each source.
#[derive(Clone)]
struct Taken {
    rows: Vec<u64>,
    tokens: Vec<u64>,
}

impl Course {
    /// The documents of `epochs` of the order from `first_epoch` on, from the one with a number on.
    pub fn in_order(
        documents: &Documents,
        lane: u32,
        first_epoch: u64,
        num_epochs: Option<u64>,
        next: u64,
    ) -> Self {
        let rows = documents.lane_rows(lane);
        Self { lane, next, way: Way::InOrder { first_epoch, rows, num_epochs } }
    }

    /// The documents that `shares` chooses, going on where the sources stand; from the beginning where they do not.
    pub fn by_tokens(shares: &Arc<TokenShares>, lane: u32, places: &[SourcePlace]) -> Self {
        let of = |number: fn(&SourcePlace) -> u64| {
            let given = places.iter().map(number).chain(std::iter::repeat(0));
            given.take(shares.num_sources()).collect()
        };
        let base = Taken { rows: of(|place| place.row), tokens: of(|place| place.taken) };
        let next = base.rows.iter().sum();
        let way = ByTokens { shares: Arc::clone(shares), now: base.clone(), base, since: VecDeque::new() };
        Self { lane, next, way: Way::ByTokens(Box::new(way)) }
    }

    /// Documents of the lane that make one epoch, or that are as many where it has none.
    pub fn epoch_len(&self, documents: &Documents) -> u64 {
        match &self.way {
            Way::InOrder { rows, .. } => rows.1.min(documents.epochs.num_rows()),
            Way::ByTokens(_) => documents.epochs.num_rows(),
        }
    }

    /// The number of the document that comes next.
    pub fn number(&self) -> u64 {
        self.next
    }

    /// Where the document with a number lies; `None` after the last one, and where only those before it tell.
    pub fn at(&self, documents: &Documents, number: u64) -> Option<Spot> {
        let Way::InOrder { first_epoch, rows: (first, len), num_epochs } = self.way else { return None };
        if len == 0 || num_epochs.is_some_and(|epochs| number >= epochs * len) {
            return None;
        }
        Some(documents.epochs.spot(first_epoch + number / len, self.lane, first + number % len))
    }

    /// The documents as groups of whole windows are made of them.
    ///
    /// # Errors
    /// `InvalidArgument` in a mix by tokens, which has no windows.
    pub fn lane_documents<'a>(
        &self,
        documents: &'a Documents,
        counts: &'a DocumentCounts,
        seq_len: usize,
    ) -> Result<LaneDocuments<'a>> {
        let Way::InOrder { first_epoch, rows, num_epochs } = self.way else {
            return Err(Error::InvalidArgument(
                "documents that are mixed by tokens have no windows".to_owned(),
            ));
        };
        let epochs = &documents.epochs;
        Ok(LaneDocuments { counts, epochs, first_epoch, num_epochs, lane: self.lane, rows, seq_len })
    }

    /// The next document: its number, and where it lies; `None` after the last one.
    pub fn next(&mut self, documents: &Documents) -> Option<(u64, Spot)> {
        let (number, lane) = (self.next, self.lane);
        let spot = match &mut self.way {
            Way::InOrder { .. } => self.at(documents, number)?,
            Way::ByTokens(way) => {
                let source = way.shares.next_source(lane, &way.now.tokens);
                let index = way.now.rows[source];
                way.now.rows[source] += 1;
                way.since.push_back((source as u8, 0));
                documents.epochs.spot_of(source, documents.first_epoch, lane, index)
            }
        };
        self.next += 1;
        Some((number, spot))
    }

    /// Notes how many tokens the document that came last had, before the next one is asked for.
    pub fn counted(&mut self, num_tokens: u64) {
        if let Way::ByTokens(way) = &mut self.way
            && let Some((source, tokens)) = way.since.back_mut()
        {
            *tokens = counted_tokens(num_tokens);
            way.now.tokens[usize::from(*source)] += *tokens;
        }
    }

    /// Forgets what comes before a document: no cursor is going to name it.
    pub fn settle(&mut self, number: u64) {
        let num_since = self.next - number.min(self.next);
        if let Way::ByTokens(way) = &mut self.way {
            while way.since.len() as u64 > num_since {
                let Some((source, tokens)) = way.since.pop_front() else { break };
                way.base.rows[usize::from(source)] += 1;
                way.base.tokens[usize::from(source)] += tokens;
            }
        }
    }

    /// Where each source stands at the document that was settled last; nothing where the order says so.
    pub fn sources(&self) -> Vec<SourcePlace> {
        match &self.way {
            Way::InOrder { .. } => Vec::new(),
            Way::ByTokens(way) => {
                let Taken { rows, tokens } = &way.base;
                rows.iter().zip(tokens).map(|(&row, &taken)| SourcePlace { row, taken }).collect()
            }
        }
    }
}
