//! Blocks and dictionaries of many shards as one array a field, the way they are stored, mapped and handed out.

use std::ops::Range;

use crate::shard::{BlockMeta, DictionaryMeta};

/// Borrowed block columns, all of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Blocks<'a> {
    pub(crate) offset: &'a [u64],
    pub(crate) body: &'a [u64],
    pub(crate) rows: &'a [u64],
    pub(crate) memory: &'a [u64],
    pub(crate) metadata: &'a [u32],
    pub(crate) dictionaries: &'a [u32],
}

impl<'a> Blocks<'a> {
    pub(crate) fn len(&self) -> usize {
        self.offset.len()
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Blocks<'a> {
        Blocks {
            offset: &self.offset[range.clone()],
            body: &self.body[range.clone()],
            rows: &self.rows[range.clone()],
            memory: &self.memory[range.clone()],
            metadata: &self.metadata[range.clone()],
            dictionaries: &self.dictionaries[range],
        }
    }

    pub(crate) fn get(&self, index: usize) -> BlockMeta {
        BlockMeta {
            offset: self.offset[index],
            metadata_len: self.metadata[index],
            body_len: self.body[index],
            num_rows: self.rows[index],
            memory_len: self.memory[index],
            dictionaries: self.dictionaries[index],
        }
    }
}

/// Owned block columns.
#[derive(Debug, Default)]
pub(crate) struct BlockColumns {
    offset: Vec<u64>,
    body: Vec<u64>,
    rows: Vec<u64>,
    memory: Vec<u64>,
    metadata: Vec<u32>,
    dictionaries: Vec<u32>,
}

impl BlockColumns {
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self {
            offset: Vec::with_capacity(count),
            body: Vec::with_capacity(count),
            rows: Vec::with_capacity(count),
            memory: Vec::with_capacity(count),
            metadata: Vec::with_capacity(count),
            dictionaries: Vec::with_capacity(count),
        }
    }

    pub(crate) fn from_metas(metas: &[BlockMeta]) -> Self {
        Self {
            offset: metas.iter().map(|block| block.offset).collect(),
            body: metas.iter().map(|block| block.body_len).collect(),
            rows: metas.iter().map(|block| block.num_rows).collect(),
            memory: metas.iter().map(|block| block.memory_len).collect(),
            metadata: metas.iter().map(|block| block.metadata_len).collect(),
            dictionaries: metas.iter().map(|block| block.dictionaries).collect(),
        }
    }

    pub(crate) fn extend(&mut self, more: Blocks<'_>) {
        self.offset.extend_from_slice(more.offset);
        self.body.extend_from_slice(more.body);
        self.rows.extend_from_slice(more.rows);
        self.memory.extend_from_slice(more.memory);
        self.metadata.extend_from_slice(more.metadata);
        self.dictionaries.extend_from_slice(more.dictionaries);
    }

    pub(crate) fn view(&self) -> Blocks<'_> {
        Blocks {
            offset: &self.offset,
            body: &self.body,
            rows: &self.rows,
            memory: &self.memory,
            metadata: &self.metadata,
            dictionaries: &self.dictionaries,
        }
    }
}

/// Borrowed dictionary columns, all of one length.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Dictionaries<'a> {
    pub(crate) offset: &'a [u64],
    pub(crate) body: &'a [u64],
    pub(crate) id: &'a [i64],
    pub(crate) metadata: &'a [u32],
    /// 0 or 1; a `u32` so that every section stays aligned.
    pub(crate) delta: &'a [u32],
}

impl<'a> Dictionaries<'a> {
    pub(crate) fn len(&self) -> usize {
        self.offset.len()
    }

    pub(crate) fn slice(&self, range: Range<usize>) -> Dictionaries<'a> {
        Dictionaries {
            offset: &self.offset[range.clone()],
            body: &self.body[range.clone()],
            id: &self.id[range.clone()],
            metadata: &self.metadata[range.clone()],
            delta: &self.delta[range],
        }
    }

    pub(crate) fn get(&self, index: usize) -> DictionaryMeta {
        DictionaryMeta {
            offset: self.offset[index],
            metadata_len: self.metadata[index],
            body_len: self.body[index],
            id: self.id[index],
            is_delta: self.delta[index] != 0,
        }
    }
}

/// Owned dictionary columns.
#[derive(Debug, Default)]
pub(crate) struct DictionaryColumns {
    offset: Vec<u64>,
    body: Vec<u64>,
    id: Vec<i64>,
    metadata: Vec<u32>,
    delta: Vec<u32>,
}

impl DictionaryColumns {
    pub(crate) fn from_metas(metas: &[DictionaryMeta]) -> Self {
        Self {
            offset: metas.iter().map(|dictionary| dictionary.offset).collect(),
            body: metas.iter().map(|dictionary| dictionary.body_len).collect(),
            id: metas.iter().map(|dictionary| dictionary.id).collect(),
            metadata: metas.iter().map(|dictionary| dictionary.metadata_len).collect(),
            delta: metas.iter().map(|dictionary| u32::from(dictionary.is_delta)).collect(),
        }
    }

    pub(crate) fn extend(&mut self, more: Dictionaries<'_>) {
        self.offset.extend_from_slice(more.offset);
        self.body.extend_from_slice(more.body);
        self.id.extend_from_slice(more.id);
        self.metadata.extend_from_slice(more.metadata);
        self.delta.extend_from_slice(more.delta);
    }

    pub(crate) fn view(&self) -> Dictionaries<'_> {
        Dictionaries {
            offset: &self.offset,
            body: &self.body,
            id: &self.id,
            metadata: &self.metadata,
            delta: &self.delta,
        }
    }
}
