//! One 512-byte header: its checksum, its type, and its numbers.

use std::ops::Range;

/// Headers and the beginnings of members are aligned to this.
pub(super) const UNIT: u64 = 512;

/// Where the checksum stands, and what it counts as itself.
const CHECKSUM: Range<usize> = 148..156;
const SPACES: u64 = 8 * b' ' as u64;

/// What a header announces, by its type flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A regular file.
    File,
    /// A file with holes: GNU's way to leave out runs of zeros.
    Sparse,
    /// GNU: the name of the next member.
    LongName,
    /// GNU: the link target of the next member.
    LongLink,
    /// Records about the next member.
    Pax,
    /// Records about all later members.
    GlobalPax,
    /// Directories, links, devices: nothing follows the header, whatever size it names.
    Bare,
    /// A type that some other tar knows: its data are left out.
    Other,
}

/// A header whose checksum holds. Copied, because a mapped file may change while it is read.
pub(super) struct Header([u8; UNIT as usize]);

impl Header {
    /// The header, or nothing where the block is all zeros, which ends an archive.
    pub fn parse(block: &[u8; UNIT as usize]) -> Result<Option<Self>, String> {
        let header = Self(*block);
        if is_zero(&header.0) {
            return Ok(None);
        }
        // No writer leaves it blank; in other formats such bytes are common.
        let has_digit = header.0[CHECKSUM].iter().any(u8::is_ascii_digit);
        let stored =
            header.number(CHECKSUM).filter(|_| has_digit).ok_or("a header whose checksum is no number")?;
        let sum = header.sum();
        // Some old writers summed the bytes as signed numbers.
        if stored == sum || i64::try_from(stored) == Ok(header.signed_sum()) {
            return Ok(Some(header));
        }
        Err(format!("a header whose checksum is {sum}, not {stored} as it says"))
    }

    pub fn kind(&self) -> Kind {
        match self.0[156] {
            // Before there was a type for it, a directory was a file with a slash at its end.
            0 if self.own_name().ends_with(b"/") => Kind::Bare,
            0 | b'0' | b'7' => Kind::File,
            b'1'..=b'6' => Kind::Bare,
            b'L' => Kind::LongName,
            b'K' => Kind::LongLink,
            b'x' | b'X' => Kind::Pax,
            b'g' => Kind::GlobalPax,
            b'S' => Kind::Sparse,
            _ => Kind::Other,
        }
    }

    /// Bytes of data after the header.
    pub fn size(&self) -> Option<u64> {
        self.number(124..136)
    }

    /// The name as it stands here; an extension before the header may have said another.
    pub fn name(&self) -> Vec<u8> {
        let prefix = until_nul(&self.0[345..500]);
        // GNU's own headers hold times where POSIX has the prefix.
        if prefix.is_empty() || self.0[257..263] != *b"ustar\0" {
            return self.own_name().to_vec();
        }
        [prefix, b"/", self.own_name()].concat()
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn own_name(&self) -> &[u8] {
        until_nul(&self.0[..100])
    }

    /// A number field: octal text, or GNU's base 256; nothing where it is neither, or negative.
    fn number(&self, field: Range<usize>) -> Option<u64> {
        let field = &self.0[field];
        match field[0] {
            0x80 => field[1..].iter().try_fold(0_u64, |number, byte| {
                (number >> 56 == 0).then_some(number << 8 | u64::from(*byte))
            }),
            0x81..=0xff => None,
            _ => octal(field),
        }
    }

    /// The sum of all bytes, those of the checksum itself taken as spaces.
    fn sum(&self) -> u64 {
        let sum = |bytes: &[u8]| bytes.iter().fold(0_u32, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        u64::from(sum(&self.0) - sum(&self.0[CHECKSUM])) + SPACES
    }

    fn signed_sum(&self) -> i64 {
        let sum = |bytes: &[u8]| bytes.iter().map(|byte| i64::from(*byte as i8)).sum::<i64>();
        sum(&self.0) - sum(&self.0[CHECKSUM]) + SPACES as i64
    }
}

/// Whether a file that starts with these bytes starts with a tar header.
pub(in crate::shard) fn is_header(first: &[u8]) -> bool {
    first.first_chunk().is_some_and(|block| matches!(Header::parse(block), Ok(Some(_))))
}

pub(super) fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// The length of data with the padding that follows them.
pub(super) fn padded(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(UNIT)
}

pub(super) fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Octal digits between spaces; a field of nothing else is 0, as in every reader.
fn octal(field: &[u8]) -> Option<u64> {
    until_nul(field).trim_ascii().iter().try_fold(0_u64, |number, digit| match digit {
        b'0'..=b'7' => number.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(mut block: [u8; 512]) -> [u8; 512] {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block
    }

    fn named(name: &[u8]) -> [u8; 512] {
        let mut block = [0; 512];
        block[..name.len()].copy_from_slice(name);
        block
    }

    fn parsed(block: &[u8; 512]) -> Header {
        Header::parse(block).unwrap().unwrap()
    }

    #[test]
    fn numbers_are_octal_or_base_256_and_nothing_else() {
        let size = |text: &[u8]| {
            let mut block = named(b"a.txt");
            block[124..124 + text.len()].copy_from_slice(text);
            parsed(&sealed(block)).size()
        };
        assert_eq!(size(b""), Some(0));
        assert_eq!(size(b"00000000017\0"), Some(15));
        assert_eq!(size(b"   17 \0"), Some(15));
        assert_eq!(size(b"777777777777"), Some((1 << 36) - 1));
        assert_eq!(size(b"12x"), None);
        assert_eq!(size(b"\x80\0\0\0\0\0\0\x02\0\0\0\x01"), Some((2 << 32) + 1));
        assert_eq!(size(b"\x80\0\0\x01\0\0\0\0\0\0\0\0"), None, "more than 64 bits");
        assert_eq!(size(&[0xff; 12]), None, "negative");
    }

    #[test]
    fn a_checksum_is_unsigned_or_signed_and_a_wrong_one_is_an_error() {
        let mut block = named("größe.txt".as_bytes());
        assert!(Header::parse(&sealed(block)).unwrap().is_some());
        block[148..156].fill(b' ');
        let signed: i32 = block.iter().map(|byte| i32::from(*byte as i8)).sum();
        block[148..156].copy_from_slice(format!("{signed:06o}\0 ").as_bytes());
        assert!(Header::parse(&block).unwrap().is_some());
        block[0] ^= 1;
        assert!(Header::parse(&block).err().unwrap().contains("checksum"));
        // The sum as signed numbers of this one is 0, which a blank field is as a number.
        let mut blank = [0; 512];
        blank[..2].fill(0x80);
        assert!(Header::parse(&blank).err().unwrap().contains("checksum"));
        assert!(Header::parse(&[0; 512]).unwrap().is_none());
        assert!(!is_header(&[0; 512]) && !is_header(b"short") && is_header(&sealed(named(b"x"))));
    }

    #[test]
    fn only_posix_headers_have_a_prefix() {
        let mut block = named(b"a.txt");
        block[345..348].copy_from_slice(b"dir");
        assert_eq!(parsed(&sealed(block)).name(), b"a.txt");
        block[257..265].copy_from_slice(b"ustar  \0");
        assert_eq!(parsed(&sealed(block)).name(), b"a.txt");
        block[257..265].copy_from_slice(b"ustar\x0000");
        assert_eq!(parsed(&sealed(block)).name(), b"dir/a.txt");
    }

    #[test]
    fn a_file_with_a_slash_at_its_end_is_an_old_directory() {
        assert_eq!(parsed(&sealed(named(b"dir/"))).kind(), Kind::Bare);
        assert_eq!(parsed(&sealed(named(b"dir/a"))).kind(), Kind::File);
    }
}
