//! The walk from header to header, over a whole file or over one block of it.

use std::path::Path;

use super::header::{Header, Kind, UNIT, is_zero, padded};
use super::records::{MAX_EXTENSION, Said};
use crate::error::{Error, Result};
use crate::shard::site::Site;

/// Bytes of a tar by their offset in the file.
pub(super) trait Bytes {
    /// Up to `len` bytes; fewer mean the end.
    fn bytes(&mut self, offset: u64, len: usize) -> Result<&[u8]>;

    /// The first offset that is not there.
    fn end(&self) -> u64;

    /// Told of every header and extension.
    fn saw(&mut self, _header: &[u8]) {}
}

/// A regular file in the archive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Of its first header; an extension comes before the member's own.
    pub start: u64,
    pub name: Vec<u8>,
    /// Where its bytes begin.
    pub data: u64,
    pub size: u64,
}

/// Gives the regular files one after the other; folders, links and devices are left out.
pub(super) struct Members<'a, B> {
    pub bytes: B,
    path: &'a Path,
    /// Index of the block that is walked, for error texts.
    block: Option<u64>,
    /// Of the next header.
    pub at: u64,
}

impl<'a, B: Bytes> Members<'a, B> {
    pub fn new(bytes: B, path: &'a Path, block: Option<u64>, start: u64) -> Self {
        Self { bytes, path, block, at: start }
    }

    /// The next regular file; nothing at the archive's end, or where the bytes end after a member.
    pub fn next_file(&mut self) -> Result<Option<Member>> {
        let mut start = self.at;
        let mut said = Said::default();
        loop {
            let at = self.at;
            let Some(header) = self.header()? else {
                return if start == at { Ok(None) } else { Err(self.truncated(start)) };
            };
            let Some(size) = header.size() else {
                return Err(self.corrupt(at, "a header whose size is no number"));
            };
            let data = at + UNIT;
            match header.kind() {
                Kind::File if !said.is_sparse => {
                    let size = said.size.unwrap_or(size);
                    self.skip(data, size)?;
                    let name = said.name.unwrap_or_else(|| header.name());
                    return Ok(Some(Member { start, name, data, size }));
                }
                Kind::File | Kind::Sparse => return Err(self.sparse(&said.name.unwrap_or(header.name()))),
                Kind::LongName => said.long_name(self.extension(data, size)?),
                Kind::Pax => {
                    let told = said.pax(self.extension(data, size)?);
                    told.map_err(|problem| self.corrupt(at, problem))?;
                }
                Kind::LongLink => drop(self.extension(data, size)?),
                Kind::GlobalPax => {
                    self.global(at, size)?;
                    // It belongs to no member: a sample that begins after it need not hold it.
                    if start == at {
                        start = self.at;
                    }
                }
                Kind::Bare | Kind::Other => {
                    let size = if header.kind() == Kind::Bare { 0 } else { said.size.unwrap_or(size) };
                    self.skip(data, size)?;
                    (said, start) = (Said::default(), self.at);
                }
            }
        }
    }

    fn header(&mut self) -> Result<Option<Header>> {
        let at = self.at;
        if at >= self.bytes.end() {
            return Ok(None);
        }
        let bytes = self.bytes.bytes(at, UNIT as usize)?;
        let Some(block) = bytes.first_chunk() else {
            return if is_zero(bytes) { Ok(None) } else { Err(self.truncated(at)) };
        };
        let header = Header::parse(block).map_err(|problem| self.corrupt(at, problem))?;
        if let Some(header) = &header {
            self.bytes.saw(header.bytes());
        }
        Ok(header)
    }

    /// The data of an extension.
    fn extension(&mut self, data: u64, size: u64) -> Result<&[u8]> {
        let at = self.at;
        if size > MAX_EXTENSION {
            return Err(self.corrupt(at, format!("an extended header of {size} bytes")));
        }
        self.skip(data, size)?;
        // Read and looked at once: the second call only ends a borrow.
        let len = size as usize;
        let is_short = self.bytes.bytes(data, len)?.len() < len;
        if is_short {
            return Err(self.truncated(at));
        }
        self.bytes.bytes(data, len)
    }

    /// Records about all later members: notes, never names or sizes.
    fn global(&mut self, at: u64, size: u64) -> Result<()> {
        let mut said = Said::default();
        let told = said.pax(self.extension(at + UNIT, size)?);
        told.map_err(|problem| self.corrupt(at, problem))?;
        if said == Said::default() {
            return Ok(());
        }
        Err(self.unsupported(format!(
            "a global header at byte {at} gives all members one name or size; write the archive again without it"
        )))
    }

    /// Moves on to what follows `size` bytes of data.
    fn skip(&mut self, data: u64, size: u64) -> Result<()> {
        let end = self.bytes.end();
        if data > end || end - data < size {
            return Err(self.corrupt(
                self.at,
                format!(
                    "truncated: a member of {size} bytes begins at byte {data}, the archive ends at byte {end}; write or download it again"
                ),
            ));
        }
        // The padding after the last member may be cut off.
        self.at = padded(size).and_then(|size| data.checked_add(size)).map_or(end, |next| next.min(end));
        Ok(())
    }

    fn sparse(&self, name: &[u8]) -> Error {
        self.unsupported(format!(
            "the member {:?} is stored with holes; write the archive again without tar's --sparse",
            String::from_utf8_lossy(name)
        ))
    }

    fn truncated(&self, at: u64) -> Error {
        self.corrupt(
            at,
            "truncated: the archive ends within a header; its writer was stopped, write or download it again",
        )
    }

    pub fn corrupt(&self, at: u64, problem: impl Into<String>) -> Error {
        Site { path: self.path, offset: at, block: self.block }.corrupt(problem)
    }

    pub fn unsupported(&self, message: impl Into<String>) -> Error {
        Error::Unsupported { path: self.path.to_owned(), message: message.into() }
    }
}
