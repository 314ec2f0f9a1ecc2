//! Megatron's indexed data sets, by the layout that Megatron-LM's `indexed_dataset.py` writes.
//!
//! `.idx`, little-endian: `MMIDIDX` and two zeros, a version (u64), the ids' type (u8), the numbers of sequences and of
//! document indices (u64 each), then the sequences' lengths (i32 each), their places in `.bin` in bytes (i64 each), and
//! at which sequence each document begins (i64 each, and the end). Modes of sequences (i8 each) may follow. `.bin` is the
//! ids, sequence after sequence.

use std::path::{Path, PathBuf};

use arrow_schema::DataType;
use xxhash_rust::xxh3::Xxh3Default;

use super::{BLOCK_BYTES, BLOCK_ROWS, block, end_of, shard_index};
use crate::error::{Error, Result};
use crate::shard::format::Format;
use crate::shard::index::{BlockMeta, ShardIndex};
use crate::shard::site::Site;
use crate::source::{ReadFile, Source};

const MAGIC: &[u8; 9] = b"MMIDIDX\0\0";
const VERSION: u64 = 1;
const HEADER_LEN: u64 = 34;

/// Of a row: offsets of lists have 32 bits.
const MAX_TOKENS: u64 = i32::MAX as u64;

/// Numbers read at a time.
const CHUNK: u64 = 1 << 15;

/// The index beside a file of ids, where there is one.
pub(crate) fn index_beside(path: &Path) -> Option<PathBuf> {
    let beside = path.with_extension("idx");
    (super::is_named(path) && is_index(&beside)).then_some(beside)
}

/// The file of ids that is meant by its index, or by the name that both begin with.
pub(crate) fn ids_beside(path: &Path) -> Option<PathBuf> {
    if path.extension().is_some_and(|extension| extension == "idx") {
        return is_index(path).then(|| path.with_extension("bin"));
    }
    let with = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    (!path.exists() && is_index(&with(".idx"))).then(|| with(".bin"))
}

fn is_index(path: &Path) -> bool {
    let mut first = [0; MAGIC.len()];
    let read = ReadFile::open(path).and_then(|file| file.read_up_to(0, &mut first));
    read.is_ok_and(|count| count == first.len()) && first == *MAGIC
}

/// What the header of an index says, and where its tables lie; all of them are inside of the file.
#[derive(Debug)]
pub(super) struct Header {
    pub ids: DataType,
    pub num_sequences: u64,
    pub num_documents: u64,
}

impl Header {
    pub fn read(index: &ReadFile) -> Result<Self> {
        let site = Site::new(index.path(), 0);
        let mut bytes = [0; HEADER_LEN as usize];
        let count = index.read_up_to(0, &mut bytes)?;
        if count < bytes.len() || bytes[..9] != *MAGIC {
            return Err(site.corrupt("it is no index of Megatron's; write or download it again"));
        }
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        if word(9) != VERSION {
            return Err(site.unsupported(format!(
                "an index of version {}, of which {VERSION} is known; write it with a Megatron-LM of today",
                word(9)
            )));
        }
        let ids = ids_of(bytes[17], &site)?;
        let (num_sequences, num_starts) = (word(18), word(26));
        let tables = num_sequences
            .checked_mul(12)
            .zip(num_starts.checked_mul(8))
            .and_then(|(sequences, starts)| sequences.checked_add(starts)?.checked_add(HEADER_LEN));
        let is_inside = tables.is_some_and(|len| {
            // A byte a sequence may follow: which mode each is of.
            index.len() == len || Some(index.len()) == len.checked_add(num_sequences)
        });
        let Some(num_documents) = num_starts.checked_sub(1).filter(|_| is_inside) else {
            return Err(Site::new(index.path(), 18).corrupt(format!(
                "it counts {num_sequences} sequences and {num_starts} document indices, for which a file of {} bytes is not the place; write or download it again",
                index.len()
            )));
        };
        Ok(Self { ids, num_sequences, num_documents })
    }

    pub fn width(&self) -> u64 {
        self.ids.primitive_width().unwrap_or(1) as u64
    }

    /// Lengths of `count` sequences from the `first`-th on; the caller has checked that there are so many.
    pub fn sizes(index: &ReadFile, first: u64, count: u64) -> Result<Vec<i32>> {
        let bytes = table(index, HEADER_LEN + 4 * first, 4 * count)?;
        Ok(bytes
            .chunks_exact(4)
            .map(|size| i32::from_le_bytes(size.try_into().unwrap_or_default()))
            .collect())
    }

    fn places(&self, index: &ReadFile, first: u64, count: u64) -> Result<Vec<i64>> {
        longs(index, HEADER_LEN + 4 * self.num_sequences + 8 * first, count)
    }

    /// At which sequence documents begin, from the `first`-th on; one more than there are says where the last ends.
    pub fn starts(&self, index: &ReadFile, first: u64, count: u64) -> Result<Vec<i64>> {
        longs(index, HEADER_LEN + 12 * self.num_sequences + 8 * first, count)
    }
}

fn ids_of(code: u8, site: &Site<'_>) -> Result<DataType> {
    Ok(match code {
        1 => DataType::UInt8,
        2 => DataType::Int8,
        3 => DataType::Int16,
        4 => DataType::Int32,
        5 => DataType::Int64,
        8 => DataType::UInt16,
        6 | 7 => return Err(site.unsupported("it holds floating point numbers, which are no token ids")),
        other => {
            return Err(site.corrupt(format!("its ids are of type {other}, which Megatron does not have")));
        }
    })
}

fn longs(index: &ReadFile, offset: u64, count: u64) -> Result<Vec<i64>> {
    let bytes = table(index, offset, 8 * count)?;
    Ok(bytes.chunks_exact(8).map(|long| i64::from_le_bytes(long.try_into().unwrap_or_default())).collect())
}

/// A part of the index; `len` is no larger than the file, as its header was checked.
fn table(index: &ReadFile, offset: u64, len: u64) -> Result<Vec<u8>> {
    Ok(index.buffer(offset, len as usize)?.to_vec())
}

/// Walks the index once, all of its tables side by side.
pub(super) fn index(file: &ReadFile, beside: &Path) -> Result<ShardIndex> {
    let index = ReadFile::open(beside)?;
    let header = Header::read(&index)?;
    let mut hash = Xxh3Default::new();
    hash.update(&table(&index, 0, HEADER_LEN)?);
    let mut walk = Walk { blocks: Vec::new(), start: 0, end: 0, num_rows: 0 };
    let read = Vec::new().into_iter();
    let mut sequences = Sequences { file, index: &index, header: &header, read, next: 0, at: 0 };
    let mut next = 0;
    for first in (0..header.num_documents).step_by(CHUNK as usize) {
        let count = CHUNK.min(header.num_documents - first);
        let starts = header.starts(&index, first, count + 1)?;
        for start in &starts {
            hash.update(&start.to_le_bytes());
        }
        for (document, pair) in (first..).zip(starts.windows(2)) {
            let [start, end] = [pair[0], pair[1]].map(u64::try_from);
            let (Ok(start), Ok(end)) = (start, end) else { return Err(disorder(&index, &header, document)) };
            if start != next || end < start || end > header.num_sequences {
                return Err(disorder(&index, &header, document));
            }
            next = end;
            let len = sequences.take(end, &mut hash)?;
            if len / header.width() > MAX_TOKENS {
                let site = Site::new(index.path(), 0);
                return Err(
                    site.unsupported(format!("document {document} has more than {MAX_TOKENS} tokens"))
                );
            }
            walk.push(len);
        }
    }
    if next != header.num_sequences {
        return Err(disorder(&index, &header, header.num_documents));
    }
    if sequences.at != file.len() {
        return Err(end_of(file).corrupt(format!(
            "its index {} tells of {} bytes, and it has {}; write or download both again",
            beside.display(),
            sequences.at,
            file.len()
        )));
    }
    Ok(shard_index(Format::Megatron, &header.ids, walk.finish(), hash.digest()))
}

fn disorder(index: &ReadFile, header: &Header, document: u64) -> Error {
    let offset = HEADER_LEN + 12 * header.num_sequences + 8 * document;
    Site::new(index.path(), offset).corrupt(format!(
        "document {document} does not begin where the one before ends, or ends behind the {} sequences; write or download it again",
        header.num_sequences
    ))
}

/// Goes through the sequences: each begins in `.bin` where the one before ends.
struct Sequences<'a> {
    file: &'a ReadFile,
    index: &'a ReadFile,
    header: &'a Header,
    /// Lengths and places of the sequences from `next` on, as far as they were read.
    read: std::vec::IntoIter<(i32, i64)>,
    next: u64,
    /// In `.bin`.
    at: u64,
}

impl Sequences<'_> {
    /// Takes the sequences before `end`; how many bytes they have together.
    fn take(&mut self, end: u64, hash: &mut Xxh3Default) -> Result<u64> {
        let start = self.at;
        while self.next < end {
            let (size, place) = match self.read.next() {
                Some(found) => found,
                None => self.refill(hash)?,
            };
            let is_next = u64::try_from(place).is_ok_and(|place| place == self.at);
            let len = u64::try_from(size).unwrap_or_default() * self.header.width();
            if size < 0 || !is_next || self.at + len > self.file.len() {
                return Err(self.misplaced(size, place));
            }
            self.at += len;
            self.next += 1;
        }
        Ok(self.at - start)
    }

    fn refill(&mut self, hash: &mut Xxh3Default) -> Result<(i32, i64)> {
        let count = CHUNK.min(self.header.num_sequences - self.next);
        let sizes = Header::sizes(self.index, self.next, count)?;
        let places = self.header.places(self.index, self.next, count)?;
        for size in &sizes {
            hash.update(&size.to_le_bytes());
        }
        self.read = sizes.into_iter().zip(places).collect::<Vec<_>>().into_iter();
        self.read.next().ok_or_else(|| Error::Internal("no sequence where one was counted".to_owned()))
    }

    fn misplaced(&self, size: i32, place: i64) -> Error {
        let site = Site::new(self.index.path(), HEADER_LEN + 4 * self.next);
        site.corrupt(format!(
            "sequence {} has {size} tokens at byte {place} of {}, but the one before ends at byte {} of {}; write or download both again",
            self.next,
            self.file.path().display(),
            self.at,
            self.file.len()
        ))
    }
}

/// Documents, put together until they are a block.
struct Walk {
    blocks: Vec<BlockMeta>,
    start: u64,
    end: u64,
    num_rows: u64,
}

impl Walk {
    fn push(&mut self, len: u64) {
        if self.num_rows > 0 && (self.end + len - self.start > BLOCK_BYTES || self.num_rows >= BLOCK_ROWS) {
            self.close();
        }
        self.end += len;
        self.num_rows += 1;
    }

    fn close(&mut self) {
        self.blocks.push(block(self.start, self.end - self.start, self.num_rows));
        (self.start, self.num_rows) = (self.end, 0);
    }

    fn finish(mut self) -> Vec<BlockMeta> {
        if self.num_rows > 0 {
            self.close();
        }
        self.blocks
    }
}
