//! Members that belong to samples, and where a sample begins.

use super::members::{Bytes, Member, Members};
use super::names::{column, is_note, key_len};
use super::{KEY, MAX_EXTENSIONS};
use crate::error::{Error, Result};

/// Columns that every sample of WebDataset has already.
const TAKEN: [&str; 2] = [KEY, "__url__"];

/// The longest value that an Arrow view holds.
const MAX_MEMBER: u64 = i32::MAX as u64;

/// One value of a sample.
pub(super) struct Part<'p> {
    /// Whether a new sample begins with it.
    pub is_first: bool,
    pub key: &'p [u8],
    pub column: &'p str,
    /// Of the member's first header.
    pub start: u64,
    /// Where the value lies.
    pub data: u64,
    pub size: u64,
}

/// Groups members as WebDataset does: those that follow each other with one key are a sample.
pub(super) struct Parts<'a, B> {
    pub members: Members<'a, B>,
    name: Vec<u8>,
    /// Length of the key in `name`; nothing before the first sample.
    key_len: Option<usize>,
    /// The columns of the sample so far.
    columns: Vec<String>,
}

impl<'a, B: Bytes> Parts<'a, B> {
    pub fn new(members: Members<'a, B>) -> Self {
        Self { members, name: Vec::new(), key_len: None, columns: Vec::new() }
    }

    /// The next value; members without an extension, and notes about the archive, are left out.
    pub fn next_part(&mut self) -> Result<Option<Part<'_>>> {
        while let Some(member) = self.members.next_file()? {
            if let Some(len) = key_len(&member.name).filter(|_| !is_note(&member.name)) {
                return self.part(member, len).map(Some);
            }
        }
        Ok(None)
    }

    fn part(&mut self, member: Member, len: usize) -> Result<Part<'_>> {
        let column = column(&member.name[len + 1..]);
        let is_first = self.key_len.is_none_or(|known| self.name[..known] != member.name[..len]);
        if is_first {
            self.columns.clear();
        }
        if member.size > MAX_MEMBER {
            return Err(self.members.unsupported(format!(
                "the member {:?} has {} bytes; a value holds {MAX_MEMBER} at most, so cut it into several",
                String::from_utf8_lossy(&member.name),
                member.size
            )));
        }
        if TAKEN.contains(&&*column) || self.columns.iter().any(|known| *known == column) {
            return Err(self.twice(&member, len));
        }
        if self.columns.len() >= MAX_EXTENSIONS {
            return Err(too_many(|text| self.members.unsupported(text)));
        }
        self.columns.push(column.into_owned());
        let Member { start, name, data, size } = member;
        (self.name, self.key_len) = (name, Some(len));
        let column = self.columns.last().map_or("", String::as_str);
        Ok(Part { is_first, key: &self.name[..len], column, start, data, size })
    }

    fn twice(&self, member: &Member, len: usize) -> Error {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.members.corrupt(
            member.start,
            format!(
                "the sample {:?} has two values for {:?}, the second is the member {:?}; write each sample's members once and together",
                text(&member.name[..len]),
                text(&member.name[len + 1..]),
                text(&member.name)
            ),
        )
    }
}

/// The error of an archive whose keys hold dots.
pub(super) fn too_many(unsupported: impl Fn(String) -> Error) -> Error {
    unsupported(format!(
        "more than {MAX_EXTENSIONS} different extensions: a sample's key ends at the first dot of a name, so a dot in \
         the keys makes a column of each; write the samples under names without dots"
    ))
}
