//! The stored index as bytes: a header, then one 8-aligned little-endian section a field.
//!
//! ```text
//! magic | version | total length | xxh3 of all that follows | counts | sections
//! ```
//!
//! Where a section begins follows from the counts, so there are no stored offsets that could lie.
//! Pure functions over bytes: files, locks and maps are `store`'s.

use std::collections::HashMap;
use std::ops::Range;

use bytemuck::{NoUninit, Pod};
use xxhash_rust::xxh3::xxh3_64;

use super::columns::{Blocks, Dictionaries};
use super::record::Record;
use crate::source::FileIdentity;

const MAGIC: [u8; 8] = *b"RWMLIDX\n";
/// Another number means another layout: older and newer files are rebuilt, not converted.
const VERSION: u64 = 4;
const NUM_COUNTS: usize = 7;
/// Magic, version, length, checksum, counts.
const HEADER_LEN: usize = 8 * (4 + NUM_COUNTS);
/// What the checksum covers begins after it.
const CHECKED_FROM: usize = 32;

/// Why bytes are not an index; they are rebuilt, so this is only for a warning.
pub(crate) type Problem = &'static str;

/// Writes records down, each schema message once.
pub(crate) fn encode(records: &[Record<'_>]) -> Vec<u8> {
    let (messages, message_of) = intern(records);
    let mut out = Writer(vec![0; HEADER_LEN]);
    out.column(records, |r| r.identity.size);
    out.column(records, |r| r.identity.mtime_ns);
    out.column(records, |r| r.identity.inode);
    out.column(records, |r| r.walked_ns);
    out.column(records, |r| r.header_hash);
    out.column(records, |r| r.digest as u64);
    out.column(records, |r| (r.digest >> 64) as u64);
    out.column(records, |r| r.format);
    out.section(&message_of);
    let num_blocks = out.ends(records, |r| r.blocks.len());
    let num_dictionaries = out.ends(records, |r| r.dictionaries.len());
    let path_bytes = out.ends(records, |r| r.path.len());
    let extra_bytes = out.ends(records, |r| r.extra.len());
    let message_bytes = out.ends(&messages, |r| r.schema_message.len());
    out.column(&messages, |r| r.schema_key as u64);
    out.column(&messages, |r| (r.schema_key >> 64) as u64);
    out.joined(records, |r| r.blocks.offset);
    out.joined(records, |r| r.blocks.body);
    out.joined(records, |r| r.blocks.rows);
    out.joined(records, |r| r.blocks.memory);
    out.joined(records, |r| r.blocks.metadata);
    out.joined(records, |r| r.blocks.dictionaries);
    out.joined(records, |r| r.dictionaries.offset);
    out.joined(records, |r| r.dictionaries.body);
    out.joined(records, |r| r.dictionaries.id);
    out.joined(records, |r| r.dictionaries.metadata);
    out.joined(records, |r| r.dictionaries.delta);
    out.joined(records, |r| r.path);
    out.joined(records, |r| r.extra);
    out.joined(&messages, |r| r.schema_message);
    let counts = [
        records.len() as u64,
        num_blocks,
        num_dictionaries,
        path_bytes,
        extra_bytes,
        messages.len() as u64,
        message_bytes,
    ];
    out.finish(counts)
}

/// How many of the bytes are the index, by its header; [`Index::decode`] checks the rest of it.
pub(crate) fn index_len(bytes: &[u8]) -> Result<usize, Problem> {
    let header = bytes.get(..HEADER_LEN).ok_or("too short")?;
    let length = header[2 * 8..].first_chunk::<8>().ok_or("too short")?;
    usize::try_from(u64::from_le_bytes(*length)).map_err(|_| "a count out of range")
}

/// One record for each different schema message, and which of them each record uses.
fn intern<'a>(records: &[Record<'a>]) -> (Vec<Record<'a>>, Vec<u32>) {
    let mut messages: Vec<Record<'a>> = Vec::new();
    let mut known: HashMap<&[u8], u32> = HashMap::new();
    let numbers = records.iter().map(|record| {
        *known.entry(record.schema_message).or_insert_with(|| {
            messages.push(*record);
            messages.len() as u32 - 1
        })
    });
    let numbers = numbers.collect();
    (messages, numbers)
}

struct Writer(Vec<u8>);

impl Writer {
    fn column<T: NoUninit>(&mut self, records: &[Record<'_>], field: impl FnMut(&Record<'_>) -> T) {
        let values: Vec<T> = records.iter().map(field).collect();
        self.section(&values);
    }

    /// Where each record's part of a joined section ends; returns the last end.
    fn ends(&mut self, records: &[Record<'_>], len: impl Fn(&Record<'_>) -> usize) -> u64 {
        let mut end = 0;
        self.column(records, |record| {
            end += len(record) as u64;
            end
        });
        end
    }

    fn joined<'a, T: NoUninit>(
        &mut self,
        records: &'a [Record<'a>],
        part: impl Fn(&'a Record<'a>) -> &'a [T],
    ) {
        for record in records {
            self.0.extend_from_slice(bytemuck::cast_slice(part(record)));
        }
        self.align();
    }

    fn section<T: NoUninit>(&mut self, values: &[T]) {
        self.0.extend_from_slice(bytemuck::cast_slice(values));
        self.align();
    }

    fn align(&mut self) {
        self.0.resize(self.0.len().next_multiple_of(8), 0);
    }

    fn finish(mut self, counts: [u64; NUM_COUNTS]) -> Vec<u8> {
        let length = self.0.len() as u64;
        self.0[CHECKED_FROM..HEADER_LEN].copy_from_slice(bytemuck::cast_slice(&counts));
        let checksum = xxh3_64(&self.0[CHECKED_FROM..]);
        self.0[..8].copy_from_slice(&MAGIC);
        self.0[8..CHECKED_FROM].copy_from_slice(bytemuck::cast_slice(&[VERSION, length, checksum]));
        self.0
    }
}

/// A decoded index that borrows its bytes; every count and place in it has been checked.
#[derive(Debug)]
pub(crate) struct Index<'a> {
    size: &'a [u64],
    mtime_ns: &'a [i64],
    inode: &'a [u64],
    walked_ns: &'a [i64],
    header_hash: &'a [u64],
    digest_low: &'a [u64],
    digest_high: &'a [u64],
    format: &'a [u32],
    message_of: &'a [u32],
    block_ends: &'a [u64],
    dictionary_ends: &'a [u64],
    path_ends: &'a [u64],
    extra_ends: &'a [u64],
    message_ends: &'a [u64],
    key_low: &'a [u64],
    key_high: &'a [u64],
    blocks: Blocks<'a>,
    dictionaries: Dictionaries<'a>,
    paths: &'a [u8],
    extra: &'a [u8],
    messages: &'a [u8],
}

impl<'a> Index<'a> {
    /// Reads an index from bytes that begin at a multiple of 8 in memory.
    pub(crate) fn decode(bytes: &'a [u8]) -> Result<Self, Problem> {
        let [shards, blocks, dictionaries, paths, extra, messages, message_bytes] = check_header(bytes)?;
        let mut reader = Reader { bytes, at: HEADER_LEN };
        let index = Self {
            size: reader.section(shards)?,
            mtime_ns: reader.section(shards)?,
            inode: reader.section(shards)?,
            walked_ns: reader.section(shards)?,
            header_hash: reader.section(shards)?,
            digest_low: reader.section(shards)?,
            digest_high: reader.section(shards)?,
            format: reader.section(shards)?,
            message_of: reader.section(shards)?,
            block_ends: reader.ends(shards, blocks)?,
            dictionary_ends: reader.ends(shards, dictionaries)?,
            path_ends: reader.ends(shards, paths)?,
            extra_ends: reader.ends(shards, extra)?,
            message_ends: reader.ends(messages, message_bytes)?,
            key_low: reader.section(messages)?,
            key_high: reader.section(messages)?,
            blocks: Blocks {
                offset: reader.section(blocks)?,
                body: reader.section(blocks)?,
                rows: reader.section(blocks)?,
                memory: reader.section(blocks)?,
                metadata: reader.section(blocks)?,
                dictionaries: reader.section(blocks)?,
            },
            dictionaries: Dictionaries {
                offset: reader.section(dictionaries)?,
                body: reader.section(dictionaries)?,
                id: reader.section(dictionaries)?,
                metadata: reader.section(dictionaries)?,
                delta: reader.section(dictionaries)?,
            },
            paths: reader.section(paths)?,
            extra: reader.section(extra)?,
            messages: reader.section(message_bytes)?,
        };
        reader.at_end()?;
        index.check_records()?;
        Ok(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.size.len()
    }

    pub(crate) fn path(&self, shard: usize) -> &'a [u8] {
        &self.paths[part(self.path_ends, shard)]
    }

    /// One shard's record; `shard` is below `len`.
    pub(crate) fn record(&self, shard: usize) -> Record<'a> {
        let message = self.message_of[shard] as usize;
        Record {
            path: self.path(shard),
            identity: FileIdentity {
                size: self.size[shard],
                mtime_ns: self.mtime_ns[shard],
                inode: self.inode[shard],
            },
            walked_ns: self.walked_ns[shard],
            format: self.format[shard],
            digest: join(self.digest_low[shard], self.digest_high[shard]),
            header_hash: self.header_hash[shard],
            schema_message: &self.messages[part(self.message_ends, message)],
            schema_key: join(self.key_low[message], self.key_high[message]),
            blocks: self.blocks.slice(part(self.block_ends, shard)),
            dictionaries: self.dictionaries.slice(part(self.dictionary_ends, shard)),
            extra: &self.extra[part(self.extra_ends, shard)],
        }
    }

    fn check_records(&self) -> Result<(), Problem> {
        if self.message_of.iter().any(|&message| message as usize >= self.message_ends.len()) {
            return Err("a schema that is not there");
        }
        (0..self.len()).try_for_each(|shard| self.record(shard).check())
    }
}

fn part(ends: &[u64], index: usize) -> Range<usize> {
    let start = if index == 0 { 0 } else { ends[index - 1] };
    start as usize..ends[index] as usize
}

fn join(low: u64, high: u64) -> u128 {
    u128::from(high) << 64 | u128::from(low)
}

fn check_header(bytes: &[u8]) -> Result<[usize; NUM_COUNTS], Problem> {
    if cfg!(target_endian = "big") {
        return Err("numbers in another byte order than this machine's");
    }
    let header = bytes.get(..HEADER_LEN).ok_or("too short")?;
    if header[..8] != MAGIC {
        return Err("not an index");
    }
    let numbers: &[u64] = bytemuck::try_cast_slice(&header[8..]).map_err(|_| "bytes out of alignment")?;
    let [version, length, checksum, counts @ ..] = numbers else { return Err("too short") };
    if *version != VERSION {
        return Err("another version");
    }
    if *length != bytes.len() as u64 {
        return Err("another length than it says");
    }
    if *checksum != xxh3_64(&bytes[CHECKED_FROM..]) {
        return Err("a wrong checksum");
    }
    let mut checked = [0; NUM_COUNTS];
    for (to, from) in checked.iter_mut().zip(counts) {
        *to = usize::try_from(*from).map_err(|_| "a count out of range")?;
    }
    Ok(checked)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn section<T: Pod>(&mut self, count: usize) -> Result<&'a [T], Problem> {
        let len = count.checked_mul(size_of::<T>()).ok_or("a count out of range")?;
        let end = self.at.checked_add(len).ok_or("a count out of range")?;
        let raw = self.bytes.get(self.at..end).ok_or("a section past its end")?;
        self.at = end.checked_next_multiple_of(8).ok_or("a count out of range")?;
        bytemuck::try_cast_slice(raw).map_err(|_| "bytes out of alignment")
    }

    /// Ends that ascend to exactly `total`.
    fn ends(&mut self, count: usize, total: usize) -> Result<&'a [u64], Problem> {
        let ends: &[u64] = self.section(count)?;
        if ends.is_sorted() && ends.last().copied().unwrap_or(0) == total as u64 {
            Ok(ends)
        } else {
            Err("parts that do not fill their section")
        }
    }

    fn at_end(&self) -> Result<(), Problem> {
        if self.at == self.bytes.len() { Ok(()) } else { Err("bytes after its end") }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn record(path: &'static [u8]) -> Record<'static> {
        Record {
            path,
            identity: FileIdentity { size: 1000, mtime_ns: -5, inode: 7 },
            walked_ns: 9,
            format: 2,
            digest: 1 << 100 | 3,
            header_hash: 11,
            schema_message: b"schema",
            schema_key: 1 << 127 | 1,
            blocks: Blocks {
                offset: &[8, 100],
                body: &[10, 20],
                rows: &[1, u64::MAX - 1],
                memory: &[10, 30],
                metadata: &[3, 4],
                dictionaries: &[0, 1],
            },
            dictionaries: Dictionaries { offset: &[1], body: &[2], id: &[-1], metadata: &[3], delta: &[1] },
            extra: b"xyz",
        }
    }

    /// A copy whose first byte lies at a multiple of 8, as a map's does.
    pub(crate) fn with_aligned<R>(bytes: &[u8], use_it: impl FnOnce(&[u8]) -> R) -> R {
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        let whole: &mut [u8] = bytemuck::cast_slice_mut(&mut words);
        whole[..bytes.len()].copy_from_slice(bytes);
        use_it(&whole[..bytes.len()])
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        let empty =
            Record { blocks: Blocks::default(), schema_message: b"", extra: b"", ..record(b"/a/empty") };
        let records = [record(b"/a/b"), empty, record(b"/\xff\xfe")];
        for count in 0..=records.len() {
            with_aligned(&encode(&records[..count]), |bytes| {
                let index = Index::decode(bytes).unwrap();
                assert_eq!(
                    (0..index.len()).map(|shard| index.record(shard)).collect::<Vec<_>>(),
                    records[..count]
                );
            });
        }
    }

    #[test]
    fn any_changed_byte_and_any_cut_is_noticed() {
        let sound = encode(&[record(b"/a/b"), record(b"/c")]);
        for at in 0..sound.len() {
            with_aligned(&sound[..at], |bytes| assert!(Index::decode(bytes).is_err(), "cut at {at}"));
            for flip in [1, 0x80, 0xFF] {
                let mut damaged = sound.clone();
                damaged[at] ^= flip;
                with_aligned(&damaged, |bytes| assert!(Index::decode(bytes).is_err(), "flip at {at}"));
            }
        }
    }

    #[test]
    fn lies_under_a_right_checksum_are_noticed_too() {
        let sound = encode(&[record(b"/a/b"), record(b"/c")]);
        for at in CHECKED_FROM..sound.len() {
            for flip in [1, 0x80, 0xFF] {
                let mut forged = sound.clone();
                forged[at] ^= flip;
                let checksum = xxh3_64(&forged[CHECKED_FROM..]);
                forged[24..32].copy_from_slice(&checksum.to_le_bytes());
                with_aligned(&forged, |bytes| {
                    if let Ok(index) = Index::decode(bytes) {
                        (0..index.len()).for_each(|shard| index.record(shard).check().unwrap());
                    }
                });
            }
        }
    }

    #[test]
    fn places_outside_the_file_are_refused() {
        let sound = record(b"/a");
        let outside = [
            Record { blocks: Blocks { offset: &[8, 990], ..sound.blocks }, ..sound },
            Record { blocks: Blocks { offset: &[8, u64::MAX], ..sound.blocks }, ..sound },
            Record { blocks: Blocks { body: &[10, u64::MAX], ..sound.blocks }, ..sound },
            Record { blocks: Blocks { rows: &[2, u64::MAX - 1], ..sound.blocks }, ..sound },
            Record { blocks: Blocks { dictionaries: &[0, 2], ..sound.blocks }, ..sound },
            Record { dictionaries: Dictionaries { offset: &[999], ..sound.dictionaries }, ..sound },
        ];
        for record in outside {
            with_aligned(&encode(&[record]), |bytes| assert!(Index::decode(bytes).is_err()));
        }
    }
}
