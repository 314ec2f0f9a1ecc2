//! Which nodes and buffers of a message belong to which column.

use arrow_ipc::{FieldNode, MetadataVersion, RecordBatch};
use arrow_schema::{DataType, UnionMode};

use super::site::Site;
use crate::error::Result;

/// Next node, buffer and variadic count to be used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    pub node: usize,
    pub buffer: usize,
    pub variadic: usize,
}

/// A batch's lists of nodes and buffers, read in the order of the schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout<'a> {
    nodes: flatbuffers::Vector<'a, FieldNode>,
    buffers: flatbuffers::Vector<'a, arrow_ipc::Buffer>,
    variadic: Option<flatbuffers::Vector<'a, i64>>,
    version: MetadataVersion,
    site: Site<'a>,
}

/// What one node says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    pub len: usize,
    /// Unknown where the writer gave -1.
    pub null_count: Option<usize>,
}

/// Where a buffer lies in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    pub offset: u64,
    pub len: u64,
}

impl<'a> Layout<'a> {
    pub fn try_new(batch: RecordBatch<'a>, version: MetadataVersion, site: Site<'a>) -> Result<Self> {
        let lacks = |what: &str| site.corrupt(format!("the record batch has no list of {what}"));
        Ok(Self {
            nodes: batch.nodes().ok_or_else(|| lacks("nodes"))?,
            buffers: batch.buffers().ok_or_else(|| lacks("buffers"))?,
            variadic: batch.variadicBufferCounts(),
            version,
            site,
        })
    }

    pub fn num_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Whether unions have a validity bitmap, as they had before version 5.
    pub fn has_union_validity(&self) -> bool {
        self.version < MetadataVersion::V5
    }

    pub fn node(&self, at: &mut Position) -> Result<Node> {
        if at.node >= self.nodes.len() {
            return Err(self.site.corrupt(format!(
                "the message describes {} arrays, the schema has more; the file does not belong to this schema",
                self.nodes.len()
            )));
        }
        let node = self.nodes.get(at.node);
        at.node += 1;
        let (len, nulls) = (node.length(), node.null_count());
        let len = usize::try_from(len).ok().filter(|len| *len <= isize::MAX as usize / 64);
        match (len, nulls) {
            (Some(len), -1) => Ok(Node { len, null_count: None }),
            (Some(len), nulls) if (0..=len as i64).contains(&nulls) => {
                Ok(Node { len, null_count: Some(nulls as usize) })
            }
            _ => Err(self
                .site
                .corrupt(format!("an array of {} values with {nulls} nulls is claimed", node.length()))),
        }
    }

    /// The next buffer's place, checked against a body of `body_len` bytes.
    pub fn buffer(&self, at: &mut Position, body_len: u64) -> Result<Range> {
        if at.buffer >= self.buffers.len() {
            return Err(self.site.corrupt(format!(
                "the message has {} buffers, the schema needs more; the file does not belong to this schema",
                self.buffers.len()
            )));
        }
        let place = self.buffers.get(at.buffer);
        at.buffer += 1;
        let range = u64::try_from(place.offset()).ok().zip(u64::try_from(place.length()).ok());
        match range {
            Some((offset, len)) if offset.checked_add(len).is_some_and(|end| end <= body_len) => {
                Ok(Range { offset, len })
            }
            _ => Err(self.site.corrupt(format!(
                "a buffer of {} bytes at {} is claimed in a body of {body_len}",
                place.length(),
                place.offset()
            ))),
        }
    }

    /// How many data buffers the next view array has.
    pub fn variadic(&self, at: &mut Position) -> Result<usize> {
        let counts = self.variadic.filter(|counts| at.variadic < counts.len());
        let count = counts.map(|counts| counts.get(at.variadic));
        at.variadic += 1;
        match count.map(usize::try_from) {
            // Each is one of the message's buffers, so that a larger number cannot be true.
            Some(Ok(count)) if count <= self.buffers.len() => Ok(count),
            _ => Err(self
                .site
                .corrupt(format!("a view array's number of buffers is missing or wrong ({count:?})"))),
        }
    }

    /// Moves over a column.
    pub fn skip(&self, data_type: &DataType, at: &mut Position) -> Result<()> {
        at.node += 1;
        at.buffer += self.num_own_buffers(data_type, at)?;
        match data_type {
            DataType::List(field)
            | DataType::LargeList(field)
            | DataType::ListView(field)
            | DataType::LargeListView(field)
            | DataType::FixedSizeList(field, _)
            | DataType::Map(field, _) => self.skip(field.data_type(), at),
            DataType::Struct(fields) => fields.iter().try_for_each(|field| self.skip(field.data_type(), at)),
            DataType::Union(fields, _) => {
                fields.iter().try_for_each(|(_, field)| self.skip(field.data_type(), at))
            }
            DataType::RunEndEncoded(ends, values) => {
                self.skip(ends.data_type(), at)?;
                self.skip(values.data_type(), at)
            }
            _ => Ok(()),
        }
    }

    /// Buffers of the array itself, without those of its children.
    fn num_own_buffers(&self, data_type: &DataType, at: &mut Position) -> Result<usize> {
        Ok(match data_type {
            DataType::Null | DataType::RunEndEncoded(..) => 0,
            DataType::Struct(_) | DataType::FixedSizeList(..) => 1,
            DataType::Utf8
            | DataType::Binary
            | DataType::LargeUtf8
            | DataType::LargeBinary
            | DataType::ListView(_)
            | DataType::LargeListView(_) => 3,
            DataType::Utf8View | DataType::BinaryView => 2 + self.variadic(at)?,
            DataType::Union(_, mode) => {
                let offsets = usize::from(*mode == UnionMode::Dense);
                1 + offsets + usize::from(self.has_union_validity())
            }
            // Validity and values or offsets; a dictionary array's own values are its keys.
            _ => 2,
        })
    }
}
