//! Rows to token ids: the text of a row's columns, encoded, between the ids that begin and end a document.

use std::str::Utf8Error;
use std::sync::Arc;

use arrow_array::{ArrayRef, ArrowPrimitiveType, ListArray, PrimitiveArray, types};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::tokenizer::Tokenizer;
use crate::assemble::RowSet;
use crate::assemble::arrow::stored_column;
use crate::error::{Error, Result};
use crate::shard::Block;
use crate::shard::values::{bytes_at, is_text};

/// The column that tokens come in.
pub const INPUT_IDS: &str = "input_ids";

/// A part of a document's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These characters.
    Literal(String),
    /// The value of a column, by its index among those that are read; a null is an empty text.
    Column(usize),
}

/// What is encoded, and how.
#[derive(Clone)]
pub struct EncoderSpec {
    /// Text to ids.
    pub tokenizer: Tokenizer,
    /// What a document's text is made of.
    pub parts: Vec<Part>,
    /// Id put before each document.
    pub bos: Option<u32>,
    /// Id put after each document.
    pub eos: Option<u32>,
    /// Columns that stay beside the ids, by their indices among those that are read.
    pub kept: Vec<usize>,
}

/// Encodes rows; shared by threads.
pub struct Encoder {
    spec: EncoderSpec,
    read: SchemaRef,
    schema: SchemaRef,
    width: Width,
}

/// The narrowest unsigned type that holds every id.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Width {
    U8,
    U16,
    U32,
}

/// The value of a column; a null is an empty text.
fn column_bytes(rows: &RowSet, index: usize, column: usize) -> &[u8] {
    let (array, row) = rows.cell(column, index);
    bytes_at(array.as_ref(), row).unwrap_or_default()
}

impl Encoder {
    /// An encoder of rows with the columns of `read`.
    ///
    /// # Errors
    /// `SchemaMismatch` where a part is no text.
    pub fn try_new(spec: EncoderSpec, read: &SchemaRef) -> Result<Self> {
        for part in &spec.parts {
            let Part::Column(column) = part else { continue };
            let field = read.field(*column);
            if !is_text(field.data_type()) {
                return Err(Error::SchemaMismatch {
                    path: None,
                    message: format!(
                        "column {:?} is {}, not text, and cannot be tokenized; name a column of strings",
                        field.name(),
                        field.data_type()
                    ),
                });
            }
        }
        let num_ids =
            spec.bos.into_iter().chain(spec.eos).map(|id| id + 1).fold(spec.tokenizer.vocab_size(), u32::max);
        let width = match num_ids {
            0..=0x100 => Width::U8,
            0x101..=0x1_0000 => Width::U16,
            _ => Width::U32,
        };
        let ids = Field::new_list(INPUT_IDS, Field::new_list_field(width.data_type(), false), false);
        let kept = spec.kept.iter().map(|column| Arc::clone(&read.fields()[*column]));
        let fields: Vec<FieldRef> = std::iter::once(Arc::new(ids)).chain(kept).collect();
        let schema = Arc::new(Schema::new(fields));
        Ok(Self { spec, read: Arc::clone(read), schema, width })
    }

    /// The ids' column, and those that stay.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// What is encoded, and how.
    pub fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    /// The text of a row; `joined` holds it where it has several parts.
    ///
    /// # Errors
    /// `CorruptShard` where it is not UTF-8.
    pub fn text<'a>(&self, rows: &'a RowSet, index: usize, joined: &'a mut String) -> Result<&'a str> {
        if let [Part::Column(column)] = self.spec.parts[..] {
            return self.column_text(rows, index, column);
        }
        joined.clear();
        for part in &self.spec.parts {
            joined.push_str(match part {
                Part::Literal(text) => text,
                Part::Column(column) => self.column_text(rows, index, *column)?,
            });
        }
        Ok(joined)
    }

    fn column_text<'a>(&self, rows: &'a RowSet, index: usize, column: usize) -> Result<&'a str> {
        let bytes = column_bytes(rows, index, column);
        std::str::from_utf8(bytes).map_err(|error| self.not_text(rows, index, column, &error))
    }

    #[cold]
    fn not_text(&self, rows: &RowSet, index: usize, column: usize, error: &Utf8Error) -> Error {
        let (block, row) = rows.locate(index);
        let name = self.read.field(column).name();
        block.corrupt(format!("row {row}, column {name:?}: not UTF-8 ({error}); it cannot be tokenized"))
    }

    /// An error where the text of a row is not UTF-8, in whatever column it lies.
    ///
    /// Only who leaves damage out asks, as of [`RowSet::check_text`], to which a column of bytes is none.
    ///
    /// # Errors
    /// `CorruptShard` names row and column.
    pub fn check(&self, rows: &RowSet, index: usize) -> Result<()> {
        for part in &self.spec.parts {
            if let Part::Column(column) = part {
                rows.ensure_column(*column)?;
                self.column_text(rows, index, *column)?;
            }
        }
        Ok(())
    }

    /// The piece of a row's text that begins at byte `start`, as [`Tokenizer::pieces`] cuts it, and the text's length.
    ///
    /// All of the text is looked at for the first piece, so that none is given out of one that is damaged; for a later
    /// one no more than it needs: a text of many pieces is not read through for each of them.
    ///
    /// # Errors
    /// `CorruptShard` where it is not UTF-8.
    pub fn piece<'a>(&self, rows: &'a RowSet, start: usize, max_bytes: usize) -> Result<(&'a str, usize)> {
        let [Part::Column(column)] = self.spec.parts[..] else {
            return Err(Error::Internal("a text of several parts lies nowhere as one".to_owned()));
        };
        if start == 0 {
            let text = self.column_text(rows, 0, column)?;
            return Ok((self.first_piece(text, max_bytes), text.len()));
        }
        let bytes = column_bytes(rows, 0, column);
        let piece = self.spec.tokenizer.first_piece(&bytes[start..], max_bytes);
        piece.map(|piece| (piece, bytes.len())).map_err(|error| self.not_text(rows, 0, column, &error))
    }

    /// Adds the ids of a whole document.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        ids.extend(self.spec.bos);
        self.spec.tokenizer.encode(text, ids)?;
        ids.extend(self.spec.eos);
        Ok(())
    }

    /// Whether a row's text is made of several parts, and lies nowhere as one.
    pub fn is_joined(&self) -> bool {
        !matches!(self.spec.parts[..], [Part::Column(_)])
    }

    /// The first piece of a text, as [`Tokenizer::pieces`] cuts it.
    pub fn first_piece<'t>(&self, text: &'t str, max_bytes: usize) -> &'t str {
        self.spec.tokenizer.pieces(text, max_bytes).next().unwrap_or_default()
    }

    /// Adds the ids of a piece that begins at byte `start` of a document of so many bytes.
    ///
    /// The ids of all pieces are those of the whole: a text is cut only where that is certain, and not at all where
    /// it never is.
    pub fn encode_piece(&self, piece: &str, start: usize, len: usize, ids: &mut Vec<u32>) -> Result<()> {
        let Self { spec: EncoderSpec { tokenizer, bos, eos, .. }, .. } = self;
        if start == 0 {
            ids.extend(*bos);
            ids.extend_from_slice(&tokenizer.frame().prefix);
        }
        tokenizer.encode_piece(piece, ids)?;
        if start + piece.len() == len {
            ids.extend_from_slice(&tokenizer.frame().suffix);
            ids.extend(*eos);
        }
        Ok(())
    }

    /// The rows with their ids, in one block of memory of its own.
    ///
    /// # Errors
    /// `CorruptShard` where a text is not UTF-8 or a file vanished under the rows.
    pub fn apply(&self, rows: &RowSet) -> Result<RowSet> {
        let Some(first) = rows.blocks.first() else { return Ok(RowSet::default()) };
        for part in &self.spec.parts {
            if let Part::Column(column) = part {
                rows.ensure_column(*column)?;
            }
        }
        let mut columns = vec![match self.width {
            Width::U8 => self.lists::<types::UInt8Type>(rows, |id| id as u8),
            Width::U16 => self.lists::<types::UInt16Type>(rows, |id| id as u16),
            Width::U32 => self.lists::<types::UInt32Type>(rows, |id| id),
        }?];
        for column in &self.spec.kept {
            rows.ensure_column(*column)?;
            columns.push(stored_column(rows, *column, self.read.field(*column))?);
        }
        rows.check_damage()?;
        let block = Arc::new(Block::of_columns(columns, rows.len(), Arc::clone(first.source())));
        let mut made = RowSet::default();
        (0..rows.len()).for_each(|row| made.push(&block, row as u32));
        Ok(made)
    }

    /// Each row's ids as a list. Every id is below the number that the width was chosen by, and none is cut.
    fn lists<T: ArrowPrimitiveType>(
        &self,
        rows: &RowSet,
        narrow: impl Fn(u32) -> T::Native,
    ) -> Result<ArrayRef> {
        let (mut values, mut joined, mut ids) = (Vec::<T::Native>::new(), String::new(), Vec::new());
        let mut offsets = Vec::with_capacity(rows.len() + 1);
        offsets.push(0_i32);
        for index in 0..rows.len() {
            let text = self.text(rows, index, &mut joined)?;
            ids.clear();
            self.encode(text, &mut ids)?;
            // One document's ids are narrowed while the nearest caches have them.
            values.extend(ids.iter().map(|id| narrow(*id)));
            offsets.push(i32::try_from(values.len()).map_err(|_| too_many())?);
        }
        let item = Arc::new(Field::new_list_field(T::DATA_TYPE, false));
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let values = PrimitiveArray::<T>::new(ScalarBuffer::from(values), None);
        ListArray::try_new(item, offsets, Arc::new(values), None)
            .map(|list| Arc::new(list) as ArrayRef)
            .map_err(|error| Error::Internal(format!("a list of ids: {error}")))
    }
}

impl Width {
    fn data_type(self) -> DataType {
        match self {
            Self::U8 => DataType::UInt8,
            Self::U16 => DataType::UInt16,
            Self::U32 => DataType::UInt32,
        }
    }
}

fn too_many() -> Error {
    Error::InvalidArgument(
        "the documents of one batch have more than 2^31 tokens; take smaller batches".to_owned(),
    )
}
