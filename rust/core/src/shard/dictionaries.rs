//! Dictionary messages: which ones count for a batch, decoded once and kept.
//!
//! A stream may replace a dictionary between two batches, or add to it (a delta). The state for
//! a batch is what the messages before it make: the last replacement and the deltas after it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, make_array};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, FieldRef};
use arrow_select::concat::concat;
use parking_lot::Mutex;

use super::array::{ArrayReader, dictionary_id};
use super::body::Body;
use super::compression::Codec;
use super::format::Format;
use super::index::{DictionaryMeta, Extent};
use super::ipc_reader::read_header;
use super::layout::{Layout, Position, Range};
use super::message::{Kind, kind_of, num_rows, verify};
use super::site::Site;
use crate::error::{Error, Result};
use crate::source::Source;

/// States kept at least; blocks of one window rarely lie in more.
const MIN_KEPT: usize = 16;

/// The dictionaries of one shard.
#[derive(Debug)]
pub(super) struct Dictionaries {
    metas: Vec<DictionaryMeta>,
    format: Format,
    /// Each dictionary's messages, in order.
    by_id: HashMap<i64, Vec<usize>>,
    /// The field of each dictionary's values, in storage form.
    values: HashMap<i64, FieldRef>,
    /// Decoded states by the message that completes them, the latest last.
    kept: Mutex<VecDeque<(usize, ArrayData)>>,
}

impl Dictionaries {
    /// Prepares the dictionaries that `fields`, in storage form, refer to.
    pub fn try_new(
        source: &dyn Source,
        metas: Vec<DictionaryMeta>,
        format: Format,
        fields: &[FieldRef],
    ) -> Result<Self> {
        let mut values = HashMap::new();
        for field in fields {
            collect_ids(field, &mut |field, id| match values.insert(id, value_field(field)) {
                Some(other) if other.data_type() != value_field(field).data_type() => Err(Error::corrupt(
                    source.path(),
                    format!("dictionary {id} is used for values of two types"),
                )),
                _ => Ok(()),
            })?;
        }
        let mut by_id: HashMap<i64, Vec<usize>> = HashMap::new();
        for (message, meta) in metas.iter().enumerate() {
            by_id.entry(meta.id).or_default().push(message);
        }
        Ok(Self { metas, format, by_id, values, kept: Mutex::default() })
    }

    /// The values of every dictionary that `fields` refer to, after the first `limit` messages.
    pub fn values_for(
        &self,
        source: &Arc<dyn Source>,
        fields: &[&FieldRef],
        limit: u32,
    ) -> Result<HashMap<i64, ArrayData>> {
        let mut found = HashMap::new();
        for field in fields {
            collect_ids(field, &mut |_, id| {
                if let Some(values) = self.state(source, id, limit as usize)? {
                    found.insert(id, values);
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn state(&self, source: &Arc<dyn Source>, id: i64, limit: usize) -> Result<Option<ArrayData>> {
        let all = self.by_id.get(&id).map_or(&[][..], Vec::as_slice);
        let messages = &all[..all.partition_point(|message| *message < limit)];
        let Some(last) = messages.last() else { return Ok(None) };
        if let Some(kept) = self.find(*last) {
            return Ok(Some(kept));
        }
        let start = messages.iter().rposition(|message| !self.metas[*message].is_delta).unwrap_or(0);
        let parts = messages[start..]
            .iter()
            .map(|message| self.decode(source, *message))
            .collect::<Result<Vec<_>>>()?;
        let values = match <[ArrayData; 1]>::try_from(parts) {
            Ok([only]) => only,
            Err(parts) => self.join(source, parts, *last)?,
        };
        self.keep(*last, &values);
        Ok(Some(values))
    }

    fn find(&self, message: usize) -> Option<ArrayData> {
        self.kept.lock().iter().find(|(key, _)| *key == message).map(|(_, values)| values.clone())
    }

    fn keep(&self, message: usize, values: &ArrayData) {
        let mut kept = self.kept.lock();
        if kept.len() >= MIN_KEPT.max(2 * self.values.len()) {
            kept.pop_front();
        }
        kept.push_back((message, values.clone()));
    }

    fn join(&self, source: &Arc<dyn Source>, parts: Vec<ArrayData>, last: usize) -> Result<ArrayData> {
        let arrays: Vec<ArrayRef> = parts.into_iter().map(make_array).collect();
        let parts: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let joined = concat(&parts).map_err(|error| {
            Error::corrupt_at(
                source.path(),
                self.metas[last].offset,
                format!("the dictionary's deltas do not fit: {error}"),
            )
        })?;
        Ok(joined.to_data())
    }

    /// Decodes one message into memory of its own: dictionaries are small and used by every row.
    fn decode(&self, source: &Arc<dyn Source>, message: usize) -> Result<ArrayData> {
        let meta = self.metas[message];
        let site = Site::new(source.path(), meta.offset);
        let extent = Extent { offset: meta.offset, metadata_len: meta.metadata_len, body_len: meta.body_len };
        let header = read_header(source.as_ref(), extent, &site)?;
        let verified = verify(&header, &site)?;
        let Kind::Dictionary { id, data, .. } = kind_of(&verified, &site)? else {
            return Err(site.corrupt("there is no dictionary here any more; open the dataset again"));
        };
        let field =
            self.values.get(&id).filter(|_| id == meta.id && verified.bodyLength() as u64 == meta.body_len);
        let Some(field) = field else {
            return Err(
                site.corrupt("the dictionary here is not the one that was indexed; open the dataset again")
            );
        };
        // Dictionaries inside the values: in a stream, as they were when this message was written.
        let limit = if self.format == Format::ArrowFile { self.metas.len() } else { message };
        let inner = self.values_for(source, &inner_fields(field), limit as u32)?;
        let whole = Range { offset: 0, len: meta.body_len };
        let start = meta.offset + u64::from(meta.metadata_len);
        let body = Body::fetch(source, start, meta.body_len, whole, Codec::of(&data, &site)?, site)?;
        body.set_owning(true);
        let layout = Layout::try_new(data, verified.version(), site)?;
        let num_values = num_rows(&data, &site)? as usize;
        let at = Position::default();
        let mut reader =
            ArrayReader { layout, body: &body, body_len: meta.body_len, at, dictionaries: &inner, site };
        reader.column(field, num_values)
    }
}

/// Values may be null whatever the field of the keys says.
fn value_field(field: &Field) -> FieldRef {
    let values = match field.data_type() {
        DataType::Dictionary(_, values) => values.as_ref().clone(),
        other => other.clone(),
    };
    Arc::new(Field::new(field.name(), values, true))
}

/// Calls `found` for each dictionary in a field, the outer ones first, without those inside their values.
fn collect_ids(field: &FieldRef, found: &mut dyn FnMut(&Field, i64) -> Result<()>) -> Result<()> {
    if let Some(id) = dictionary_id(field) {
        found(field, id)?;
    }
    inner_fields(field).into_iter().try_for_each(|child| collect_ids(child, found))
}

/// The fields directly inside a type; for a dictionary, those inside its values' type.
fn inner_fields(field: &Field) -> Vec<&FieldRef> {
    let mut data_type = field.data_type();
    while let DataType::Dictionary(_, values) = data_type {
        data_type = values;
    }
    match data_type {
        DataType::List(child)
        | DataType::LargeList(child)
        | DataType::ListView(child)
        | DataType::LargeListView(child)
        | DataType::FixedSizeList(child, _)
        | DataType::Map(child, _) => vec![child],
        DataType::Struct(fields) => fields.iter().collect(),
        DataType::Union(fields, _) => fields.iter().map(|(_, child)| child).collect(),
        DataType::RunEndEncoded(_, values) => vec![values],
        _ => Vec::new(),
    }
}
