//! Decodes the record batches of one Arrow shard.

use std::collections::HashSet;
use std::ops;
use std::sync::Arc;

use arrow_array::make_array;
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use arrow_schema::FieldRef;

use super::array::ArrayReader;
use super::block::Block;
use super::body::Body;
use super::compression::Codec;
use super::dictionaries::Dictionaries;
use super::index::{BlockMeta, Extent, ShardIndex};
use super::layout::{Layout, Position, Range};
use super::message::{Kind, Prefix, kind_of, num_rows, verify};
use super::site::Site;
use super::storage::storage_field;
use crate::error::{Error, Result};
use crate::source::Source;

/// One open Arrow shard: decodes any of its blocks, from any thread.
#[derive(Debug)]
pub struct ArrowReader {
    source: Arc<dyn Source>,
    /// All columns, in storage form.
    fields: Vec<FieldRef>,
    /// The columns that are decoded, in the order asked for.
    projection: Vec<usize>,
    dictionaries: Dictionaries,
}

impl ArrowReader {
    /// Prepares to read `source`; see [`super::ShardReader::try_new`].
    pub fn try_new(
        source: Arc<dyn Source>,
        index: ShardIndex,
        projection: Option<Vec<usize>>,
    ) -> Result<Self> {
        let ShardIndex { format, schema, dictionaries, .. } = index;
        let fields: Vec<FieldRef> = schema.fields().iter().map(storage_field).collect();
        let projection = projection.unwrap_or_else(|| (0..fields.len()).collect());
        if let Some(beyond) = projection.iter().find(|index| **index >= fields.len()) {
            return Err(Error::InvalidArgument(format!("column {beyond} of {} is asked for", fields.len())));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = projection.iter().find(|index| !seen.insert(**index)) {
            return Err(Error::InvalidArgument(format!("column {twice} is asked for twice")));
        }
        let dictionaries = Dictionaries::try_new(source.as_ref(), dictionaries, format, &fields)?;
        Ok(Self { source, fields, projection, dictionaries })
    }

    /// The file under it.
    pub fn source(&self) -> &Arc<dyn Source> {
        &self.source
    }

    /// The fields of the columns that [`ArrowReader::decode`] gives, in storage form.
    pub fn storage_fields(&self) -> impl Iterator<Item = &FieldRef> {
        self.projection.iter().map(|index| &self.fields[*index])
    }

    /// Decodes the block at `index` of the shard.
    pub fn decode(&self, index: u64, block: &BlockMeta) -> Result<Block> {
        self.with_layout(index, block, |layout, codec, site| self.decode_columns(block, &layout, codec, site))
    }

    /// The parts of the file that hold the projected columns of a block; only its header is read.
    pub fn ranges(&self, index: u64, block: &BlockMeta) -> Result<Vec<ops::Range<u64>>> {
        if self.projection.len() == self.fields.len() {
            return Ok(std::iter::once(block.offset..block.end()).collect());
        }
        let start = block.offset + u64::from(block.metadata_len);
        self.with_layout(index, block, |layout, _, site| {
            let positions = self.positions(&layout, &site)?;
            let of_column = |column: &usize| {
                let Range { offset, len } =
                    covering_range(&layout, &positions, std::slice::from_ref(column), block.body_len)?;
                Ok(start + offset..start + offset + len)
            };
            self.projection.iter().map(of_column).collect()
        })
    }

    /// Reads a block's header, checks that it is the one that was indexed, and hands on what it describes.
    fn with_layout<R>(
        &self,
        index: u64,
        block: &BlockMeta,
        work: impl FnOnce(Layout<'_>, Option<Codec>, Site<'_>) -> Result<R>,
    ) -> Result<R> {
        let site = Site { path: self.source.path(), offset: block.offset, block: Some(index) };
        let extent =
            Extent { offset: block.offset, metadata_len: block.metadata_len, body_len: block.body_len };
        let header = read_header(self.source.as_ref(), extent, &site)?;
        let message = verify(&header, &site)?;
        let Kind::Batch(batch) = kind_of(&message, &site)? else {
            return Err(site.corrupt("there is no record batch here any more; open the dataset again"));
        };
        let found = (num_rows(&batch, &site)?, message.bodyLength() as u64);
        if found != (block.num_rows, block.body_len) {
            return Err(site.corrupt(format!(
                "{} rows in {} bytes were indexed, {} rows in {} bytes are there; open the dataset again",
                block.num_rows, block.body_len, found.0, found.1
            )));
        }
        let layout = Layout::try_new(batch, message.version(), site)?;
        let codec = Codec::of(&batch, &site)?;
        work(layout, codec, site)
    }

    fn decode_columns(
        &self,
        block: &BlockMeta,
        layout: &Layout<'_>,
        codec: Option<Codec>,
        site: Site<'_>,
    ) -> Result<Block> {
        let positions = self.positions(layout, &site)?;
        let range = covering_range(layout, &positions, &self.projection, block.body_len)?;
        let start = block.offset + u64::from(block.metadata_len);
        let body = Body::fetch(&self.source, start, block.body_len, range, codec, site)?;
        let fields: Vec<&FieldRef> = self.storage_fields().collect();
        let dictionaries = self.dictionaries.values_for(&self.source, &fields, block.dictionaries)?;
        let mut reader = ArrayReader {
            layout: *layout,
            body: &body,
            body_len: block.body_len,
            at: Position::default(),
            dictionaries: &dictionaries,
            site,
        };
        let mut columns: Vec<ArrayData> = Vec::with_capacity(self.projection.len());
        for index in &self.projection {
            reader.at = positions[*index];
            columns.push(reader.column(&self.fields[*index], block.num_rows as usize)?);
        }
        Ok(Block::new(
            columns.iter().cloned().map(make_array).collect(),
            columns,
            site.block.unwrap_or_default(),
            *block,
            body.owned(),
            body.misaligned(),
            Arc::clone(&self.source),
        ))
    }

    /// Where each column's nodes and buffers begin, and where the last one's end.
    fn positions(&self, layout: &Layout<'_>, site: &Site<'_>) -> Result<Vec<Position>> {
        let mut at = Position::default();
        let mut positions = Vec::with_capacity(self.fields.len() + 1);
        for field in &self.fields {
            positions.push(at);
            layout.skip(field.data_type(), &mut at)?;
        }
        positions.push(at);
        if at.node != layout.num_nodes() {
            return Err(site.corrupt(format!(
                "the message describes {} arrays, the schema {}; the file does not belong to this schema",
                layout.num_nodes(),
                at.node
            )));
        }
        Ok(positions)
    }
}

/// The smallest part of the body that holds every buffer of these columns.
fn covering_range(
    layout: &Layout<'_>,
    positions: &[Position],
    columns: &[usize],
    body_len: u64,
) -> Result<Range> {
    let mut covered: Option<(u64, u64)> = None;
    for index in columns {
        let mut at = positions[*index];
        while at.buffer < positions[*index + 1].buffer {
            let Range { offset, len } = layout.buffer(&mut at, body_len)?;
            if len > 0 {
                let (start, end) = covered.unwrap_or((offset, offset));
                covered = Some((start.min(offset), end.max(offset + len)));
            }
        }
    }
    let (start, end) = covered.unwrap_or_default();
    Ok(Range { offset: start, len: end - start })
}

/// The flatbuffer of the message at `extent`, copied to aligned memory.
pub(super) fn read_header(source: &dyn Source, extent: Extent, site: &Site<'_>) -> Result<Buffer> {
    source.ensure(extent.offset, extent.metadata_len as usize)?;
    let bytes = source.buffer(extent.offset, extent.metadata_len as usize)?;
    match Prefix::parse(&bytes, site)? {
        Prefix::Header { prefix_len, flatbuffer_len }
            if flatbuffer_len <= extent.metadata_len.saturating_sub(prefix_len) =>
        {
            let start = prefix_len as usize;
            Ok(Buffer::from_slice_ref(&bytes[start..start + flatbuffer_len as usize]))
        }
        _ => Err(site.corrupt("the message header is not as long as it was indexed; open the dataset again")),
    }
}
