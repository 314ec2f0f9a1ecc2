//! Blocks of token files: lists whose ids are views of the file.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, make_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::{DataType, FieldRef};

use super::PIECE_TOKENS;
use super::megatron::{Header, index_beside};
use crate::error::{Error, Result};
use crate::shard::block::Block;
use crate::shard::format::Format;
use crate::shard::index::{BlockMeta, ShardIndex};
use crate::shard::storage::storage_field;
use crate::source::{ReadFile, Source};

/// One open token file.
#[derive(Debug)]
pub struct TokenReader {
    source: Arc<dyn Source>,
    field: FieldRef,
    ids: DataType,
    /// How often the column is asked for: once or not at all.
    num_columns: usize,
    documents: Option<Documents>,
}

/// Where the documents of a Megatron file lie.
#[derive(Debug)]
struct Documents {
    index: ReadFile,
    header: Header,
    /// The first document of each block, and their number.
    firsts: Vec<u64>,
}

impl TokenReader {
    /// Prepares to read `source`, of which `index` is what the walk found.
    pub fn try_new(
        source: Arc<dyn Source>,
        index: &ShardIndex,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let projection = projection.unwrap_or_else(|| vec![0]);
        if projection.len() > 1 || projection.iter().any(|column| *column > 0) {
            return Err(Error::InvalidArgument(format!("columns {projection:?} of 1 are asked for")));
        }
        let Some(field) = index.schema.fields().first() else {
            return Err(Error::Internal("a token file without its column".to_owned()));
        };
        let DataType::List(item) = field.data_type() else {
            return Err(Error::Internal(format!("a token file of {}", field.data_type())));
        };
        let documents = match index.format {
            Format::Megatron => Some(Documents::open(source.path(), &index.blocks)?),
            Format::LlmC
            | Format::BareTokens
            | Format::ArrowStream
            | Format::ArrowFile
            | Format::Parquet
            | Format::Tar => None,
        };
        Ok(Self {
            field: storage_field(field),
            ids: item.data_type().clone(),
            num_columns: projection.len(),
            documents,
            source,
        })
    }

    /// The file under it.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The fields of the columns that [`TokenReader::decode`] gives.
    pub fn storage_fields(&self) -> impl Iterator<Item = &FieldRef> {
        std::iter::repeat_n(&self.field, self.num_columns)
    }

    /// The rows of the block at `index` of the shard.
    pub fn decode(&self, index: u64, block: &BlockMeta) -> Result<Block> {
        let body = self.source.buffer(block.offset, block.body_len as usize)?;
        let width = self.ids.primitive_width().unwrap_or(1);
        let num_tokens = body.len() / width;
        let offsets = match &self.documents {
            Some(documents) => documents.offsets(index, num_tokens, width, self.source.path())?,
            None => pieces(num_tokens),
        };
        let corrupt = |error: &dyn std::fmt::Display| {
            Error::corrupt_at(self.source.path(), block.offset, format!("its ids make no lists: {error}"))
        };
        if offsets.len() as u64 != block.num_rows + 1 {
            return Err(corrupt(&"other rows were indexed here; open the dataset again").in_block(index));
        }
        let misaligned = usize::from(body.as_ptr().align_offset(width) != 0);
        let (owned, num_rows) = (offsets.len() * 4, offsets.len() - 1);
        let bytes = owned + if self.source.is_mapped() { misaligned * body.len() } else { body.len() };
        let ids = ArrayData::builder(self.ids.clone()).len(num_tokens).add_buffer(body).align_buffers(true);
        let lists = ids.build().and_then(|ids| {
            let lists = ArrayData::builder(self.field.data_type().clone()).len(num_rows);
            lists.add_buffer(Buffer::from_vec(offsets)).add_child_data(ids).build()
        });
        let lists = lists.map_err(|error| corrupt(&error).in_block(index))?;
        let data = vec![lists; self.num_columns];
        let columns: Vec<ArrayRef> = data.iter().cloned().map(make_array).collect();
        let source = Arc::clone(&self.source);
        Ok(Block::new(columns, data, index, *block, bytes, misaligned, source))
    }
}

/// Where pieces of one length begin, and where the last one ends.
fn pieces(num_tokens: usize) -> Vec<i32> {
    (0..num_tokens).step_by(PIECE_TOKENS as usize).chain([num_tokens]).map(|start| start as i32).collect()
}

impl Documents {
    fn open(path: &Path, blocks: &[BlockMeta]) -> Result<Self> {
        let Some(beside) = index_beside(path) else {
            return Err(Error::MissingShard {
                path: path.with_extension("idx"),
                problem: format!("it says where the documents of {} lie; restore it", path.display()),
            });
        };
        let index = ReadFile::open(&beside)?;
        let header = Header::read(&index)?;
        let ends = blocks.iter().scan(0_u64, |rows, block| {
            *rows += block.num_rows;
            Some(*rows)
        });
        let firsts: Vec<u64> = std::iter::once(0).chain(ends).collect();
        let documents = Self { index, header, firsts };
        if documents.firsts.last() != Some(&documents.header.num_documents) {
            return Err(documents.changed(0));
        }
        Ok(documents)
    }

    /// Where the documents of a block begin among its `num_tokens` ids, and where the last one ends.
    fn offsets(&self, block: u64, num_tokens: usize, width: usize, path: &Path) -> Result<Vec<i32>> {
        let changed = || self.changed(block);
        if self.header.width() != width as u64 {
            return Err(changed());
        }
        let at = block as usize;
        let (first, last) = self.firsts.get(at).zip(self.firsts.get(at + 1)).ok_or_else(changed)?;
        let starts = self.header.starts(&self.index, *first, last - first + 1)?;
        let base = *starts.first().ok_or_else(changed)?;
        let end = *starts.last().ok_or_else(changed)?;
        let in_index =
            |sequence: i64| u64::try_from(sequence).ok().filter(|at| *at <= self.header.num_sequences);
        let (Some(from), Some(to)) = (in_index(base), in_index(end)) else { return Err(changed()) };
        let count = to.checked_sub(from).ok_or_else(changed)?;
        let sizes = Header::sizes(&self.index, from, count)?;
        let mut ends = vec![0_i64];
        let mut sum = 0_i64;
        for size in sizes {
            if size < 0 {
                return Err(changed());
            }
            sum += i64::from(size);
            ends.push(sum);
        }
        if sum != num_tokens as i64 {
            return Err(changed());
        }
        let offset = |start: &i64| {
            let at = start.checked_sub(base).and_then(|at| usize::try_from(at).ok())?;
            ends.get(at).and_then(|end| i32::try_from(*end).ok())
        };
        let offsets: Option<Vec<i32>> = starts.iter().map(offset).collect();
        offsets.ok_or_else(|| {
            Error::corrupt(
                path,
                "a block of more than 2^31 tokens, or of documents out of order; write it again",
            )
        })
    }

    fn changed(&self, block: u64) -> Error {
        let path = self.index.path();
        Error::corrupt(path, "other documents were indexed than it tells of now; open the dataset again")
            .in_block(block)
    }
}
