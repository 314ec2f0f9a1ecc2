//! The manifest itself: what is known of a dataset without reading a row.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow_array::ArrayRef;
use arrow_schema::{FieldRef, Fields, Schema, SchemaRef};

use super::bytes;
use super::codec::{self, Index, Problem};
use super::columns::{BlockColumns, DictionaryColumns};
use super::fingerprint;
use super::hive::{self, Partition, PartitionValue};
use super::parallel;
use super::record::Record;
use super::schema::{self, Stored};
use super::walk::{Walk, format_of, of_other_format};
use crate::shard::facts::{ShardFacts, facts};
use crate::shard::{BlockMeta, DictionaryMeta, Format, ShardIndex, parse_schema};
use crate::source::FileIdentity;
use crate::{Error, Result};

/// Shards, blocks, row counts, schema and fingerprint of a dataset; a clone is a pointer.
#[derive(Clone, Debug)]
pub struct Manifest(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    shards: Vec<Shard>,
    /// Each different schema message once.
    messages: Vec<Message>,
    shard_first_block: Vec<u32>,
    shard_first_dictionary: Vec<usize>,
    blocks: BlockColumns,
    dictionaries: DictionaryColumns,
    /// All columns: the stored ones, then those of `partitions`.
    schema: SchemaRef,
    partitions: Vec<Partition>,
    /// Folders below which names are `partitions`, absolute.
    roots: Vec<PathBuf>,
    num_rows: u64,
    total_bytes: u64,
    fingerprint: u128,
    report: OpenReport,
}

#[derive(Debug)]
struct Message {
    bytes: Vec<u8>,
    /// Decoded when first asked for; unlike the merged schema it carries the file's own dictionary ids.
    schema: OnceLock<SchemaRef>,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    identity: FileIdentity,
    walked_ns: i64,
    format: u32,
    digest: u128,
    header_hash: u64,
    message: u32,
    schema_key: u128,
    extra: Box<[u8]>,
}

/// How an open went: data for logs and tests, nothing is printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenReport {
    /// Files whose headers were read now.
    pub num_walked: usize,
    /// Shards that a stored index knew.
    pub num_reused: usize,
    /// Damaged or missing shards left out, and why.
    pub skipped: Vec<(PathBuf, String)>,
    /// What went wrong without changing the result, such as a read-only index folder.
    pub warnings: Vec<String>,
}

/// One shard of a [`Manifest`].
#[derive(Clone, Debug)]
pub struct ShardView<'a> {
    /// Place of the shard in the dataset.
    pub index: usize,
    /// Absolute path.
    pub path: &'a Path,
    /// Size, modification time and inode when it was opened.
    pub identity: FileIdentity,
    /// The format's number, as [`Walk`] gave it; [`ShardView::known_format`] names those of [`crate::shard`].
    pub format: u32,
    /// Its blocks, as indices of the whole dataset.
    pub blocks: Range<usize>,
    /// Its dictionary messages in storage order.
    pub dictionaries: Vec<DictionaryMeta>,
    /// The schema as it stands in the file.
    pub schema_message: &'a [u8],
    /// The walk's hash over all headers.
    pub header_hash: u64,
    /// What only its format needs.
    pub extra: &'a [u8],
}

impl ShardView<'_> {
    /// The format, where it is one of [`crate::shard`].
    pub fn known_format(&self) -> Option<Format> {
        format_of(self.format)
    }
}

impl Manifest {
    /// Joins records of shards, in order; `schema_of` decodes the schema of one of them.
    pub(crate) fn assemble(
        shards: Vec<(PathBuf, Record<'_>)>,
        schema_of: impl Fn(&Path, &Record<'_>) -> Result<SchemaRef>,
        report: OpenReport,
    ) -> Result<Self> {
        let mut parts = Parts::with_capacity(&shards);
        for (path, record) in shards {
            parts.push(path, &record, &schema_of)?;
        }
        parts.finish(report)
    }

    /// Number of rows of all shards.
    pub fn num_rows(&self) -> u64 {
        self.0.num_rows
    }

    /// Number of shards.
    pub fn num_shards(&self) -> usize {
        self.0.shards.len()
    }

    /// Number of blocks of all shards.
    pub fn num_blocks(&self) -> usize {
        self.0.blocks.view().len()
    }

    /// Bytes of all files.
    pub fn total_bytes(&self) -> u64 {
        self.0.total_bytes
    }

    /// The schema that all shards fit: the first one's, nullable where any shard is.
    pub fn schema(&self) -> &SchemaRef {
        &self.0.schema
    }

    /// How many of the columns stand in the files; what folders' names say comes after them.
    pub fn num_stored_columns(&self) -> usize {
        self.0.schema.fields().len() - self.0.partitions.len()
    }

    /// The stored columns alone, as the blocks of shards that are decoded hold them.
    pub(crate) fn stored_schema(&self) -> SchemaRef {
        if self.0.partitions.is_empty() {
            return Arc::clone(&self.0.schema);
        }
        let fields = self.0.schema.fields().iter().take(self.num_stored_columns()).cloned();
        Arc::new(Schema::new(fields.collect::<Fields>()))
    }

    /// What the names of a shard's folders say, column by column; panics past `num_shards`.
    pub fn partition_values(
        &self,
        shard: usize,
    ) -> impl Iterator<Item = (&FieldRef, Option<&PartitionValue>)> {
        self.0.partitions.iter().map(move |partition| (&partition.field, partition.values[shard].as_ref()))
    }

    /// A column that folders' names make, of a block of a shard, in storage form.
    pub(crate) fn partition_column(&self, column: usize, shard: usize, num_rows: usize) -> ArrayRef {
        self.0.partitions[column - self.num_stored_columns()].column(shard, num_rows)
    }

    /// Makes columns of the names of folders below `roots`, where the shards are Parquet files.
    pub(crate) fn add_partitions(&mut self, roots: &[PathBuf]) {
        let is_parquet =
            (0..self.num_shards()).all(|shard| self.shard_format(shard) == Some(Format::Parquet));
        let Some(contents) = Arc::get_mut(&mut self.0).filter(|_| is_parquet && !roots.is_empty()) else {
            return;
        };
        let paths: Vec<&Path> = contents.shards.iter().map(|shard| shard.path.as_path()).collect();
        let partitions = hive::discover(&paths, roots, &contents.schema);
        if partitions.is_empty() {
            return;
        }
        let stored = contents.schema.fields().iter().cloned();
        let fields: Fields =
            stored.chain(partitions.iter().map(|partition| Arc::clone(&partition.field))).collect();
        contents.schema = Arc::new(Schema::new_with_metadata(fields, contents.schema.metadata().clone()));
        contents.fingerprint ^= hive::hash(&partitions);
        contents.partitions = partitions;
        contents.roots = roots.to_vec();
    }

    /// 128 bits in hexadecimal: equal for equal data in equal order, wherever it lies.
    pub fn fingerprint(&self) -> String {
        format!("{:032x}", self.0.fingerprint)
    }

    /// How many schemas the shards have that differ in anything, be it metadata.
    pub fn num_schemas(&self) -> usize {
        self.0.messages.len()
    }

    /// The fingerprint of some of the rows, given as the maximal runs of their ids in the order chosen.
    pub fn fingerprint_of(&self, runs: impl Iterator<Item = Range<u64>>) -> String {
        format!("{:032x}", fingerprint::of_chosen(self.0.fingerprint, runs))
    }

    /// What was walked, reused, skipped, and warnings.
    pub fn report(&self) -> &OpenReport {
        &self.0.report
    }

    /// A shard by its place; panics past `num_shards`, as a slice does.
    pub fn shard(&self, index: usize) -> ShardView<'_> {
        let shard = &self.0.shards[index];
        let dictionaries = self.0.dictionaries.view().slice(self.dictionary_range(index));
        ShardView {
            index,
            path: &shard.path,
            identity: shard.identity,
            format: shard.format,
            blocks: self.block_range(index),
            dictionaries: (0..dictionaries.len()).map(|at| dictionaries.get(at)).collect(),
            schema_message: &self.0.messages[shard.message as usize].bytes,
            header_hash: shard.header_hash,
            extra: &shard.extra,
        }
    }

    /// A shard's own schema, with the metadata and dictionary ids of its file; panics past `num_shards`.
    pub fn shard_schema(&self, index: usize) -> Result<SchemaRef> {
        let shard = &self.0.shards[index];
        let message = &self.0.messages[shard.message as usize];
        if let Some(schema) = message.schema.get() {
            return Ok(Arc::clone(schema));
        }
        let schema = parse_schema(&shard.path, &message.bytes)?;
        Ok(Arc::clone(message.schema.get_or_init(|| schema)))
    }

    /// What a walk over this shard found, put together again for its reader; panics past `num_shards`.
    pub fn shard_index(&self, index: usize) -> Result<ShardIndex> {
        let shard = self.shard(index);
        let format = shard.known_format().ok_or_else(|| Error::Unsupported {
            path: shard.path.to_owned(),
            message: format!("format {} is not one that this version reads", shard.format),
        })?;
        let blocks = self.0.blocks.view().slice(shard.blocks.clone());
        Ok(ShardIndex {
            format,
            schema_message: shard.schema_message.to_vec(),
            schema: self.shard_schema(index)?,
            blocks: (0..blocks.len()).map(|at| blocks.get(at)).collect(),
            dictionaries: shard.dictionaries,
            header_hash: shard.header_hash,
            extra: shard.extra.to_vec(),
        })
    }

    /// A shard's format, where this version knows it; panics past `num_shards`.
    pub fn shard_format(&self, index: usize) -> Option<Format> {
        format_of(self.0.shards[index].format)
    }

    /// What stands in the headers of each shard and not in the index, read on so many threads.
    pub fn facts(&self, num_threads: usize) -> Result<Vec<ShardFacts>> {
        let shards: Vec<usize> = (0..self.num_shards()).collect();
        let facts = parallel::map(&shards, num_threads, |shard| match self.shard_format(*shard) {
            Some(format) => facts(self.shard_path(*shard), self.shard(*shard).identity, format),
            None => Ok(ShardFacts::default()),
        });
        facts.into_iter().collect()
    }

    /// A shard's path, without what else [`Manifest::shard`] gathers.
    pub fn shard_path(&self, index: usize) -> &Path {
        &self.0.shards[index].path
    }

    /// A block by its place in the dataset, and its shard; panics past `num_blocks`, as a slice does.
    pub fn block(&self, index: usize) -> (usize, BlockMeta) {
        let block = self.0.blocks.view().get(index);
        // Of shards that begin at the same block only the last is not empty.
        let shard = self.0.shard_first_block.partition_point(|&first| first as usize <= index) - 1;
        (shard, block)
    }

    /// Rows of each block.
    pub fn block_rows(&self) -> &[u64] {
        self.0.blocks.view().rows
    }

    /// Bytes that each block takes in memory, by which windows are cut.
    pub fn block_bytes(&self) -> &[u64] {
        self.0.blocks.view().memory
    }

    /// The first block of each shard; an empty shard has the next one's.
    pub fn shard_first_block(&self) -> &[u32] {
        &self.0.shard_first_block
    }

    /// Everything but the report, for another process that sees the same files.
    pub fn to_bytes(&self) -> Vec<u8> {
        let records: Vec<_> = (0..self.num_shards()).map(|index| self.record(index)).collect();
        bytes::pack(codec::encode(&records), &self.0.roots)
    }

    /// What [`Manifest::to_bytes`] wrote; the files are neither walked nor looked at.
    pub fn from_bytes(bytes: &[u8], walk: &dyn Walk) -> Result<Self> {
        let refused =
            |problem: Problem| Error::InvalidArgument(format!("these bytes are no manifest: {problem}"));
        let (index, roots) = bytes::unpack(bytes).map_err(refused)?;
        let aligned = bytes::align(index);
        let whole = bytemuck::cast_slice::<u64, u8>(&aligned).get(..index.len()).unwrap_or(&[]);
        let index = Index::decode(whole).map_err(refused)?;
        let shards = (0..index.len()).map(|shard| {
            let record = index.record(shard);
            let path = bytes::path_from_bytes(record.path).ok_or_else(|| {
                Error::InvalidArgument("a path of another system in the manifest".to_owned())
            })?;
            Ok((path, record))
        });
        let shards = shards.collect::<Result<Vec<_>>>()?;
        let report = OpenReport { num_reused: shards.len(), ..OpenReport::default() };
        let mut manifest = Self::assemble(
            shards,
            |path, record| walk.decode_schema(path, record.format, record.schema_message),
            report,
        )?;
        manifest.add_partitions(&roots);
        Ok(manifest)
    }

    /// For what happens after it was assembled, while nobody else has it.
    pub(crate) fn add_warning(&mut self, warning: String) {
        if let Some(contents) = Arc::get_mut(&mut self.0) {
            contents.report.warnings.push(warning);
        }
    }

    fn record(&self, index: usize) -> Record<'_> {
        let shard = &self.0.shards[index];
        Record {
            path: shard.path.as_os_str().as_encoded_bytes(),
            identity: shard.identity,
            walked_ns: shard.walked_ns,
            format: shard.format,
            digest: shard.digest,
            header_hash: shard.header_hash,
            schema_message: &self.0.messages[shard.message as usize].bytes,
            schema_key: shard.schema_key,
            blocks: self.0.blocks.view().slice(self.block_range(index)),
            dictionaries: self.0.dictionaries.view().slice(self.dictionary_range(index)),
            extra: &shard.extra,
        }
    }

    fn block_range(&self, shard: usize) -> Range<usize> {
        let firsts = &self.0.shard_first_block;
        let end = firsts.get(shard + 1).map_or(self.num_blocks(), |&first| first as usize);
        firsts[shard] as usize..end
    }

    fn dictionary_range(&self, shard: usize) -> Range<usize> {
        let firsts = &self.0.shard_first_dictionary;
        let end = firsts.get(shard + 1).copied().unwrap_or(self.0.dictionaries.view().len());
        firsts[shard]..end
    }
}

/// A manifest while shards are added to it.
struct Parts<'a> {
    contents: Contents,
    message_numbers: HashMap<&'a [u8], u32>,
    last_message: Option<(&'a [u8], u32)>,
    schema_keys: HashSet<u128>,
    /// One schema for all messages that differ in metadata only, and its first shard.
    schemas: Vec<(SchemaRef, usize)>,
}

impl<'a> Parts<'a> {
    fn with_capacity(shards: &[(PathBuf, Record<'_>)]) -> Self {
        let num_blocks = shards.iter().map(|(_, record)| record.blocks.len()).sum();
        let contents = Contents {
            shards: Vec::with_capacity(shards.len()),
            messages: Vec::new(),
            shard_first_block: Vec::with_capacity(shards.len()),
            shard_first_dictionary: Vec::with_capacity(shards.len()),
            blocks: BlockColumns::with_capacity(num_blocks),
            dictionaries: DictionaryColumns::default(),
            schema: Arc::new(Schema::empty()),
            partitions: Vec::new(),
            roots: Vec::new(),
            num_rows: 0,
            total_bytes: 0,
            fingerprint: 0,
            report: OpenReport::default(),
        };
        Self {
            contents,
            message_numbers: HashMap::new(),
            last_message: None,
            schema_keys: HashSet::new(),
            schemas: Vec::new(),
        }
    }

    fn push(
        &mut self,
        path: PathBuf,
        record: &Record<'a>,
        schema_of: &impl Fn(&Path, &Record<'_>) -> Result<SchemaRef>,
    ) -> Result<()> {
        if self.schema_keys.insert(record.schema_key) {
            self.schemas.push((schema_of(&path, record)?, self.contents.shards.len()));
        }
        let message = self.message_number(record.schema_message);
        let contents = &mut self.contents;
        let rows = record.blocks.rows.iter().try_fold(contents.num_rows, |sum, &rows| sum.checked_add(rows));
        contents.num_rows = rows.ok_or_else(|| too_many("rows"))?;
        contents.total_bytes = contents.total_bytes.saturating_add(record.identity.size);
        let first_block = u32::try_from(contents.blocks.view().len()).map_err(|_| too_many("blocks"))?;
        contents.shard_first_block.push(first_block);
        contents.shard_first_dictionary.push(contents.dictionaries.view().len());
        contents.blocks.extend(record.blocks);
        contents.dictionaries.extend(record.dictionaries);
        contents.shards.push(Shard {
            path,
            identity: record.identity,
            walked_ns: record.walked_ns,
            format: record.format,
            digest: record.digest,
            header_hash: record.header_hash,
            message,
            schema_key: record.schema_key,
            extra: record.extra.into(),
        });
        Ok(())
    }

    fn message_number(&mut self, message: &'a [u8]) -> u32 {
        // Neighbours share their stored message: comparing pointers spares hashing kilobytes a shard.
        if let Some((last, number)) = self.last_message
            && std::ptr::eq(last, message)
        {
            return number;
        }
        let messages = &mut self.contents.messages;
        let number = *self.message_numbers.entry(message).or_insert_with(|| {
            messages.push(Message { bytes: message.to_vec(), schema: OnceLock::new() });
            messages.len() as u32 - 1
        });
        self.last_message = Some((message, number));
        number
    }

    fn finish(self, report: OpenReport) -> Result<Manifest> {
        let mut contents = self.contents;
        let Some(((first, _), others)) = self.schemas.split_first() else {
            return Err(Error::InvalidArgument("no shards to open; name at least one file".to_owned()));
        };
        if u32::try_from(contents.blocks.view().len()).is_err() {
            return Err(too_many("blocks"));
        }
        let shard_path = |shard: usize| contents.shards[shard].path.as_path();
        let joins_columns = |shard: &Shard| format_of(shard.format).is_some_and(Format::joins_columns);
        let joins = contents.shards.iter().all(joins_columns);
        let is_decoded = |shard: &Shard| format_of(shard.format).is_some_and(Format::is_decoded);
        let stored = if contents.shards.iter().all(is_decoded) { Stored::Decoded } else { Stored::AsTheyLie };
        let mut merged = Cow::Borrowed(first.as_ref());
        for (other, shard) in others {
            let (first, other) = ((shard_path(0), &*merged), (shard_path(*shard), &**other));
            let joined = if joins { schema::join(first, other) } else { schema::merge(first, other, stored) };
            let place = |shard: usize| (shard_path(shard), contents.shards[shard].format);
            merged = Cow::Owned(
                joined.map_err(|error| of_other_format(place(0), place(*shard)).unwrap_or(error))?,
            );
        }
        contents.schema = match merged {
            Cow::Borrowed(_) => Arc::clone(first),
            Cow::Owned(schema) => Arc::new(schema),
        };
        contents.fingerprint =
            fingerprint::of_dataset(contents.shards.iter().map(|shard| shard.digest), &contents.schema);
        contents.report = report;
        Ok(Manifest(Arc::new(contents)))
    }
}

fn too_many(what: &str) -> Error {
    Error::InvalidArgument(format!("more {what} than one dataset holds; open the shards as several datasets"))
}
