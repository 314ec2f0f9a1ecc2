//! One shard as the index knows it, borrowed from a fresh walk, a mapped index or a manifest.

use std::path::{Path, PathBuf};

use arrow_schema::{Schema, SchemaRef};
use xxhash_rust::xxh3::xxh3_128;

use super::columns::{BlockColumns, Blocks, Dictionaries, DictionaryColumns};
use super::fingerprint;
use super::identity::is_racy;
use super::schema::canonical;
use super::walk::Walked;
use crate::source::FileIdentity;
use crate::{Error, Result};

/// What is stored and handed on of one shard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Record<'a> {
    /// The absolute path as the system spells it.
    pub(crate) path: &'a [u8],
    pub(crate) identity: FileIdentity,
    /// When the walk began.
    pub(crate) walked_ns: i64,
    pub(crate) format: u32,
    /// What the shard adds to the fingerprint.
    pub(crate) digest: u128,
    pub(crate) header_hash: u64,
    pub(crate) schema_message: &'a [u8],
    /// Equal for schemas that differ in metadata only.
    pub(crate) schema_key: u128,
    pub(crate) blocks: Blocks<'a>,
    pub(crate) dictionaries: Dictionaries<'a>,
    pub(crate) extra: &'a [u8],
}

impl Record<'_> {
    /// Whether the file, as it is now, is what was walked; `since_ns` is when the caller's own open began.
    pub(crate) fn is_current(&self, identity: FileIdentity, since_ns: i64) -> bool {
        self.identity == identity && (self.walked_ns >= since_ns || !is_racy(identity, self.walked_ns))
    }

    /// Checks what no reader may rely on unchecked: places inside the file, references inside the record.
    pub(crate) fn check(&self) -> std::result::Result<(), &'static str> {
        let size = self.identity.size;
        let ends_inside = |offset: u64, metadata: u32, body: u64| {
            offset
                .checked_add(u64::from(metadata))
                .and_then(|end| end.checked_add(body))
                .is_some_and(|end| end <= size)
        };
        let Blocks { offset, body, rows, memory: _, metadata, dictionaries } = self.blocks;
        let places = offset.iter().zip(metadata).zip(body);
        if !places.clone().all(|((&offset, &metadata), &body)| ends_inside(offset, metadata, body)) {
            return Err("a block outside its file");
        }
        if dictionaries.iter().any(|&count| count as usize > self.dictionaries.len()) {
            return Err("a block with more dictionaries than its shard");
        }
        if rows.iter().try_fold(0_u64, |sum, &rows| sum.checked_add(rows)).is_none() {
            return Err("more rows than a number holds");
        }
        let Dictionaries { offset, body, metadata, .. } = self.dictionaries;
        let mut places = offset.iter().zip(metadata).zip(body);
        if places.all(|((&offset, &metadata), &body)| ends_inside(offset, metadata, body)) {
            Ok(())
        } else {
            Err("a dictionary outside its file")
        }
    }
}

/// A walked shard that owns what a [`Record`] borrows.
#[derive(Debug)]
pub(crate) struct WalkedShard {
    path: PathBuf,
    identity: FileIdentity,
    walked_ns: i64,
    walked: Walked,
    blocks: BlockColumns,
    dictionaries: DictionaryColumns,
    digest: u128,
    schema_key: u128,
}

impl WalkedShard {
    /// Arranges what a walk found in columns, and hashes it; a walk that contradicts the file is refused.
    pub(crate) fn try_new(
        path: &Path,
        identity: FileIdentity,
        walked_ns: i64,
        mut walked: Walked,
    ) -> Result<Self> {
        let blocks = BlockColumns::from_metas(&std::mem::take(&mut walked.blocks));
        let dictionaries = DictionaryColumns::from_metas(&std::mem::take(&mut walked.dictionaries));
        let schema_key = schema_key(&walked.schema);
        let mut shard = Self {
            path: path.to_owned(),
            identity,
            walked_ns,
            walked,
            blocks,
            dictionaries,
            digest: 0,
            schema_key,
        };
        shard.record().check().map_err(|problem| {
            Error::corrupt(
                path,
                format!("its headers tell of {problem}; it may have changed while it was read"),
            )
        })?;
        shard.digest = fingerprint::of_shard(&shard.record());
        Ok(shard)
    }

    pub(crate) fn record(&self) -> Record<'_> {
        Record {
            path: self.path.as_os_str().as_encoded_bytes(),
            identity: self.identity,
            walked_ns: self.walked_ns,
            format: self.walked.format,
            digest: self.digest,
            header_hash: self.walked.header_hash,
            schema_message: &self.walked.schema_message,
            schema_key: self.schema_key,
            blocks: self.blocks.view(),
            dictionaries: self.dictionaries.view(),
            extra: &self.walked.extra,
        }
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.walked.schema
    }
}

/// The same for schemas that differ in metadata only.
pub(crate) fn schema_key(schema: &Schema) -> u128 {
    xxh3_128(canonical(schema).as_bytes())
}
