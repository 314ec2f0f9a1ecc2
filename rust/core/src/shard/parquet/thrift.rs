//! Thrift's compact protocol, as much of it as checks footers and page headers before the parquet crate sees them.
//!
//! Every length and count is compared with the bytes that are left, so that nothing is allocated for a claim.

/// What is wrong with the bytes.
pub(super) type Problem = &'static str;

/// Structures may lie in structures this deep; Parquet's own need six.
const MAX_DEPTH: u32 = 24;

const STOP: u8 = 0;
const TRUE: u8 = 1;
pub(super) const FALSE: u8 = 2;
const BYTE: u8 = 3;
pub(super) const I16: u8 = 4;
pub(super) const I32: u8 = 5;
pub(super) const I64: u8 = 6;
const DOUBLE: u8 = 7;
pub(super) const BINARY: u8 = 8;
pub(super) const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
pub(super) const STRUCT: u8 = 12;
const UUID: u8 = 13;

const CUT_SHORT: Problem = "it ends in the middle of a value";

/// A cursor over encoded bytes.
#[derive(Debug, Clone)]
pub(super) struct Thrift<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// One field of a structure: its number and the type of its value.
#[derive(Debug, Clone, Copy)]
pub(super) struct FieldHeader {
    pub id: i16,
    pub kind: u8,
}

impl<'a> Thrift<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn byte(&mut self) -> Result<u8, Problem> {
        let byte = *self.bytes.get(self.at).ok_or(CUT_SHORT)?;
        self.at += 1;
        Ok(byte)
    }

    /// An unsigned number of up to ten bytes.
    pub fn varint(&mut self) -> Result<u64, Problem> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            // Of the tenth byte one bit fits.
            if shift == 63 && byte > 1 {
                return Err("a number of more than 64 bits");
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err("a number of more than ten bytes")
    }

    /// A signed number.
    pub fn integer(&mut self) -> Result<i64, Problem> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The next field of a structure whose last one was `last`; `None` at its end.
    pub fn field(&mut self, last: i16) -> Result<Option<FieldHeader>, Problem> {
        let head = self.byte()?;
        let (delta, kind) = (i16::from(head >> 4), head & 0xf);
        if kind == STOP {
            return Ok(None);
        }
        let id = if delta == 0 {
            i16::try_from(self.integer()?).map_err(|_| "a field number out of range")?
        } else {
            last.checked_add(delta).ok_or("a field number out of range")?
        };
        Ok(Some(FieldHeader { id, kind }))
    }

    /// Length and element type of a list that can lie in the bytes that are left.
    pub fn list(&mut self) -> Result<(usize, u8), Problem> {
        let head = self.byte()?;
        let len = match head >> 4 {
            15 => usize::try_from(self.varint()?).unwrap_or(usize::MAX),
            short => usize::from(short),
        };
        if len > self.left() {
            return Err("a list of more values than there are bytes");
        }
        Ok((len, head & 0xf))
    }

    /// Passes over bytes.
    pub fn advance(&mut self, len: u64) -> Result<(), Problem> {
        if len > self.left() as u64 {
            return Err("a text that is longer than what holds it");
        }
        self.at += len as usize;
        Ok(())
    }

    /// Passes over a value that stands as a field.
    pub fn skip(&mut self, kind: u8) -> Result<(), Problem> {
        // The value of a field that is true or false lies in its header.
        if matches!(kind, TRUE | FALSE) { Ok(()) } else { self.skip_element(kind, 0) }
    }

    fn skip_element(&mut self, kind: u8, depth: u32) -> Result<(), Problem> {
        if depth > MAX_DEPTH {
            return Err("values nested too deeply");
        }
        match kind {
            TRUE | FALSE | BYTE => self.advance(1),
            I16 | I32 | I64 => self.varint().map(|_| ()),
            DOUBLE => self.advance(8),
            UUID => self.advance(16),
            BINARY => {
                let len = self.varint()?;
                self.advance(len)
            }
            STRUCT => self.skip_fields(depth),
            LIST | SET => {
                let (len, kind) = self.list()?;
                (0..len).try_for_each(|_| self.skip_element(kind, depth + 1))
            }
            MAP => self.skip_map(depth),
            _ => Err("a value of a type that does not exist"),
        }
    }

    fn skip_fields(&mut self, depth: u32) -> Result<(), Problem> {
        let mut last = 0;
        while let Some(field) = self.field(last)? {
            last = field.id;
            if !matches!(field.kind, TRUE | FALSE) {
                self.skip_element(field.kind, depth + 1)?;
            }
        }
        Ok(())
    }

    fn skip_map(&mut self, depth: u32) -> Result<(), Problem> {
        let len = self.varint()?;
        if len > self.left() as u64 {
            return Err("a map of more values than there are bytes");
        }
        if len == 0 {
            return Ok(());
        }
        let kinds = self.byte()?;
        (0..len).try_for_each(|_| {
            self.skip_element(kinds >> 4, depth + 1)?;
            self.skip_element(kinds & 0xf, depth + 1)
        })
    }

    /// Reads a structure: `take` is called for each field and says whether it took the value.
    pub fn structure(
        &mut self,
        mut take: impl FnMut(&mut Self, FieldHeader) -> Result<bool, Problem>,
    ) -> Result<(), Problem> {
        let mut last = 0;
        while let Some(field) = self.field(last)? {
            last = field.id;
            if !take(self, field)? {
                self.skip(field.kind)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_fields_are_read() {
        let mut thrift = Thrift::new(&[0x15, 0x02, 0x19, 0x1c, 0x00, 0x00]);
        let mut seen = Vec::new();
        thrift
            .structure(|thrift, field| {
                seen.push((field.id, field.kind));
                Ok(if field.id == 1 { thrift.integer()? == 1 } else { false })
            })
            .unwrap();
        assert_eq!(seen, [(1, I32), (2, LIST)]);
        assert_eq!(thrift.position(), 6);
    }

    #[test]
    fn claims_beyond_the_bytes_are_refused_without_an_allocation() {
        let lists = [0x19, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x00];
        assert!(Thrift::new(&lists).structure(|_, _| Ok(false)).unwrap_err().contains("list"));
        let text = [0x18, 0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(Thrift::new(&text).structure(|_, _| Ok(false)).unwrap_err().contains("text"));
        let deep = [0x1c; 100];
        assert!(Thrift::new(&deep).structure(|_, _| Ok(false)).unwrap_err().contains("deep"));
        assert!(Thrift::new(&[0xff; 16]).varint().is_err());
        assert!(Thrift::new(&[0x15]).structure(|_, _| Ok(false)).is_err());
    }
}
