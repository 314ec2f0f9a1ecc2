//! The file of token counts: four bytes a row, mapped, and checked piece by piece as it is read.
//!
//! ```text
//! header (88 bytes) | counts: u32 a row, filled up to 8 bytes | table: 16 bytes a piece | large: 16 bytes a document
//! ```
//!
//! All numbers are little-endian. A piece is 4,096 rows; its entry holds the tokens of all rows before it and the
//! xxh3 of its counts. A count too large for 32 bits stands in `large`, as (row, tokens).

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use memmap2::Mmap;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{Error, Result};

/// The format's first bytes; another version is another magic.
const MAGIC: [u8; 8] = *b"rwmtok\0\x01";

const HEADER: usize = 88;

/// Rows that are checked together.
const PIECE: u64 = 4_096;

/// Stands in the place of a count that is too large.
pub(super) const LARGE: u32 = u32::MAX;

/// Stands in the place of a row that was left out for damage.
pub(super) const LEFT_OUT: u32 = u32::MAX - 1;

/// What counts belong to: a digest of the data, the tokenizer and how it is used; and how many rows there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CountsKey {
    /// 128 bits of everything that a count depends on.
    pub digest: u128,
    /// Rows that are counted.
    pub num_rows: u64,
}

/// The counts of all rows.
#[derive(Debug)]
pub struct TokenCounts {
    map: Mmap,
    path: PathBuf,
    header: Header,
    /// Which pieces were found sound.
    is_checked: Vec<AtomicBool>,
}

/// What stands at the file's beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Header {
    digest: u128,
    num_rows: u64,
    num_tokens: u64,
    num_left_out: u64,
    num_large: u64,
    table_checksum: u64,
    large_checksum: u64,
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let numbers = [
            self.num_rows,
            self.num_tokens,
            self.num_left_out,
            self.num_large,
            self.table_checksum,
            self.large_checksum,
        ];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..24].copy_from_slice(&self.digest.to_le_bytes());
        for (slot, number) in bytes[24..72].chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = xxh3_64(&bytes[..80]);
        bytes[80..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> Option<Self> {
        if bytes[..8] != MAGIC || word(bytes, 80) != xxh3_64(&bytes[..80]) {
            return None;
        }
        Some(Self {
            digest: u128::from_le_bytes(*bytes[8..].first_chunk()?),
            num_rows: word(bytes, 24),
            num_tokens: word(bytes, 32),
            num_left_out: word(bytes, 40),
            num_large: word(bytes, 48),
            table_checksum: word(bytes, 56),
            large_checksum: word(bytes, 64),
        })
    }

    fn num_pieces(&self) -> u64 {
        self.num_rows.div_ceil(PIECE)
    }

    /// Where the table and the large counts begin, and where the file ends; `None` where no file is that long.
    fn parts(&self) -> Option<[usize; 3]> {
        let counts = self.num_rows.checked_mul(4)?.checked_next_multiple_of(8)?;
        let table = counts.checked_add(HEADER as u64)?;
        let large = table.checked_add(self.num_pieces().checked_mul(16)?)?;
        let end = large.checked_add(self.num_large.checked_mul(16)?)?;
        let [Ok(table), Ok(large), Ok(end)] = [table, large, end].map(usize::try_from) else { return None };
        Some([table, large, end])
    }
}

impl TokenCounts {
    /// Maps the counts in a file; `None` where there is none.
    ///
    /// # Errors
    /// `CorruptShard` where it is no such file or not the one that `key` asks for, which a name never leads to.
    pub fn open(path: &Path, key: CountsKey) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", path, error)),
        };
        // SAFETY: these files are never written in place: `Writer` renames a finished file to its name, so the
        // mapped inode keeps its bytes and its length while the map lives.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io("map", path, error))?;
        let header = map.first_chunk().and_then(Header::from_bytes);
        let header = header.ok_or_else(|| damaged(path, "its header is not what it should be"))?;
        let Some([table, large, end]) = header.parts().filter(|parts| parts[2] == map.len()) else {
            return Err(damaged(path, "its length is not what its header says"));
        };
        if (header.digest, header.num_rows) != (key.digest, key.num_rows) {
            return Err(damaged(path, "it holds the counts of other data or of another tokenizer"));
        }
        if xxh3_64(&map[table..large]) != header.table_checksum
            || xxh3_64(&map[large..end]) != header.large_checksum
        {
            return Err(damaged(path, "a checksum is wrong"));
        }
        let is_checked = (0..header.num_pieces()).map(|_| AtomicBool::new(false)).collect();
        Ok(Some(Self { map, path: path.to_owned(), header, is_checked }))
    }

    /// Rows that were counted.
    pub fn num_rows(&self) -> u64 {
        self.header.num_rows
    }

    /// Tokens of all rows.
    pub fn num_tokens(&self) -> u64 {
        self.header.num_tokens
    }

    /// Rows that were left out for damage.
    pub fn num_left_out(&self) -> u64 {
        self.header.num_left_out
    }

    /// Bytes of the file.
    pub fn num_bytes(&self) -> u64 {
        self.map.len() as u64
    }

    /// Where they are kept.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tokens of a row; `None` where it was left out for damage.
    ///
    /// # Errors
    /// `CorruptShard` where the file is damaged.
    #[inline]
    pub fn row(&self, row: u64) -> Result<Option<u64>> {
        assert!(row < self.header.num_rows, "row {row} is one of {}", self.header.num_rows);
        self.check(row / PIECE)?;
        Ok(match self.stored(row) {
            LEFT_OUT => None,
            LARGE => Some(self.large(row)?),
            count => Some(u64::from(count)),
        })
    }

    /// Tokens of consecutive rows together.
    ///
    /// # Errors
    /// `CorruptShard` where the file is damaged.
    pub fn sum(&self, rows: Range<u64>) -> Result<u64> {
        if rows.is_empty() {
            return Ok(0);
        }
        let before = self.before(rows.start)?;
        self.before(rows.end)?.checked_sub(before).ok_or_else(|| damaged(&self.path, "sums do not grow"))
    }

    /// Tokens of all rows before this one.
    fn before(&self, row: u64) -> Result<u64> {
        let (piece, first) = (row / PIECE, row / PIECE * PIECE);
        if row == self.header.num_rows {
            return Ok(self.header.num_tokens);
        }
        let mut sum = self.entry(piece).0;
        for row in first..row {
            sum = sum.saturating_add(self.row(row)?.unwrap_or(0));
        }
        Ok(sum)
    }

    #[inline]
    fn stored(&self, row: u64) -> u32 {
        let at = HEADER + 4 * row as usize;
        self.map[at..].first_chunk().map_or(LEFT_OUT, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The tokens before a piece, and its checksum.
    fn entry(&self, piece: u64) -> (u64, u64) {
        let at = self.map.len() - 16 * (self.header.num_large + self.header.num_pieces() - piece) as usize;
        (word(&self.map, at), word(&self.map, at + 8))
    }

    #[inline]
    fn check(&self, piece: u64) -> Result<()> {
        if self.is_checked[piece as usize].load(Ordering::Relaxed) {
            return Ok(());
        }
        self.check_now(piece)
    }

    #[cold]
    fn check_now(&self, piece: u64) -> Result<()> {
        let first = HEADER + 4 * (piece * PIECE) as usize;
        let last = HEADER + 4 * ((piece + 1) * PIECE).min(self.header.num_rows) as usize;
        if xxh3_64(&self.map[first..last]) != self.entry(piece).1 {
            return Err(damaged(&self.path, "a checksum is wrong"));
        }
        self.is_checked[piece as usize].store(true, Ordering::Relaxed);
        Ok(())
    }

    #[cold]
    fn large(&self, row: u64) -> Result<u64> {
        let start = self.map.len() - 16 * self.header.num_large as usize;
        let (mut low, mut high) = (0, self.header.num_large as usize);
        while low < high {
            let middle = usize::midpoint(low, high);
            let at = start + 16 * middle;
            match word(&self.map, at).cmp(&row) {
                std::cmp::Ordering::Equal => return Ok(word(&self.map, at + 8)),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        Err(damaged(&self.path, "a large document has no count"))
    }
}

fn word(bytes: &[u8], at: usize) -> u64 {
    bytes[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cold]
fn damaged(path: &Path, problem: &str) -> Error {
    Error::corrupt(path, format!("{problem}; delete this file of token counts and count again"))
}

/// Writes the counts of rows as they come; nothing is there under the file's name before the end.
pub(super) struct Writer {
    temporary: PathBuf,
    target: PathBuf,
    file: io::BufWriter<File>,
    header: Header,
    /// Counts of the piece that is not full.
    piece: Vec<u8>,
    table: Vec<u8>,
    large: Vec<u8>,
}

impl Writer {
    /// Begins a file; the caller holds the lock of its name.
    pub fn create(target: &Path, key: CountsKey) -> io::Result<Self> {
        let temporary = target.with_extension("tokens.tmp");
        let mut file = io::BufWriter::new(File::create(&temporary)?);
        file.write_all(&[0; HEADER])?;
        let header = Header { digest: key.digest, ..Header::default() };
        let (piece, table, large) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { temporary, target: target.to_owned(), file, header, piece, table, large })
    }

    /// The count of the next row, as it is stored; `large` is it where that says so.
    pub fn push(&mut self, stored: u32, large: u64) -> io::Result<()> {
        if self.piece.is_empty() {
            self.table.extend(self.header.num_tokens.to_le_bytes());
        }
        self.piece.extend(stored.to_le_bytes());
        match stored {
            LEFT_OUT => self.header.num_left_out += 1,
            LARGE => {
                self.large.extend(self.header.num_rows.to_le_bytes());
                self.large.extend(large.to_le_bytes());
                self.header.num_large += 1;
                self.header.num_tokens += large;
            }
            count => self.header.num_tokens += u64::from(count),
        }
        self.header.num_rows += 1;
        if self.header.num_rows.is_multiple_of(PIECE) { self.end_piece() } else { Ok(()) }
    }

    fn end_piece(&mut self) -> io::Result<()> {
        self.table.extend(xxh3_64(&self.piece).to_le_bytes());
        self.file.write_all(&self.piece)?;
        self.piece.clear();
        Ok(())
    }

    /// Puts the finished file to its place.
    pub fn finish(mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.end_piece()?;
        }
        let filling = [0; 4];
        self.file.write_all(&filling[..4 * (self.header.num_rows % 2) as usize])?;
        self.file.write_all(&self.table)?;
        self.file.write_all(&self.large)?;
        self.header.table_checksum = xxh3_64(&self.table);
        self.header.large_checksum = xxh3_64(&self.large);
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&self.header.to_bytes())?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        std::fs::rename(&self.temporary, &self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: CountsKey = CountsKey { digest: 77, num_rows: 10_001 };

    /// Row 5 is left out, rows 4,096 and 9,000 are large.
    fn count(row: u64) -> Option<u64> {
        match row {
            5 => None,
            4_096 | 9_000 => Some((1 << 33) + row),
            row => Some(row % 700),
        }
    }

    fn written(folder: &Path) -> PathBuf {
        let path = folder.join("x.tokens");
        let mut writer = Writer::create(&path, KEY).unwrap();
        for row in 0..KEY.num_rows {
            let count = count(row);
            let stored = count.map_or(LEFT_OUT, |count| u32::try_from(count).unwrap_or(LARGE));
            writer.push(stored, count.unwrap_or(0)).unwrap();
        }
        assert!(!path.exists());
        writer.finish().unwrap();
        path
    }

    #[test]
    fn what_was_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let counts = TokenCounts::open(&path, KEY).unwrap().unwrap();
        assert!((0..KEY.num_rows).all(|row| counts.row(row).unwrap() == count(row)));
        let sum = |rows: Range<u64>| rows.map(|row| count(row).unwrap_or(0)).sum::<u64>();
        for rows in [0..0, 0..1, 3..9, 0..10_001, 4_000..9_100, 4_096..8_192, 10_000..10_001] {
            assert_eq!(counts.sum(rows.clone()).unwrap(), sum(rows));
        }
        assert_eq!((counts.num_tokens(), counts.num_left_out()), (sum(0..10_001), 1));
        assert_eq!(counts.num_bytes(), std::fs::metadata(&path).unwrap().len());
        assert!(TokenCounts::open(&folder.path().join("y"), KEY).unwrap().is_none());
    }

    #[test]
    fn every_changed_byte_is_noticed_by_who_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path());
        let bytes = std::fs::read(&path).unwrap();
        let read = |bytes: &[u8]| -> Result<u64> {
            std::fs::write(&path, bytes).unwrap();
            let counts = TokenCounts::open(&path, KEY)?.unwrap();
            for row in 0..KEY.num_rows {
                counts.row(row)?;
            }
            counts.sum(1..KEY.num_rows)
        };
        read(&bytes).unwrap();
        let filling = HEADER + 4 * 10_001..HEADER + 4 * 10_002;
        for at in (0..bytes.len()).step_by(if cfg!(debug_assertions) { 997 } else { 101 }).chain(0..HEADER) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(
                filling.contains(&at) || matches!(read(&changed), Err(Error::CorruptShard { .. })),
                "{at}"
            );
        }
        for len in [0, 1, HEADER - 1, HEADER, 5_000, bytes.len() - 1] {
            assert!(matches!(read(&bytes[..len]), Err(Error::CorruptShard { .. })), "{len}");
        }
        std::fs::write(&path, &bytes).unwrap();
        let other = CountsKey { digest: 78, ..KEY };
        assert!(TokenCounts::open(&path, other).unwrap_err().to_string().contains("other data"));
    }

    #[test]
    fn no_rows_are_a_file_too() {
        let folder = tempfile::tempdir().unwrap();
        let (path, key) = (folder.path().join("x.tokens"), CountsKey { digest: 1, num_rows: 0 });
        Writer::create(&path, key).unwrap().finish().unwrap();
        let counts = TokenCounts::open(&path, key).unwrap().unwrap();
        assert_eq!((counts.num_tokens(), counts.sum(0..0).unwrap()), (0, 0));
    }
}
