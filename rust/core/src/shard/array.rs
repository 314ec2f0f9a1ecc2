//! Node and buffers in, arrays out: one recursive step a type, built by arrow-rs's validating builder.

use std::collections::HashMap;

use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::{DataType, Field, FieldRef, UnionMode};

use super::body::Body;
use super::layout::{Layout, Node, Position};
use super::message::MAX_ROWS;
use super::site::Site;
use crate::error::Result;

/// Decodes the columns of one message.
pub(super) struct ArrayReader<'a> {
    pub layout: Layout<'a>,
    pub body: &'a Body<'a>,
    pub body_len: u64,
    pub at: Position,
    /// Decoded values by dictionary id.
    pub dictionaries: &'a HashMap<i64, ArrayData>,
    pub site: Site<'a>,
}

impl ArrayReader<'_> {
    /// The next column, which has `field`'s type in storage form.
    pub fn column(&mut self, field: &Field, num_rows: usize) -> Result<ArrayData> {
        let data = self.array(field)?;
        if data.len() != num_rows {
            return Err(self.damaged(field, &format!("{} values in a batch of {num_rows} rows", data.len())));
        }
        if !field.is_nullable() && data.null_count() > 0 {
            return Err(self.damaged(
                field,
                &format!("{} nulls although it is declared without any", data.null_count()),
            ));
        }
        Ok(data)
    }

    fn array(&mut self, field: &Field) -> Result<ArrayData> {
        let data_type = field.data_type();
        match data_type {
            DataType::Null => self.null(field),
            DataType::Boolean => self.boolean(field),
            DataType::Binary => self.bytes(field, 4),
            DataType::LargeBinary => self.bytes(field, 8),
            DataType::BinaryView => self.views(field),
            DataType::List(child) | DataType::Map(child, _) => self.list(field, child, 4),
            DataType::LargeList(child) => self.list(field, child, 8),
            DataType::ListView(child) => self.list_view(field, child, 4),
            DataType::LargeListView(child) => self.list_view(field, child, 8),
            DataType::FixedSizeList(child, size) => self.fixed_size_list(field, child, *size),
            DataType::Struct(children) => {
                let (builder, _) = self.start(field)?;
                let children = children.iter().map(|child| self.array(child)).collect::<Result<_>>()?;
                self.finish(field, builder.child_data(children))
            }
            DataType::Union(..) => self.union(field),
            DataType::Dictionary(keys, _) => self.dictionary(field, keys),
            DataType::RunEndEncoded(ends, values) => self.run_end_encoded(field, ends, values),
            DataType::FixedSizeBinary(width) => self.fixed_width(field, *width as usize, 1),
            _ => match data_type.primitive_width() {
                Some(width) => self.fixed_width(field, width, width.min(16)),
                // Strings never come here: `field` is in storage form.
                None => Err(self
                    .site
                    .unsupported(format!("column {:?} of type {data_type} is not read", field.name()))),
            },
        }
    }

    fn null(&mut self, field: &Field) -> Result<ArrayData> {
        let node = self.node_without_memory(field)?;
        self.finish(field, ArrayData::builder(DataType::Null).len(node.len))
    }

    fn boolean(&mut self, field: &Field) -> Result<ArrayData> {
        let (builder, node) = self.start(field)?;
        let range = self.layout.buffer(&mut self.at, self.body_len)?;
        self.finish(field, builder.add_buffer(self.body.values(range, node.len.div_ceil(8), 1)?))
    }

    fn fixed_width(&mut self, field: &Field, width: usize, alignment: usize) -> Result<ArrayData> {
        let (builder, node) = self.start(field)?;
        if width == 0 {
            self.check_unbacked(field, node)?;
        }
        let range = self.layout.buffer(&mut self.at, self.body_len)?;
        self.finish(
            field,
            builder.add_buffer(self.body.values(range, node.len.saturating_mul(width), alignment)?),
        )
    }

    fn bytes(&mut self, field: &Field, offset_width: usize) -> Result<ArrayData> {
        let (builder, node) = self.start(field)?;
        let offsets = self.structure((node.len + 1).saturating_mul(offset_width), offset_width)?;
        let range = self.layout.buffer(&mut self.at, self.body_len)?;
        self.finish(field, builder.add_buffer(offsets).add_buffer(self.body.bytes(range)?))
    }

    /// Views are checked against the bytes that they show the beginning of, so those are touched.
    fn views(&mut self, field: &Field) -> Result<ArrayData> {
        let num_buffers = self.layout.variadic(&mut self.at)?;
        let (builder, node) = self.start(field)?;
        let mut builder = builder.add_buffer(self.structure(node.len.saturating_mul(16), 16)?);
        for _ in 0..num_buffers {
            let range = self.layout.buffer(&mut self.at, self.body_len)?;
            let bytes = self.body.bytes(range)?;
            self.body.touch(&bytes)?;
            builder = builder.add_buffer(bytes);
        }
        self.finish(field, builder)
    }

    fn list(&mut self, field: &Field, child: &FieldRef, offset_width: usize) -> Result<ArrayData> {
        let (builder, node) = self.start(field)?;
        let offsets = self.structure((node.len + 1).saturating_mul(offset_width), offset_width)?;
        let child = self.array(child)?;
        self.finish(field, builder.add_buffer(offsets).add_child_data(child))
    }

    fn list_view(&mut self, field: &Field, child: &FieldRef, offset_width: usize) -> Result<ArrayData> {
        let (builder, node) = self.start(field)?;
        let need = node.len.saturating_mul(offset_width);
        let offsets = self.structure(need, offset_width)?;
        let sizes = self.structure(need, offset_width)?;
        let child = self.array(child)?;
        self.finish(field, builder.add_buffer(offsets).add_buffer(sizes).add_child_data(child))
    }

    fn fixed_size_list(&mut self, field: &Field, child: &FieldRef, size: i32) -> Result<ArrayData> {
        let (builder, node) = self.start(field)?;
        // arrow-rs multiplies these without a check, and makes a bitmap of the product's length to
        // compare the nulls of a child that may have none.
        let num_values = node.len.checked_mul(size as usize);
        let needs_bitmap = !child.is_nullable() && node.null_count != Some(0);
        if num_values.is_none_or(|values| needs_bitmap && values as u64 > MAX_ROWS) {
            return Err(self.damaged(field, &format!("{} lists of {size} values", node.len)));
        }
        if size == 0 {
            self.check_unbacked(field, node)?;
        }
        let child = self.array(child)?;
        self.finish(field, builder.add_child_data(child))
    }

    fn union(&mut self, field: &Field) -> Result<ArrayData> {
        let DataType::Union(children, mode) = field.data_type() else {
            return Err(Self::not_that(field));
        };
        let node = self.layout.node(&mut self.at)?;
        if self.layout.has_union_validity() {
            self.layout.buffer(&mut self.at, self.body_len)?;
        }
        let mut builder = ArrayData::builder(field.data_type().clone()).len(node.len);
        builder = builder.add_buffer(self.structure(node.len, 1)?);
        if *mode == UnionMode::Dense {
            builder = builder.add_buffer(self.structure(node.len.saturating_mul(4), 4)?);
        }
        let children = children.iter().map(|(_, child)| self.array(child)).collect::<Result<_>>()?;
        self.finish(field, builder.child_data(children))
    }

    fn dictionary(&mut self, field: &Field, keys: &DataType) -> Result<ArrayData> {
        let DataType::Dictionary(_, values) = field.data_type() else { return Err(Self::not_that(field)) };
        let (builder, node) = self.start(field)?;
        let width = keys.primitive_width().unwrap_or(8);
        let keys = self.structure(node.len.saturating_mul(width), width)?;
        let found = dictionary_id(field).and_then(|id| self.dictionaries.get(&id));
        // Writers may leave out a dictionary that no row refers to.
        let values = found.cloned().unwrap_or_else(|| ArrayData::new_empty(values));
        self.finish(field, builder.add_buffer(keys).add_child_data(values))
    }

    fn run_end_encoded(&mut self, field: &Field, ends: &FieldRef, values: &FieldRef) -> Result<ArrayData> {
        let node = self.node_without_memory(field)?;
        // Run ends are found by search: they must stay what was validated.
        let was_owning = self.body.is_owning();
        self.body.set_owning(true);
        let ends = self.array(ends);
        self.body.set_owning(was_owning);
        let values = self.array(values)?;
        let builder = ArrayData::builder(field.data_type().clone()).len(node.len);
        self.finish(field, builder.add_child_data(ends?).add_child_data(values))
    }

    /// Node and validity, which come first in all types that may have nulls of their own.
    fn start(&mut self, field: &Field) -> Result<(ArrayDataBuilder, Node)> {
        let node = self.layout.node(&mut self.at)?;
        let range = self.layout.buffer(&mut self.at, self.body_len)?;
        let builder = ArrayData::builder(field.data_type().clone()).len(node.len);
        let has_nulls = node.len > 0 && node.null_count.map_or(range.len > 0, |count| count > 0);
        if !has_nulls {
            return Ok((builder, node));
        }
        let bitmap = self.body.structure(range, node.len.div_ceil(8), 1)?;
        let builder = builder.null_bit_buffer(Some(bitmap));
        Ok((if let Some(count) = node.null_count { builder.null_count(count) } else { builder }, node))
    }

    fn structure(&mut self, need: usize, alignment: usize) -> Result<arrow_buffer::Buffer> {
        let range = self.layout.buffer(&mut self.at, self.body_len)?;
        self.body.structure(range, need, alignment)
    }

    /// A node whose length no buffer bears out.
    fn node_without_memory(&mut self, field: &Field) -> Result<Node> {
        let node = self.layout.node(&mut self.at)?;
        self.check_unbacked(field, node)?;
        Ok(node)
    }

    fn check_unbacked(&self, field: &Field, node: Node) -> Result<()> {
        if node.len as u64 > MAX_ROWS {
            return Err(self.damaged(field, &format!("{} values are claimed", node.len)));
        }
        Ok(())
    }

    fn finish(&self, field: &Field, builder: ArrayDataBuilder) -> Result<ArrayData> {
        builder.build().map_err(|error| self.damaged(field, &error.to_string()))
    }

    fn damaged(&self, field: &Field, problem: &str) -> crate::error::Error {
        self.site.corrupt(format!("column {:?}: {problem}", field.name()))
    }

    fn not_that(field: &Field) -> crate::error::Error {
        crate::error::Error::Internal(format!("column {:?} met the step of another type", field.name()))
    }
}

/// The id by which a field's dictionary messages are found.
pub(super) fn dictionary_id(field: &Field) -> Option<i64> {
    #[expect(
        deprecated,
        reason = "arrow-rs keeps the id nowhere else, and only a reader of its own needs it"
    )]
    field.dict_id()
}
