//! The documents of a lane: rows in the lane's order, as tokens, piece by piece where they are large.

use std::sync::Arc;

use arrow_schema::Schema;

use super::course::Course;
use super::group::LanePlace;
use crate::assemble::RowSet;
use crate::assemble::leaf::descend;
use crate::assemble::plan::NumericPlan;
use crate::assemble::{BatchRequest, ColumnPlan, Dtype, plan_columns};
use crate::error::{Error, Result};
use crate::loader::ahead::ReadAhead;
use crate::loader::epochs::{EpochReaders, Epochs, Spot};
use crate::loader::table::{RecentBlocks, Table};
use crate::loader::windows::OpenWindows;
use crate::mix::TokenShares;
use crate::text::encoder::Encoder;
use crate::text::pack::Packer;
use crate::text::tokenizer::PIECE_BYTES;

/// Stored ids read at a time.
const PIECE_TOKENS: usize = 1 << 16;

/// No more room than this is kept for the ids of a piece.
const MAX_KEPT_IDS: usize = 1 << 20;

/// What a row is as a document.
#[derive(Clone)]
pub enum Content {
    /// Text that is encoded.
    Text(Arc<Encoder>),
    /// Ids that were encoded before: a column of integers or lists of them.
    Tokens {
        /// Index of the column among those that are read.
        column: usize,
        /// The way to its integers.
        plan: NumericPlan,
        /// Id that ends every document, where the column does not hold it.
        eos: Option<u32>,
    },
}

impl Content {
    /// Text, where an encoder makes ids of it; else the ids in a column, as [`Content::stored`] finds them.
    ///
    /// # Errors
    /// As of [`Content::stored`].
    pub fn of(encoder: Option<&Arc<Encoder>>, schema: &Schema, name: &str, eos: Option<u32>) -> Result<Self> {
        encoder.map_or_else(|| Self::stored(schema, name, eos), |encoder| Ok(Self::Text(Arc::clone(encoder))))
    }

    /// The ids in a column, each document of which `eos` ends where the column does not hold it.
    ///
    /// # Errors
    /// `SchemaMismatch` where there is no such column, or it holds no integers.
    pub fn stored(schema: &Schema, name: &str, eos: Option<u32>) -> Result<Self> {
        let column = schema.index_of(name);
        let plan = column.as_ref().ok().and_then(|column| {
            let plans = plan_columns(schema, &BatchRequest::default()).ok()?;
            match plans.into_iter().nth(*column)? {
                ColumnPlan::Numeric(plan) if !plan.stored.is_float() && plan.stored != Dtype::Bool => {
                    Some(plan)
                }
                _ => None,
            }
        });
        match (column, plan) {
            (Ok(column), Some(plan)) => Ok(Self::Tokens { column, plan, eos }),
            (column, _) => {
                let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                let problem = match column {
                    Ok(column) => {
                        format!("column {name:?} is {}, not token ids", schema.field(column).data_type())
                    }
                    Err(_) => {
                        format!(
                            "there is no column {name:?} of token ids; the columns are {}",
                            names.join(", ")
                        )
                    }
                };
                Err(Error::SchemaMismatch {
                    path: None,
                    message: format!(
                        "{problem}; .tokenize(...) makes them of text, .pack(..., column=NAME) names them"
                    ),
                })
            }
        }
    }
}

/// Where documents come from.
#[derive(Clone)]
pub struct Documents {
    /// The opened data.
    pub table: Arc<Table>,
    /// The orders of its epochs.
    pub epochs: Arc<Epochs>,
    /// What a row is.
    pub content: Content,
    /// Epoch in which the pass began.
    pub first_epoch: u64,
    /// Epochs of the pass; `None` is endless.
    pub num_epochs: Option<u64>,
    /// Positions of each epoch that are read.
    pub positions: (u64, u64),
    /// Whose document comes next, where sources are mixed by tokens.
    pub shares: Option<Arc<TokenShares>>,
}

impl Documents {
    /// The documents of a lane from its place on.
    pub fn course(&self, place: &LanePlace) -> Course {
        if let Some(shares) = &self.shares {
            return Course::by_tokens(shares, place.lane, &place.sources);
        }
        let (_, len) = self.lane_rows(place.lane);
        let next = place.epoch.saturating_sub(self.first_epoch) * len + place.row.min(len);
        Course::in_order(self, place.lane, self.first_epoch, self.num_epochs, next)
    }

    /// Elements of a lane in each epoch that are read: the first, and their number.
    pub fn lane_rows(&self, lane: u32) -> (u64, u64) {
        lane_rows(self.positions, self.epochs.num_lanes(), lane)
    }
}

/// Elements of a lane at these positions of an epoch: the first, and their number.
pub fn lane_rows(positions: (u64, u64), num_lanes: u32, lane: u32) -> (u64, u64) {
    let index = |position: u64| position.saturating_sub(u64::from(lane)).div_ceil(u64::from(num_lanes));
    let (first, last) = (index(positions.0), index(positions.1));
    (first, last.saturating_sub(first))
}

/// A document that is being read.
pub struct OpenDocument {
    /// Its row, and the block that it lies in.
    rows: RowSet,
    /// The text, where it has several parts.
    joined: Option<String>,
    /// Bytes or ids that were read.
    done: usize,
    /// Whether all of it was.
    pub is_done: bool,
    /// Its row id.
    pub row_id: u64,
}

/// One thread's reader of documents.
pub struct DocumentReader {
    documents: Documents,
    ahead: Option<Arc<ReadAhead>>,
    windows: Arc<OpenWindows>,
    readers: EpochReaders,
    recent: RecentBlocks,
    ids: Vec<u32>,
}

impl DocumentReader {
    /// Reads nothing yet.
    pub fn new(documents: &Documents, ahead: Option<Arc<ReadAhead>>, windows: Arc<OpenWindows>) -> Self {
        Self {
            documents: documents.clone(),
            ahead,
            windows,
            readers: EpochReaders::default(),
            recent: RecentBlocks::default(),
            ids: Vec::new(),
        }
    }

    /// The document at a spot; `None` where it is left out for damage.
    pub fn open(&mut self, spot: &Spot) -> Result<Option<OpenDocument>> {
        let documents = &self.documents;
        let (table, epochs) = (&documents.table, &documents.epochs);
        let place = self.readers.locate(epochs, spot);
        if let Some(ahead) = &self.ahead {
            ahead.reached(spot);
        }
        self.windows.reached(spot);
        let mut rows = RowSet::default();
        let is_there = table.push_row(place, &mut rows, &mut self.recent)?
            && is_sound(table, &documents.content, &rows)?;
        let row_id = epochs.row_id(spot, place);
        let opened = OpenDocument { rows, joined: None, done: 0, is_done: false, row_id };
        if is_there { self.joined(opened).map(Some) } else { Ok(None) }
    }

    fn joined(&self, mut document: OpenDocument) -> Result<OpenDocument> {
        if let Content::Text(encoder) = &self.documents.content
            && encoder.is_joined()
        {
            let mut joined = String::new();
            encoder.text(&document.rows, 0, &mut joined)?;
            document.joined = Some(joined);
        }
        Ok(document)
    }

    /// Gives the packer the next tokens of a document, and tells how many; all are given once it is done.
    ///
    /// They are those of one piece: a larger document never lies in memory whole, neither its text's copy nor its ids,
    /// and other threads seldom wait long for its lane.
    pub fn feed(&mut self, document: &mut OpenDocument, packer: &mut Packer) -> Result<u64> {
        let num_tokens = match &self.documents.content {
            Content::Text(encoder) => {
                let start = document.done;
                let (piece, len) = match &document.joined {
                    Some(text) => (encoder.first_piece(&text[start..], PIECE_BYTES), text.len()),
                    None => encoder.piece(&document.rows, start, PIECE_BYTES)?,
                };
                clear(&mut self.ids);
                encoder.encode_piece(piece, start, len, &mut self.ids)?;
                document.done += piece.len();
                document.is_done = document.done == len;
                packer.tokens(&self.ids);
                self.ids.len()
            }
            Content::Tokens { column, plan, eos } => {
                let before = document.done;
                feed_stored(document, *column, plan, packer)?;
                let eos = eos.filter(|_| document.is_done);
                packer.tokens(eos.as_slice());
                document.done - before + usize::from(eos.is_some())
            }
        };
        if document.is_done {
            document.rows.check_damage()?;
        }
        Ok(num_tokens as u64)
    }
}

/// Whether a row can be read; one that cannot is counted, or is the error.
fn is_sound(table: &Table, content: &Content, rows: &RowSet) -> Result<bool> {
    let check = || {
        rows.ensure_row(0)?;
        rows.check_damage()?;
        // What was handed to the packer cannot be taken back: a document is left out before or not at all.
        if !table.skips() {
            return Ok(());
        }
        rows.check_text(0, table.schema().fields())?;
        if let Content::Text(encoder) = content { encoder.check(rows, 0) } else { Ok(()) }
    };
    check().map_or_else(|error| table.skip(error, 1), |()| Ok(true))
}

/// Counts the tokens of rows, for one thread: as many as a [`DocumentReader`] gives a packer.
pub struct DocumentCounter<'a> {
    table: &'a Table,
    content: &'a Content,
    recent: RecentBlocks,
    ids: Vec<u32>,
    joined: String,
}

impl<'a> DocumentCounter<'a> {
    /// Reads nothing yet.
    pub fn new(table: &'a Table, content: &'a Content) -> Self {
        let recent = RecentBlocks::default();
        Self { table, content, recent, ids: Vec::new(), joined: String::new() }
    }

    /// Tokens of the row with this id; `None` where it is left out for damage.
    pub fn count(&mut self, row_id: u64) -> Result<Option<u64>> {
        let Self { table, content, recent, .. } = self;
        let mut rows = RowSet::default();
        let place = table.locate(row_id)?;
        if !(table.push_row(place, &mut rows, recent)? && is_sound(table, content, &rows)?) {
            return Ok(None);
        }
        let num_tokens = match content {
            Content::Text(encoder) => self.encoded(encoder, &rows)?,
            Content::Tokens { column, plan, eos } => {
                let (array, row) = rows.cell(*column, 0);
                let stored = descend(array, &plan.hops, row).map_or(0, |leaf| leaf.len);
                (stored + usize::from(eos.is_some())) as u64
            }
        };
        rows.check_damage()?;
        Ok(Some(num_tokens))
    }

    fn encoded(&mut self, encoder: &Encoder, rows: &RowSet) -> Result<u64> {
        let Self { ids, joined, .. } = self;
        let text = encoder.text(rows, 0, joined)?;
        let (mut done, mut num_tokens) = (0, 0);
        loop {
            clear(ids);
            let piece = encoder.first_piece(&text[done..], PIECE_BYTES);
            encoder.encode_piece(piece, done, text.len(), ids)?;
            done += piece.len();
            num_tokens += ids.len() as u64;
            if done == text.len() {
                return Ok(num_tokens);
            }
        }
    }
}

/// Gives the packer stored ids from the `done`-th on.
fn feed_stored(
    document: &mut OpenDocument,
    column: usize,
    plan: &NumericPlan,
    packer: &mut Packer,
) -> Result<()> {
    let (array, row) = document.rows.cell(column, 0);
    // A null is an empty document.
    let Ok(leaf) = descend(array, &plan.hops, row) else {
        document.is_done = true;
        return Ok(());
    };
    let start = leaf.start + document.done;
    let len = (leaf.len - document.done).min(PIECE_TOKENS);
    packer.list_values(leaf.array, start..start + len, document.row_id).map_err(|error| match error {
        // It is the data that is wrong, not what was asked for.
        Error::InvalidArgument(problem) => document.rows.locate(0).0.corrupt(problem),
        other => other,
    })?;
    document.done += len;
    document.is_done = document.done == leaf.len;
    Ok(())
}

/// Empties a buffer of ids that is kept from piece to piece; one huge document must not pin memory for good.
fn clear(ids: &mut Vec<u32>) {
    ids.clear();
    ids.shrink_to(MAX_KEPT_IDS);
}
