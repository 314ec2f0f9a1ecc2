//! One block of a tar: its headers again, and views of its members.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::make_view;
use arrow_array::{Array, ArrayRef, BinaryArray, BinaryViewArray};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{FieldRef, SchemaRef};

use super::KEY;
use super::members::{Bytes, Members};
use super::names::readable;
use super::parts::{Part, Parts};
use crate::error::{Error, Result};
use crate::shard::block::Block;
use crate::shard::index::BlockMeta;
use crate::shard::storage::storage_field;
use crate::source::Source;

/// The farthest that a view points into its buffer: its numbers are signed for other readers of Arrow.
const MAX_REACH: u64 = i32::MAX as u64;

/// The most bytes that a view holds itself.
const INLINE: u64 = 12;

/// One open tar.
#[derive(Debug)]
pub struct TarReader {
    source: Arc<dyn Source>,
    /// The columns that are decoded, in storage form.
    fields: Vec<FieldRef>,
    /// Which of them each column of the data set is, if any.
    places: HashMap<String, Option<usize>>,
}

impl TarReader {
    /// Prepares to read `source`.
    ///
    /// The schema may be that of a whole data set: columns that this archive lacks are null. With a projection
    /// only those columns are made, in that order.
    pub fn try_new(
        source: Arc<dyn Source>,
        schema: &SchemaRef,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let all = schema.fields();
        let projection = projection.unwrap_or_else(|| (0..all.len()).collect());
        let mut places: HashMap<String, Option<usize>> =
            all.iter().map(|field| (field.name().clone(), None)).collect();
        let mut fields = Vec::with_capacity(projection.len());
        for index in projection {
            let field = all.get(index).ok_or_else(|| {
                Error::InvalidArgument(format!("column {index} of {} is asked for", all.len()))
            })?;
            if let Some(Some(_)) = places.insert(field.name().clone(), Some(fields.len())) {
                return Err(Error::InvalidArgument(format!("column {index} is asked for twice")));
            }
            fields.push(storage_field(field));
        }
        Ok(Self { source, fields, places })
    }

    /// The file under it.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The fields of the columns that [`TarReader::decode`] gives, in storage form.
    pub fn storage_fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.fields.iter()
    }

    /// Reads the headers of the block at `index` of the shard, and points at its members.
    pub fn decode(&self, index: u64, block: &BlockMeta) -> Result<Block> {
        let len = usize::try_from(block.body_len).map_err(|_| {
            Error::corrupt_at(self.source.path(), block.offset, "a block beyond this machine")
        })?;
        let body = self.source.buffer(block.offset, len)?;
        let bytes = InBlock { source: self.source.as_ref(), body: body.clone(), base: block.offset };
        let mut parts = Parts::new(Members::new(bytes, self.source.path(), Some(index), block.offset));
        let mut columns = Columns::new(self, body, block);
        while let Some(part) = parts.next_part()? {
            let Some(place) = self.places.get(part.column) else {
                return Err(changed(block, &parts));
            };
            columns.push(&part, *place)?;
        }
        if columns.num_rows as u64 != block.num_rows || parts.members.at != block.end() {
            return Err(changed(block, &parts));
        }
        columns.finish(index, block)
    }
}

fn changed(block: &BlockMeta, parts: &Parts<'_, InBlock<'_>>) -> Error {
    let problem = format!(
        "{} samples of other columns were indexed here; the file has changed, open the dataset again",
        block.num_rows
    );
    parts.members.corrupt(block.offset, problem)
}

/// A block's bytes; those of a map are made present first.
struct InBlock<'a> {
    source: &'a dyn Source,
    body: Buffer,
    base: u64,
}

impl Bytes for InBlock<'_> {
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]> {
        let start = offset.saturating_sub(self.base).min(self.body.len() as u64) as usize;
        let len = len.min(self.body.len() - start);
        self.source.ensure(offset, len)?;
        Ok(&self.body[start..start + len])
    }

    fn end(&self) -> u64 {
        self.base + self.body.len() as u64
    }
}

/// The columns of a block while its members are gone through.
struct Columns<'a> {
    reader: &'a TarReader,
    body: Buffer,
    base: u64,
    /// Where each of the buffers that views point into begins.
    starts: Vec<u64>,
    num_rows: usize,
    keys: Vec<Vec<u8>>,
    values: Vec<Values>,
}

impl<'a> Columns<'a> {
    fn new(reader: &'a TarReader, body: Buffer, block: &BlockMeta) -> Self {
        let values = reader.fields.iter().map(|_| Values::default()).collect();
        let starts = vec![block.offset];
        Self { reader, body, base: block.offset, starts, num_rows: 0, keys: Vec::new(), values }
    }

    fn push(&mut self, part: &Part<'_>, place: Option<usize>) -> Result<()> {
        if part.is_first {
            self.num_rows += 1;
            self.keys.push(readable(part.key).into_bytes());
        }
        let Some(place) = place else { return Ok(()) };
        let view = self.view(part)?;
        self.values[place].push(self.num_rows - 1, view);
        Ok(())
    }

    fn view(&mut self, part: &Part<'_>) -> Result<u128> {
        let mut buffer = self.starts.len() - 1;
        if part.data + part.size - self.starts[buffer] > MAX_REACH {
            self.starts.push(part.data);
            buffer += 1;
        }
        // The view keeps the first bytes: only these are read now.
        self.reader.source.ensure(part.data, part.size.min(INLINE) as usize)?;
        let start = (part.data - self.base) as usize;
        let data = &self.body[start..start + part.size as usize];
        Ok(make_view(data, buffer as u32, (part.data - self.starts[buffer]) as u32))
    }

    fn finish(self, index: u64, block: &BlockMeta) -> Result<Block> {
        let buffers: Vec<Buffer> =
            self.starts.iter().map(|start| self.body.slice((start - self.base) as usize)).collect();
        let (source, keys, num_rows) = (&self.reader.source, self.keys, self.num_rows);
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.values.len());
        for (field, values) in self.reader.fields.iter().zip(self.values) {
            columns.push(if field.name() == KEY {
                Arc::new(BinaryArray::from_iter_values(&keys))
            } else {
                values.finish(num_rows, &buffers).map_err(|problem| {
                    Error::corrupt_at(source.path(), block.offset, problem).in_block(index)
                })?
            });
        }
        let data: Vec<_> = columns.iter().map(Array::to_data).collect();
        let body = if source.is_mapped() { 0 } else { self.body.len() };
        let bytes =
            body + keys.iter().map(Vec::len).sum::<usize>() + num_rows * columns.len() * size_of::<u128>();
        Ok(Block::new(columns, data, index, *block, bytes, 0, Arc::clone(source)))
    }
}

/// The views of one column.
#[derive(Default)]
struct Values {
    views: Vec<u128>,
    is_there: Vec<bool>,
}

impl Values {
    /// Sets the value of `row`; the rows before it that have none are null.
    fn push(&mut self, row: usize, view: u128) {
        self.fill(row);
        self.views.push(view);
        self.is_there.push(true);
    }

    fn fill(&mut self, num_rows: usize) {
        self.views.resize(num_rows, 0);
        self.is_there.resize(num_rows, false);
    }

    fn finish(mut self, num_rows: usize, buffers: &[Buffer]) -> std::result::Result<ArrayRef, String> {
        self.fill(num_rows);
        let nulls = Some(NullBuffer::from(self.is_there)).filter(|nulls| nulls.null_count() > 0);
        let views = ScalarBuffer::from(self.views);
        // Checked again by arrow-rs: each view inside its buffer, and beginning as it says.
        let array = BinaryViewArray::try_new(views, buffers.to_vec(), nulls);
        array.map(|array| Arc::new(array) as ArrayRef).map_err(|error| error.to_string())
    }
}
